"""ReBRAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, setting
from vinci_offline.agents.registry import register
from vinci_offline.agents.td3 import TD3
from vinci_offline.batches.names import NEXT_ACTION, TRANSITION
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("rebrac")
@dataclass(frozen=True)
class ReBRAC(TD3):
    """Behaviour-regularised actor-critic, revisited (Tarasov et al., 2023, https://arxiv.org/abs/2305.09836).

    TD3 that is held near the data in the actor's and in the critics' loss: strong for continuous actions, once its two
    penalties are tuned. Defaults are the authors' for MuJoCo, with the penalties of hopper-medium; they take batches of
    1024. Updates are those of ``td3``. A row whose next action was not recorded does not count in the critics' loss.
    """

    choose_when = "you can tune two penalties"
    columns = (*TRANSITION, NEXT_ACTION)

    normalize_observations: bool = setting(
        False,
        "normalise observations by the dataset's mean and deviation, (x - mean) / (std + 1e-3); the paper does not",
    )
    hidden: tuple[int, ...] = setting(
        (256, 256, 256), "widths of the hidden layers (the authors' code)", low=1
    )
    actor_learning_rate: float = setting(1e-3, "Adam's (the authors' code)", low=0)
    critic_learning_rate: float = setting(1e-3, "Adam's (the authors' code)", low=0)
    actor_penalty: float = setting(
        0.01, "beta_1: weight of the actor's distance to recorded actions (the authors' code)", low=0
    )
    critic_penalty: float = setting(
        0.01,
        "beta_2: weight of the next action's distance to the recorded one in the target (the authors' code)",
        low=0,
    )
    normalize_values: bool = setting(True, "divide the actor's values by their mean size, as TD3+BC does")

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make a tanh actor, and twin critics with layer normalisation."""
        return {
            "actor": build.deterministic_actor("actor", self.hidden),
            "critic": build.critics("critic", self.hidden, count=2, layer_norm="after"),
        }

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss to ``r + discount * (min Q'(s', a') - beta_2 * |a' - a'_data|^2)``."""
        from keras import ops

        action = self.next_action(nets, batch, key)
        distance = ops.sum(functional.imitation_loss(action, batch.next_action), axis=-1)
        next_value = functional.clipped_double_q(nets.target_critic([batch.next_observation, action]))
        target = functional.td_target(
            batch.reward, batch.discount, next_value - self.critic_penalty * distance
        )
        values = nets.critic([batch.observation, batch.action])
        loss = functional.ensemble_loss(values, target, weight=batch.has_next_action)
        return loss, functional.value_metrics(values, target)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``beta_1 * |pi(s) - a|^2 - lambda * min Q(s, pi(s))`` with ``lambda = 1 / mean |Q|``."""
        from keras import ops

        action = nets.actor(batch.observation)
        value = functional.clipped_double_q(nets.critic([batch.observation, action]))
        distance = ops.mean(ops.sum(functional.imitation_loss(action, batch.action), axis=-1))
        size = ops.stop_gradient(ops.maximum(ops.mean(ops.abs(value)), 1e-6))
        weight = 1.0 / size if self.normalize_values else 1.0
        return self.actor_penalty * distance - weight * ops.mean(value), {"actor/distance": distance}
