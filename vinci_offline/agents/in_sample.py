"""Base of the agents that learn a state value from recorded actions alone: IQL, XQL, SQL and EQL."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.batches.names import ACTION_MASK, TRANSITION, ColumnWish, IfRecorded
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@dataclass(frozen=True)
class InSampleAgent(Agent):
    """Agent that never asks its critics about an action that was not recorded.

    A state value stands for the best recorded actions; each algorithm has its own loss for it. The critics regress to
    it, and the policy imitates each recorded action with a weight that grows with its advantage. Subclasses give
    `value_loss` and `weight`.

    Attributes:
        value_layer_norm: layer normalisation of the state value, before each ReLU.
        critic_huber_delta: Huber loss of the critics beyond this error; None for the squared error.
    """

    action_kinds = ("continuous", "discrete")
    columns: ClassVar[tuple[ColumnWish, ...]] = (*TRANSITION, IfRecorded(ACTION_MASK))
    actor_later = True
    value_layer_norm: ClassVar[bool] = False
    critic_huber_delta: ClassVar[float | None] = None

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (IQL, appendix B)", low=1)
    weight_clip: float = setting(
        100.0, "greatest weight of an action in the actor's loss (the authors' code)", low=0
    )
    deterministic_actor: bool = setting(
        False, "continuous actions: train a tanh actor instead of a Gaussian (as CORL on hopper)"
    )
    tau: float = setting(0.005, "Polyak rate of the target critics (IQL, appendix B)", low=0, high=1)
    value_learning_rate: float = setting(3e-4, "Adam's (IQL, appendix B)", low=0)
    actor_learning_rate: float = setting(3e-4, "Adam's (IQL, appendix B)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (IQL, appendix B)", low=0)
    actor_cosine_steps: int | None = setting(
        None,
        "steps of the actor's cosine decay to zero, the whole run in the papers (IQL, appendix B); none: constant rate",
        low=1,
    )

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make a state value, twin critics, and an actor: of choices, tanh, or Gaussian of one deviation."""
        value = build.value("value", self.hidden, self.value_layer_norm)
        if build.discrete:
            actor = build.categorical_actor("actor", self.hidden)
            return {
                "value": value,
                "actor": actor,
                "critic": build.discrete_critics("critic", self.hidden, count=2),
            }
        make_actor = build.deterministic_actor if self.deterministic_actor else build.gaussian_actor
        return {
            "value": value,
            "actor": make_actor("actor", self.hidden),
            "critic": build.critics("critic", self.hidden, count=2),
        }

    def updates(self) -> tuple[Update, ...]:
        """Train value, actor and critic, in the authors' order: the actor uses the new value and the old targets."""
        actor = adam(self.actor_learning_rate, self.actor_cosine_steps)
        critic = adam(self.critic_learning_rate)
        return (
            Update(self.value_loss, "value", adam(self.value_learning_rate)),
            Update(self.actor_loss, "actor", actor, role="actor", validation_loss=self.actor_validation_loss),
            Update(self.critic_loss, "critic", critic, target=Target("critic", self.tau)),
        )

    @abstractmethod
    def value_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of the state value, from `advantage`."""

    @abstractmethod
    def weight(self, advantage: Tensor) -> Tensor:
        """Return ``[B]``: the weight of each action in the actor's loss. No gradient flows through it."""

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-weight(A) * log pi(a | s)`` (IQL, eq. 7); for a tanh actor the weighted squared error."""
        from keras import ops

        weight = self.weight(self.advantage(nets, batch))
        return ops.mean(weight * self.imitation(nets, batch)), {"actor/weight": ops.mean(weight)}

    def actor_validation_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-log pi(a | s)``, or the squared error of a tanh actor: the actor's loss without its weights.

        The weights grow and shrink with the advantages, so losses of two steps with them cannot be compared.
        """
        from keras import ops

        return ops.mean(self.imitation(nets, batch)), {}

    def imitation(self, nets: Networks, batch: Batch) -> Tensor:
        """Return ``[B]``: ``-log pi(a | s)`` of the recorded actions, or the squared error of a tanh actor."""
        policy = nets.actor(batch.observation)
        return functional.negative_log_likelihood(policy, batch.action, batch.get(ACTION_MASK))

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q(s, a) - (r + discount * V(s')))^2`` (IQL, eq. 6)."""
        target = functional.td_target(batch.reward, batch.discount, nets.value(batch.next_observation))
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        loss = functional.ensemble_loss(values, target, self.critic_huber_delta)
        return loss, functional.value_metrics(values, target)

    def advantage(self, nets: Networks, batch: Batch) -> Tensor:
        """Return ``[B]``: ``min Q'(s, a) - V(s)``. No gradient flows to the critics."""
        from keras import ops

        values = functional.action_values(nets.target_critic, batch.observation, batch.action)
        return ops.stop_gradient(functional.clipped_double_q(values)) - nets.value(batch.observation)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the actor's action, mean or most likely choice."""
        return build.policy(nets.actor)

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the actor's distribution; None for a deterministic actor."""
        return build.stochastic_policy(nets.actor)
