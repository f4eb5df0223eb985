"""Implicit Q-learning."""

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


@register("iql")
@dataclass(frozen=True)
class IQL(Agent):
    """Implicit Q-learning (Kostrikov, Nair and Levine, 2022, https://arxiv.org/abs/2110.06169).

    The critics are evaluated at recorded actions only. An expectile of their values replaces the maximum, and
    the policy is learned by advantage-weighted regression. Three things are not the paper's: observations are
    normalised, the actor's learning rate is constant, and rewards are taken as they are, where the paper divides them
    by the range of the returns and multiplies by 1000 (locomotion) or subtracts 1 (antmaze).
    """

    normalize_observations: bool = setting(
        True,
        "normalise observations by the dataset's mean and deviation, (x - mean) / (std + 1e-3); the paper does not",
    )
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (appendix B)", low=1)
    expectile: float = setting(
        0.7,
        "tau of eq. 5: 0.5 evaluates the behaviour policy, near 1 its best actions (0.9 for antmaze in the paper)",
        low=0,
        high=1,
    )
    temperature: float = setting(
        3.0,
        "beta of eq. 7: 0 clones, a larger one follows the advantage (10 for antmaze, 0.5 for kitchen and adroit in "
        "the paper)",
        low=0,
    )
    weight_clip: float = setting(100.0, "greatest weight of a transition in eq. 7 (the authors' code)", low=0)
    deterministic_actor: bool = setting(False, "train a tanh actor instead of a Gaussian (as CORL on hopper)")
    tau: float = setting(0.005, "Polyak rate of the target critics (appendix B)", low=0, high=1)
    value_learning_rate: float = setting(3e-4, "Adam's (appendix B)", low=0)
    actor_learning_rate: float = setting(3e-4, "Adam's (appendix B)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (appendix B)", low=0)
    actor_cosine_steps: int | None = setting(
        None,
        "steps of the actor's cosine decay to zero, the whole run in the paper (appendix B); none: constant rate",
        low=1,
    )

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make a state value, twin critics, and an actor: tanh, or Gaussian with one deviation for all states."""
        make_actor = build.deterministic_actor if self.deterministic_actor else build.gaussian_actor
        return {
            "value": build.value("value", self.hidden),
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

    def value_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the expectile loss of the advantage ``Q'(s, a) - V(s)`` (eq. 5)."""
        from keras import ops

        advantage = self._advantage(nets, batch)
        loss = ops.mean(functional.expectile_loss(advantage, self.expectile))
        return loss, {"advantage/mean": ops.mean(advantage)}

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-min(exp(beta * A), clip) * log pi(a | s)`` (eq. 7)."""
        from keras import ops

        weight = functional.advantage_weight(self._advantage(nets, batch), self.temperature, self.weight_clip)
        loss = ops.mean(weight * self._imitation(nets, batch))
        return loss, {"actor/weight": ops.mean(weight)}

    def actor_validation_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-log pi(a | s)``, or the squared error of a tanh actor: eq. 7 without its weights.

        The weights grow and shrink with the advantages, so losses of two steps with them cannot be compared.
        """
        from keras import ops

        return ops.mean(self._imitation(nets, batch)), {}

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q(s, a) - (r + discount * V(s')))^2`` (eq. 6)."""
        target = functional.td_target(batch.reward, batch.discount, nets.value(batch.next_observation))
        values = nets.critic([batch.observation, batch.action])
        return functional.ensemble_loss(values, target), functional.value_metrics(values, target)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the actor's action or mean."""
        return build.policy(nets.actor)

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the Gaussian; None for a deterministic actor."""
        return build.stochastic_policy(nets.actor)

    def _imitation(self, nets: Networks, batch: Batch) -> Tensor:
        """Return ``[B]``: how badly the actor imitates each action."""
        from keras import ops

        policy = nets.actor(batch.observation)
        if self.deterministic_actor:
            return ops.sum(functional.imitation_loss(policy, batch.action), axis=-1)
        return -functional.gaussian_log_prob(batch.action, policy["mean"], policy["log_std"])

    def _advantage(self, nets: Networks, batch: Batch) -> Tensor:
        """Return ``min Q'(s, a) - V(s)``. No gradient flows to the critics."""
        from keras import ops

        values = functional.clipped_double_q(nets.target_critic([batch.observation, batch.action]))
        return ops.stop_gradient(values) - nets.value(batch.observation)
