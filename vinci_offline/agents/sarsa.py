"""SARSA on stored data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import NEXT_ACTION, TRANSITION
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("sarsa")
@dataclass(frozen=True)
class SARSA(Agent):
    """SARSA (Rummery and Niranjan, 1994; Sutton and Barto, 2018, section 6.4).

    The critic learns the value of the behaviour itself, from the next action that was recorded: it never asks about an
    action that was not. The greedy policy on it is one step of improvement, which is safe where many steps are not
    (Brandfonbrener et al., 2021, https://arxiv.org/abs/2106.08909). A row whose next action was not recorded does
    not count. No paper sets the defaults; they are those of ``dqn``.
    """

    choose_when = "you want to know the behaviour's value, or improve on it once"
    action_kinds = ("discrete",)
    columns = (*TRANSITION, NEXT_ACTION)

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    huber_delta: float | None = setting(
        1.0, "Huber loss, linear beyond this error; none: squared error", low=1e-8
    )
    target_update: float = setting(
        0.005, "below 1: Polyak rate of the target; from 1 on: steps between hard copies", low=1e-8
    )
    learning_rate: float = setting(3e-4, "Adam's", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make a critic that returns the value of each action."""
        return {"critic": build.discrete_critics("critic", self.hidden, count=1)}

    def updates(self) -> tuple[Update, ...]:
        """Train the critic at every step."""
        target = Target.by_rate("critic", self.target_update)
        return (Update(self.critic_loss, "critic", adam(self.learning_rate), target=target),)

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of ``Q(s, a)`` to ``r + discount * Q'(s', a')`` with the recorded ``a'`` (eq. 6.7)."""
        next_value = functional.action_values(nets.target_critic, batch.next_observation, batch.next_action)
        target = functional.td_target(batch.reward, batch.discount, next_value[0])
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        loss = functional.ensemble_loss(values, target, self.huber_delta, weight=batch.has_next_action)
        return loss, functional.value_metrics(values, target)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the action of the greatest value."""
        return build.greedy_policy(nets.critic)
