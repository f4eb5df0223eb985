"""Quantile regression DQN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import NEXT_ACTION_MASK, TRANSITION, IfRecorded
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("qrdqn")
@dataclass(frozen=True)
class QRDQN(Agent):
    """Quantile regression DQN (Dabney et al., 2018, https://arxiv.org/abs/1710.10044).

    The critic learns quantiles of the return of each action instead of its mean. On the replay of many policies it is
    stronger than ``dqn`` (Agarwal et al., 2020, https://arxiv.org/abs/1907.04543). The paper learns from pixels with
    batches of 32; the number of quantiles and the Huber loss are its own.
    """

    choose_when = "the data are the replay of many policies"
    action_kinds = ("discrete",)
    columns = (*TRANSITION, IfRecorded(NEXT_ACTION_MASK))

    hidden: tuple[int, ...] = setting(
        (256, 256), "widths of the hidden layers (the paper has convolutions)", low=1
    )
    quantiles: int = setting(200, "number of quantiles of each action's return (the paper)", low=1)
    huber_delta: float = setting(1.0, "kappa, where the quantile loss turns linear (the paper)", low=1e-8)
    target_update: float = setting(
        0.005,
        "below 1: Polyak rate of the target; from 1 on: steps between hard copies (10,000 in the paper)",
        low=1e-8,
    )
    learning_rate: float = setting(3e-4, "Adam's (5e-5 in the paper)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make a critic that returns quantiles of the return of each action."""
        return {"critic": build.quantile_critic("critic", self.hidden, self.quantiles)}

    def updates(self) -> tuple[Update, ...]:
        """Train the critic at every step."""
        target = Target.by_rate("critic", self.target_update)
        return (Update(self.critic_loss, "critic", adam(self.learning_rate), target=target),)

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the quantile Huber loss to ``r + discount * Z'(s', argmax E[Z'(s', .)])`` (algorithm 1)."""
        from keras import ops

        following = nets.target_critic(batch.next_observation)  # [N, B, n]
        mean = functional.masked(ops.mean(following, axis=0), batch.get(NEXT_ACTION_MASK))
        best = ops.argmax(mean, axis=-1)
        target = ops.stop_gradient(batch.reward + batch.discount * functional.batched_index(following, best))
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        loss = functional.quantile_huber_loss(values, target, self.huber_delta)
        return ops.mean(loss), functional.value_metrics(
            ops.mean(values, axis=0, keepdims=True), ops.mean(target, axis=0)
        )

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the action of the greatest mean."""
        return build.greedy_policy(nets.critic)
