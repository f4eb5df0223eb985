"""DDPG, with Vinci's options for stored data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("ddpg")
@dataclass(frozen=True)
class DDPG(Agent):
    """Deep deterministic policy gradient (Lillicrap et al., 2016, https://arxiv.org/abs/1509.02971).

    Nothing keeps its actor near the recorded actions. Use it on data that cover the actions well, such as
    random states. With ``bootstrap_actor`` the critic evaluates a fixed policy instead of the learning one,
    so its values do not diverge. The paper learns online, and few of its settings are the defaults here: each
    setting names the paper's.
    """

    choose_when = "the data cover the actions well"

    normalize_observations: bool = setting(
        True,
        "normalise observations by the dataset's mean and deviation, (x - mean) / (std + 1e-3); the paper normalises "
        "batches",
    )
    hidden: tuple[int, ...] = setting(
        (256, 256), "widths of the hidden layers (400, 300 in the paper, section 7)", low=1
    )
    target_update: float = setting(
        0.005,
        "below 1: Polyak rate of the targets (0.001 in the paper); from 1 on: steps between hard copies (keras-rl)",
        low=1e-8,
    )
    critic_huber_delta: float | None = setting(
        None,
        "Huber loss of the critic, linear beyond this error (Mnih et al., 2015); none: squared error",
        low=1e-8,
    )
    critic_l2: float = setting(
        0.0, "weight of the L2 penalty on the critic's kernels (0.01 in the paper, section 7)", low=0
    )
    invert_gradients: bool = setting(
        False,
        "linear actor with inverting gradients instead of tanh (arXiv 1511.04143, eq. 11)",
    )
    actor_reset_below: float | None = setting(
        None,
        "reset the actor when its gradient norm falls below this: a saturated actor stays so (Vinci)",
        low=0,
    )
    bootstrap_actor: str | None = setting(
        None,
        "path of a .keras policy that the critic evaluates instead of the target actor (Vinci)",
    )
    actor_learning_rate: float = setting(3e-4, "Adam's (1e-4 in the paper, section 7)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (1e-3 in the paper, section 7)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make an actor, a critic, and the bootstrap actor if one is set."""
        nets = {
            "actor": build.deterministic_actor("actor", self.hidden, squash=not self.invert_gradients),
            "critic": build.critics("critic", self.hidden, count=1),
        }
        if self.bootstrap_actor is not None:
            nets["bootstrap_actor"] = build.stored_actor("bootstrap_actor", self.bootstrap_actor)
        return nets

    def updates(self) -> tuple[Update, ...]:
        """Train the critic, then the actor, at every step."""
        critic = Target.by_rate("critic", self.target_update)
        # With a bootstrap actor no loss uses a target of the actor.
        actor = Target.by_rate("actor", self.target_update) if self.bootstrap_actor is None else ()
        return (
            Update(self.critic_loss, "critic", adam(self.critic_learning_rate), target=critic),
            Update(
                self.actor_loss,
                "actor",
                adam(self.actor_learning_rate),
                role="actor",
                target=actor,
                reset_below=self.actor_reset_below,
            ),
        )

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q(s, a) - y)^2`` with ``y = r + discount * Q'(s', mu'(s'))`` (algorithm 1), or its options."""
        actor = nets.target_actor if self.bootstrap_actor is None else nets.bootstrap_actor
        next_action = functional.clip_action(actor(batch.next_observation), nets.bounds)
        next_value = nets.target_critic([batch.next_observation, next_action])[0]
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = nets.critic([batch.observation, batch.action])
        loss = functional.ensemble_loss(values, target, self.critic_huber_delta)
        if self.critic_l2:
            loss = loss + self.critic_l2 * functional.l2_penalty(nets.critic)
        return loss, functional.value_metrics(values, target)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-Q(s, mu(s))``; its gradient is the deterministic policy gradient (eq. 6)."""
        from keras import ops

        action = nets.actor(batch.observation)
        if self.invert_gradients:
            action = functional.invert_gradients(action, nets.bounds)
        value = ops.mean(nets.critic([batch.observation, action]))
        return -value, {"actor/saturation": ops.mean(ops.cast(self._saturated(nets, action), "float32"))}

    @staticmethod
    def _saturated(nets: Networks, action: Tensor) -> Tensor:
        """Return ``[B, A]``: whether scaled actions are within a hundredth of a bound, or beyond it."""
        from keras import ops

        if nets.bounds is None:
            return ops.abs(action) > 0.99
        return ops.logical_or(action < nets.bounds.low + 0.01, action > nets.bounds.high - 0.01)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the actor's action, clipped to the bounds."""
        return build.policy(nets.actor)
