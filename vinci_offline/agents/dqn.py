"""Deep Q-learning."""

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


@register("dqn")
@dataclass(frozen=True)
class DQN(Agent):
    """Deep Q-learning for Discrete actions (Mnih et al., 2015, https://doi.org/10.1038/nature14236).

    It needs data that cover every action well, such as the replay of many policies (Agarwal et al., 2020,
    https://arxiv.org/abs/1907.04543). On the data of one policy ``bc`` may be better. The paper learns online from
    pixels; of the defaults only the Huber loss is its own.
    """

    choose_when = "the data cover the actions well"
    action_kinds = ("discrete",)
    columns = (*TRANSITION, IfRecorded(NEXT_ACTION_MASK))

    normalize_observations: bool = setting(
        True,
        "normalise observations by the dataset's mean and deviation, (x - mean) / (std + 1e-3); the paper has pixels, "
        "which are scaled to [0, 1]",
    )
    hidden: tuple[int, ...] = setting(
        (256, 256), "widths of the hidden layers (the paper has convolutions and 512)", low=1
    )
    double: bool = setting(
        True,
        "double Q-learning: the online network selects (arXiv 1509.06461, eq. 4); no: as in the paper of 2015",
    )
    dueling: bool = setting(False, "dueling network: separate value and advantages (arXiv 1511.06581, eq. 9)")
    huber_delta: float | None = setting(
        1.0,
        "Huber loss, linear beyond this error (Mnih et al., 2015, Methods); none: squared error",
        low=1e-8,
    )
    target_update: float = setting(
        0.005,
        "below 1: Polyak rate of the target; from 1 on: steps between hard copies (10,000 in the paper)",
        low=1e-8,
    )
    learning_rate: float = setting(3e-4, "Adam's (the paper has RMSProp at 2.5e-4)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make a critic that returns the value of each action."""
        return {"critic": build.discrete_critics("critic", self.hidden, count=1, dueling=self.dueling)}

    def updates(self) -> tuple[Update, ...]:
        """Train the critic at every step."""
        target = Target.by_rate("critic", self.target_update)
        return (Update(self.critic_loss, "critic", adam(self.learning_rate), target=target),)

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of ``Q(s, a)`` to ``r + discount * Q'(s', argmax Q(s', .))``, or to ``max Q'(s', .)``."""
        evaluating = nets.target_critic(batch.next_observation)[0]
        selecting = nets.critic(batch.next_observation)[0] if self.double else evaluating
        allowed = functional.masked(selecting, batch.get(NEXT_ACTION_MASK))
        next_value = functional.double_q_learning(allowed, evaluating)
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = functional.batched_index(nets.critic(batch.observation), batch.action)
        loss = functional.ensemble_loss(values, target, self.huber_delta)
        return loss, functional.value_metrics(values, target)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the action of the greatest value."""
        return build.greedy_policy(nets.critic)
