"""AWAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import ACTION_MASK, MASKS, NEXT_ACTION_MASK, TRANSITION
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("awac")
@dataclass(frozen=True)
class AWAC(Agent):
    """Advantage-weighted actor-critic (Nair et al., 2020, https://arxiv.org/abs/2006.09359).

    The critics evaluate the learning policy, and the policy imitates recorded actions, each with a weight that grows
    with its advantage. It was made to start from data and go on learning online. Defaults are those of CORL's
    implementation for locomotion (https://github.com/tinkoff-ai/CORL). Choices are taken in expectation.
    """

    choose_when = "learning will go on online"
    action_kinds = ("continuous", "discrete")
    columns = (*TRANSITION, *MASKS)

    hidden: tuple[int, ...] = setting((256, 256, 256), "widths of the hidden layers (CORL)", low=1)
    temperature: float = setting(
        1 / 3, "lambda of eq. 13: large clones, small follows the advantage (CORL; 0.1 for antmaze)", low=1e-6
    )
    weight_clip: float = setting(100.0, "greatest weight of an action (CORL)", low=0)
    samples: int = setting(1, "actions that estimate the policy's value (CORL)", low=1)
    target_update: float = setting(
        0.005, "below 1: Polyak rate of the targets (CORL); from 1 on: steps between hard copies", low=1e-8
    )
    actor_learning_rate: float = setting(3e-4, "Adam's (CORL)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (CORL)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make twin critics, and a policy: of choices, or Gaussian with one deviation for all states."""
        if build.discrete:
            critic = build.discrete_critics("critic", self.hidden, count=2)
            return {"critic": critic, "actor": build.categorical_actor("actor", self.hidden)}
        critic = build.critics("critic", self.hidden, count=2)
        return {"critic": critic, "actor": build.gaussian_actor("actor", self.hidden)}

    def updates(self) -> tuple[Update, ...]:
        """Train the critics, then the actor, at every step."""
        critic, actor = adam(self.critic_learning_rate), adam(self.actor_learning_rate)
        return (
            Update(self.critic_loss, "critic", critic, target=Target.by_rate("critic", self.target_update)),
            Update(self.actor_loss, "actor", actor, role="actor", validation_loss=self.actor_validation_loss),
        )

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q(s, a) - (r + discount * min Q'(s', a')))^2`` with ``a'`` of the policy."""
        next_policy = self.evaluated(nets)(batch.next_observation)
        next_policy = functional.masked(next_policy, batch.get(NEXT_ACTION_MASK))
        next_value = functional.policy_value(
            nets.target_critic, batch.next_observation, next_policy, key, nets.bounds
        )
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        return functional.ensemble_loss(values, target), functional.value_metrics(values, target)

    def evaluated(self, nets: Networks) -> keras.Model:
        """Return the policy that the critics evaluate: the learning one."""
        return nets.actor

    def weight(self, advantage: Tensor) -> Tensor:
        """Return ``min(exp(A / lambda), clip)`` (eq. 13)."""
        return functional.advantage_weight(advantage, 1.0 / self.temperature, self.weight_clip)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-weight(A) * log pi(a | s)`` with ``A = min Q(s, a) - E[min Q(s, pi(s))]`` (eq. 13)."""
        from keras import ops

        policy, mask = nets.actor(batch.observation), batch.get(ACTION_MASK)
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        allowed = functional.masked(policy, mask)
        baseline = functional.policy_value(
            nets.critic, batch.observation, allowed, key, nets.bounds, samples=self.samples
        )
        advantage = functional.clipped_double_q(values) - baseline
        weight = self.weight(advantage)
        loss = ops.mean(weight * functional.negative_log_likelihood(policy, batch.action, mask))
        return loss, {"actor/weight": ops.mean(weight), "advantage/mean": ops.mean(advantage)}

    def actor_validation_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-log pi(a | s)``: the actor's loss without its weights, which move with the advantages."""
        from keras import ops

        policy = nets.actor(batch.observation)
        likelihood = functional.negative_log_likelihood(policy, batch.action, batch.get(ACTION_MASK))
        return ops.mean(likelihood), {}

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the policy's mean or most likely choice."""
        return build.policy(nets.actor)

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the policy's distribution."""
        return build.stochastic_policy(nets.actor)
