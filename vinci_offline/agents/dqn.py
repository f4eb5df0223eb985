"""Deep Q-learning."""

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


@register("dqn")
@dataclass(frozen=True)
class DQN(Agent):
    """Deep Q-learning for Discrete actions (Mnih et al., 2015, https://doi.org/10.1038/nature14236).

    On stored data it needs every choice well covered, as by a replay of many policies (Agarwal et al., 2020,
    https://arxiv.org/abs/1907.04543); on the data of one policy, ``bc`` may be better.
    """

    action_kinds = ("discrete",)

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    double: bool = setting(True, "double Q-learning: the online network selects (arXiv 1509.06461, eq. 4)")
    dueling: bool = setting(False, "values and advantages in separate streams (arXiv 1511.06581, eq. 9)")
    huber_delta: float | None = setting(
        1.0, "Huber loss, linear beyond this error (Mnih et al., 2015, Methods); none is squared", low=1e-8
    )
    target_update: float = setting(
        0.005,
        "below 1 the Polyak rate of the target, from 1 on the steps between hard copies (keras-rl)",
        low=1e-8,
    )
    learning_rate: float = setting(3e-4, "Adam's", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """The values of all choices."""
        return {"critic": build.discrete_critics("critic", self.hidden, count=1, dueling=self.dueling)}

    def updates(self) -> tuple[Update, ...]:
        """The critic at every step."""
        target = Target.by_rate("critic", self.target_update)
        return (Update(self.critic_loss, "critic", adam(self.learning_rate), target=target),)

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """``Q(s, a)`` towards ``r + discount * Q'(s', argmax Q(s', .))``, or the maximum of ``Q'(s', .)``."""
        evaluating = nets.target_critic(batch.next_observation)[0]
        selecting = nets.critic(batch.next_observation)[0] if self.double else evaluating
        next_value = functional.double_q_learning(selecting, evaluating)
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = functional.batched_index(nets.critic(batch.observation), batch.action)
        return functional.ensemble_loss(values, target, self.huber_delta), functional.value_metrics(
            values, target
        )

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """The choice of the greatest value."""
        return build.greedy_policy(nets.critic)
