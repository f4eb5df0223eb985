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

    Never asks a critic about an action that the data do not hold: an expectile of the values stands for their
    maximum, and the policy is regression weighted by advantage.
    """

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (appendix B)", low=1)
    expectile: float = setting(
        0.7, "tau of eq. 5: 0.5 evaluates the behaviour, towards 1 the best of it", low=0, high=1
    )
    temperature: float = setting(3.0, "beta of eq. 7: 0 clones, more follows the advantage", low=0)
    weight_clip: float = setting(100.0, "greatest weight of a transition in eq. 7 (the authors' code)", low=0)
    deterministic_actor: bool = setting(
        False, "regress a tanh actor, rather than a Gaussian (CORL does so on hopper)"
    )
    tau: float = setting(0.005, "Polyak rate of the critics' target (appendix B)", low=0, high=1)
    value_learning_rate: float = setting(3e-4, "Adam's (appendix B)", low=0)
    actor_learning_rate: float = setting(3e-4, "Adam's (appendix B)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (appendix B)", low=0)
    actor_cosine_steps: int | None = setting(
        None, "steps over which the actor's rate falls to zero as a cosine; none keeps it (appendix B)", low=1
    )

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """A state value, twin critics, and an actor: a Gaussian of one deviation for all states, or tanh."""
        make_actor = build.deterministic_actor if self.deterministic_actor else build.gaussian_actor
        return {
            "value": build.value("value", self.hidden),
            "actor": make_actor("actor", self.hidden),
            "critic": build.critics("critic", self.hidden, count=2),
        }

    def updates(self) -> tuple[Update, ...]:
        """The authors' order: the actor sees the new value and the critics' old target."""
        actor = adam(self.actor_learning_rate, self.actor_cosine_steps)
        critic = adam(self.critic_learning_rate)
        return (
            Update(self.value_loss, "value", adam(self.value_learning_rate)),
            Update(self.actor_loss, "actor", actor, role="actor"),
            Update(self.critic_loss, "critic", critic, target=Target("critic", self.tau)),
        )

    def value_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """The expectile of the recorded actions' values (eq. 5)."""
        from keras import ops

        advantage = self._advantage(nets, batch)
        return ops.mean(functional.expectile_loss(advantage, self.expectile)), {
            "advantage/mean": ops.mean(advantage)
        }

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """``-min(exp(beta * A), clip) * log pi(a | s)`` (eq. 7)."""
        from keras import ops

        weight = functional.advantage_weight(self._advantage(nets, batch), self.temperature, self.weight_clip)
        policy = nets.actor(batch.observation)
        if self.deterministic_actor:
            misfit = ops.sum(functional.imitation_loss(policy, batch.action), axis=-1)
        else:
            misfit = -functional.gaussian_log_prob(batch.action, policy["mean"], policy["log_std"])
        return ops.mean(weight * misfit), {"actor/weight": ops.mean(weight)}

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """``(Q(s, a) - (r + discount * V(s')))^2`` (eq. 6)."""
        target = functional.td_target(batch.reward, batch.discount, nets.value(batch.next_observation))
        values = nets.critic([batch.observation, batch.action])
        return functional.ensemble_loss(values, target), functional.value_metrics(values, target)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """The actor's action or mean."""
        return build.policy(nets.actor)

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """The Gaussian; None for a deterministic actor."""
        return build.stochastic_policy(nets.actor)

    def _advantage(self, nets: Networks, batch: Batch) -> Tensor:
        from keras import ops

        values = functional.clipped_double_q(nets.target_critic([batch.observation, batch.action]))
        return ops.stop_gradient(values) - nets.value(batch.observation)
