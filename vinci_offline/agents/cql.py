"""Conservative Q-learning."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.agents.sac import SAC
from vinci_offline.batches.names import ACTION_MASK, NEXT_ACTION_MASK
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder

LOG_WEIGHT_RANGE = (-math.inf, math.log(1e6))
"""Bounds of the learned weight's logarithm, from the authors' code."""


@register("cql")
@dataclass(frozen=True)
class CQL(SAC):
    """Conservative Q-learning (Kumar et al., 2020, https://arxiv.org/abs/2006.04779).

    The critics' loss lowers the values of all actions and raises those of recorded ones, so that an action without
    data is not overestimated. Continuous actions: the policy and its losses are those of ``sac``, and the sum over all
    actions is estimated from uniform actions and the policy's. Choices: double Q-learning with the exact sum and, as in
    the authors' code, a Huber loss, without an actor. Defaults are those of CORL's implementation for locomotion; for
    choices ``conservatism=1``.
    """

    choose_when = "the data mix policies of different quality"

    hidden: tuple[int, ...] = setting((256, 256, 256), "widths of the hidden layers (CORL)", low=1)
    conservatism: float = setting(
        10.0,
        "alpha, the weight of the penalty (CORL; 5 for antmaze, 1 for choices in the paper)",
        low=0,
    )
    samples: int = setting(10, "uniform actions, and policy actions at s and at s' (CORL)", low=1)
    lse_temperature: float = setting(1.0, "temperature of the log-sum-exp over actions (CORL)", low=1e-6)
    lagrange_threshold: float | None = setting(
        None,
        "learn the weight so that the penalty keeps this size; none: a fixed weight",
        low=0,
    )
    soft_target: bool = setting(False, "count the policy's entropy in the critics' target (CORL does not)")
    max_target: bool = setting(
        False, "take the greatest of `samples` next actions in the critics' target (antmaze in CORL)"
    )
    actor_learning_rate: float = setting(3e-5, "Adam's (CORL; 1e-4 in the paper)", low=0)
    temperature_learning_rate: float = setting(3e-5, "Adam's (CORL)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model | keras.Variable]:
        """Make the networks of ``sac``, for choices its critics alone, and the log weight if it is learned."""
        made = super().networks(build)
        if build.discrete:
            made = {"critic": made["critic"]}
        if self.lagrange_threshold is not None:
            made["log_conservatism"] = build.scalar("log_conservatism", 0.0)
        return made

    def updates(self) -> tuple[Update, ...]:
        """Train the weight if it is learned, then the critics, and for continuous actions temperature and actor."""
        critic, *others = super().updates()
        others = [replace(update, action_kinds=("continuous",)) for update in others]
        if self.lagrange_threshold is None:
            return critic, *others
        weight = Update(self.conservatism_loss, "log_conservatism", adam(self.critic_learning_rate))
        return weight, critic, *others

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the temporal-difference loss and ``alpha * (log sum_a exp Q(s, a) - Q(s, a_data))``."""
        from keras import ops

        target = functional.td_target(batch.reward, batch.discount, self.next_value(nets, batch, key))
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        gap = ops.mean(self.gap(nets, batch, key), axis=-1)
        weight: Tensor = ops.ones(()) * self.conservatism
        if self.lagrange_threshold is not None:
            weight = weight * self.learned_weight(nets)
            gap = gap - self.lagrange_threshold
        # Half the squared error of choices, the whole of others: the penalty's weight refers to that (authors' code).
        huber_delta = 1.0 if len(batch.action.shape) == 1 else None
        loss = functional.ensemble_loss(values, target, huber_delta) + ops.sum(weight * gap)
        return loss, {**functional.value_metrics(values, target), "critic/gap": ops.mean(gap)}

    def conservatism_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of the learned weight: it grows while the gap is above the threshold."""
        from keras import ops

        assert self.lagrange_threshold is not None
        excess = self.conservatism * (ops.mean(self.gap(nets, batch, key)) - self.lagrange_threshold)
        loss = functional.multiplier_loss(nets.scalar("log_conservatism"), excess, *LOG_WEIGHT_RANGE)
        return loss, {"critic/conservatism": self.learned_weight(nets)}

    @staticmethod
    def learned_weight(nets: Networks) -> Tensor:
        """Return the learned factor of the penalty's weight."""
        from keras import ops

        return ops.exp(ops.clip(nets.scalar("log_conservatism"), *LOG_WEIGHT_RANGE))

    def next_value(self, nets: Networks, batch: Batch, key: Tensor) -> Tensor:
        """Return ``[B]``: the value of the next state, by the policy or, for choices, by double Q-learning."""
        from keras import ops

        state = batch.next_observation
        if len(batch.action.shape) == 1:
            selecting, evaluating = (
                ops.min(critic(state), axis=0) for critic in (nets.critic, nets.target_critic)
            )
            allowed = functional.masked(selecting, batch.get(NEXT_ACTION_MASK))
            return functional.double_q_learning(allowed, evaluating)
        if self.soft_target and not self.max_target:
            return self.soft_value(nets, nets.target_critic, state, key)
        samples = self.samples if self.max_target else 1
        drawn = functional.sampled_values(
            nets.target_critic, state, nets.actor(state), key, nets.bounds, samples=samples
        )
        return ops.max(ops.min(drawn.values, axis=0), axis=-1)

    def gap(self, nets: Networks, batch: Batch, key: Tensor) -> Tensor:
        """Return ``[E, B]``: ``log sum_a exp Q(s, a) - Q(s, a_data)``, the sum by importance sampling."""
        from keras import ops

        state = batch.observation
        recorded = functional.action_values(nets.critic, state, batch.action)
        if len(batch.action.shape) == 1:
            allowed = functional.masked(nets.critic(state), batch.get(ACTION_MASK), recorded=batch.action)
            return functional.soft_maximum(allowed, self.lse_temperature) - recorded
        uniform = functional.uniform_policy(batch.action, nets.bounds)
        policies: list[Any] = [uniform, nets.actor(state), nets.actor(batch.next_observation)]
        parts = []
        for number, policy in enumerate(policies):
            drawn = functional.sampled_values(
                nets.critic,
                state,
                policy,
                functional.random.fold(key, number),
                nets.bounds,
                samples=self.samples,
            )
            values = drawn.values if policy is uniform else self.policy_values(drawn.values, batch)
            parts.append(values - drawn.log_prob)
        return functional.soft_maximum(ops.concatenate(parts, axis=-1), self.lse_temperature) - recorded

    def policy_values(self, values: Tensor, batch: Batch) -> Tensor:
        """Return the values of the policy's actions, ``[E, B, K]``, as they enter the sum: unchanged."""
        return values

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the mean of the policy inside the bounds, or the choice of the greatest value."""
        return build.greedy_policy(nets.critic) if build.discrete else build.policy(nets.actor)

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return None: continuous actions have a sampler, and choices are greedy."""
        return None
