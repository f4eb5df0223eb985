"""Neural fitted Q-iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import NEXT_ACTION_MASK, TRANSITION, IfRecorded
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("nfq")
@dataclass(frozen=True)
class NFQ(Agent):
    """Neural fitted Q-iteration (Riedmiller, 2005, https://doi.org/10.1007/11564096_32).

    Q-learning without a target network, for small problems whose data cover the actions well. The paper fits the
    network to the end between two computations of the targets; here, as in d3rlpy, each step computes them anew.
    """

    choose_when = "the problem is small"
    action_kinds = ("discrete",)
    columns = (*TRANSITION, IfRecorded(NEXT_ACTION_MASK))

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (5, 5 in the paper)", low=1)
    huber_delta: float | None = setting(
        1.0, "Huber loss, linear beyond this error (d3rlpy); none: squared error, as in the paper", low=1e-8
    )
    learning_rate: float = setting(3e-4, "Adam's (the paper has Rprop)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make a critic that returns the value of each action."""
        return {"critic": build.discrete_critics("critic", self.hidden, count=1)}

    def updates(self) -> tuple[Update, ...]:
        """Train the critic at every step."""
        return (Update(self.critic_loss, "critic", adam(self.learning_rate)),)

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of ``Q(s, a)`` to ``r + discount * max Q(s', .)``."""
        from keras import ops

        following = functional.masked(nets.critic(batch.next_observation)[0], batch.get(NEXT_ACTION_MASK))
        next_value = ops.max(following, axis=-1)
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        loss = functional.ensemble_loss(values, target, self.huber_delta)
        return loss, functional.value_metrics(values, target)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the action of the greatest value."""
        return build.greedy_policy(nets.critic)
