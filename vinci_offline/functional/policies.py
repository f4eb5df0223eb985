"""Policies inside losses: draws, log densities, entropies, and the value of what a policy does.

A policy is the output of an actor:

| actor | output |
| --- | --- |
| `deterministic_actor` | ``[B, A]`` scaled actions |
| `gaussian_actor` | ``{"mean", "log_std"}``, each ``[B, A]``: a Gaussian over scaled actions |
| `squashed_gaussian_actor` | ``{"location", "log_std"}``, each ``[B, A]``: a Gaussian whose draws `squash` bounds |
| `categorical_actor` | ``{"logits"}``, ``[B, n]`` |
| `uniform_policy` | ``{"low", "high"}``, each ``[B, A]`` |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from keras import ops

from vinci_offline.functional import random
from vinci_offline.functional.distributions import (
    categorical_entropy,
    categorical_log_prob,
    gaussian_log_prob,
)
from vinci_offline.functional.losses import imitation_loss
from vinci_offline.functional.masks import masked
from vinci_offline.functional.shapes import check_shapes
from vinci_offline.functional.squashing import log_squash_slope, squash
from vinci_offline.functional.targets import batched_index, clip_action
from vinci_offline.types import ActionBounds, Tensor

Policy: TypeAlias = "Tensor | Mapping[str, Tensor]"
"""Output of an actor."""

Critic: TypeAlias = "Callable[..., Tensor]"
"""Ensemble ``[observation, action] -> [E, B]``; for Discrete actions ``observation -> [E, B, n]``."""


def sample_action(policy: Policy, key: Tensor, bounds: ActionBounds | None = None) -> tuple[Tensor, Tensor]:
    """Draw a continuous action from a policy. Gradients flow through the draw to the policy.

    Kingma and Welling (2014), https://arxiv.org/abs/1312.6114, section 2.4: ``mean + std * noise``.

    Args:
        policy: output of an actor of continuous actions; a deterministic one is returned as it is.
        key: key of the draw.
        bounds: bounds of scaled actions, such as ``nets.bounds``; None if all are -1 and 1.

    Returns:
        The scaled actions, ``[B, A]``, inside the bounds, and their log densities, ``[B]``. The density of a Gaussian
        is that of the draw before it is clipped. A deterministic policy has the log density 0.
    """
    if not isinstance(policy, Mapping):
        return clip_action(policy, bounds), ops.zeros_like(policy[:, 0])
    if "low" in policy:
        low, width = policy["low"], policy["high"] - policy["low"]
        return low + width * random.uniform(key, tuple(low.shape)), -ops.sum(ops.log(width), axis=-1)
    squashed = "location" in policy
    mean, log_std = policy["location" if squashed else "mean"], policy["log_std"]
    raw = mean + ops.exp(log_std) * random.normal(key, tuple(mean.shape))
    log_prob = gaussian_log_prob(raw, mean, log_std)
    if not squashed:
        return clip_action(raw, bounds), log_prob
    return squash(raw, bounds), log_prob - ops.sum(log_squash_slope(raw, bounds), axis=-1)


def negative_log_likelihood(policy: Policy, action: Tensor, allowed: Tensor | None = None) -> Tensor:
    """Return how badly a policy imitates recorded actions: ``-log pi(a | s)``.

    Args:
        policy: output of an actor; for a deterministic one the result is the squared distance to its actions.
        action: ``[B, A]`` scaled actions, or ``[B]`` choices.
        allowed: mask of choices, as in `masked`; a recorded choice counts whatever its mask says.

    Returns:
        ``[B]``.

    Raises:
        SpecError: a shape differs from these.
    """
    if not isinstance(policy, Mapping):
        return ops.sum(imitation_loss(policy, action), axis=-1)
    if "logits" in policy:
        return -categorical_log_prob(masked(policy["logits"], allowed, recorded=action), action)
    return -gaussian_log_prob(action, policy["mean"], policy["log_std"])


def policy_entropy(policy: Mapping[str, Tensor], key: Tensor, bounds: ActionBounds | None = None) -> Tensor:
    """Return the entropy of a policy in nats: that of choices exactly, of others ``-log pi(a | s)`` of one draw.

    Args:
        policy: output of a stochastic actor.
        key: key of the draw.
        bounds: as in `sample_action`.

    Returns:
        ``[B]``.
    """
    if "logits" in policy:
        return categorical_entropy(policy["logits"])
    return -sample_action(policy, key, bounds)[1]


def action_values(critic: Critic, observation: Tensor, action: Tensor) -> Tensor:
    """Return the values of actions, one for each row.

    Args:
        critic: an ensemble.
        observation: ``[B, ...]``.
        action: ``[B, A]`` scaled actions, or ``[B]`` choices.

    Returns:
        ``[E, B]``.
    """
    if len(action.shape) == 1:
        return batched_index(critic(observation), action)
    return critic([observation, action])


def policy_value(
    critic: Critic,
    observation: Tensor,
    policy: Policy,
    key: Tensor,
    bounds: ActionBounds | None = None,
    *,
    temperature: Tensor | float = 0.0,
    samples: int = 1,
) -> Tensor:
    """Return the value of a policy, ``E[min Q(s, a) - temperature * log pi(a | s)]`` over its actions.

    The least value of the ensemble counts, as in clipped double Q-learning. With a temperature it is the soft value of
    Haarnoja et al. (2018), https://arxiv.org/abs/1801.01290, eq. 3. The expectation over choices is exact
    (Christodoulou, 2019, https://arxiv.org/abs/1910.07207, eq. 10); that over continuous actions is a mean of draws.

    Args:
        critic: an ensemble.
        observation: ``[B, ...]``.
        policy: output of an actor at these observations.
        key: key of the draws.
        bounds: as in `sample_action`.
        temperature: alpha, a scalar.
        samples: number of draws for each row.

    Returns:
        ``[B]``.
    """
    if isinstance(policy, Mapping) and "logits" in policy:
        values = critic(observation)
        check_shapes("values E B n, logits B n", values=values, logits=policy["logits"])
        log_prob = ops.log_softmax(policy["logits"], axis=-1)
        return ops.sum(ops.exp(log_prob) * (ops.min(values, axis=0) - temperature * log_prob), axis=-1)
    drawn = sampled_values(critic, observation, policy, key, bounds, samples=samples)
    return ops.mean(ops.min(drawn.values, axis=0) - temperature * drawn.log_prob, axis=-1)


class SampledValues(NamedTuple):
    """Values and log densities of K actions that a policy drew for each of B observations.

    Attributes:
        values: ``[E, B, K]``, by an ensemble.
        log_prob: ``[B, K]``.
    """

    values: Tensor
    log_prob: Tensor


def sampled_values(
    critic: Critic,
    observation: Tensor,
    policy: Policy,
    key: Tensor,
    bounds: ActionBounds | None = None,
    *,
    samples: int,
) -> SampledValues:
    """Draw continuous actions from a policy and return their values at some observations.

    Args:
        critic: an ensemble.
        observation: ``[B, ...]``.
        policy: output of an actor, at these observations or at others.
        key: key of the draws.
        bounds: as in `sample_action`.
        samples: K, the number of draws for each row.
    """
    action, log_prob = sample_action(repeat_rows(policy, samples), key, bounds)
    values = critic([repeat_rows(observation, samples), action])
    return SampledValues(
        ops.reshape(values, (values.shape[0], -1, samples)), ops.reshape(log_prob, (-1, samples))
    )


class PolicyValues(NamedTuple):
    """Values of K actions of a policy for each of B observations, and how much each action counts.

    Attributes:
        values: ``[E, B, K]``, by an ensemble; or E quantiles of the return of each action.
        weight: ``[B, K]``: their probabilities, which sum to 1 for each observation.
        quantiles: True if ``values`` are quantiles.
    """

    values: Tensor
    weight: Tensor
    quantiles: bool = False

    def expectations(self) -> list[Tensor]:
        """Return ``[B]`` for each member: its expectation over the policy's actions."""
        means = ops.sum(self.values * self.weight[None], axis=-1)
        return [means[member] for member in range(means.shape[0])]

    def mixture(self) -> tuple[Tensor, Tensor]:
        """Return ``[E * K, B]`` atoms of the return under the policy and their probabilities, of E quantiles."""
        members, _, actions = self.values.shape
        atoms = ops.reshape(ops.transpose(self.values, (0, 2, 1)), (members * actions, -1))
        return atoms, ops.tile(ops.transpose(self.weight), (members, 1)) / members


def values_under_policy(
    critic: Critic,
    observation: Tensor,
    policy: Policy,
    key: Tensor,
    bounds: ActionBounds | None = None,
    *,
    samples: int,
) -> PolicyValues:
    """Return the values of a policy's actions: of all choices, or of drawn continuous actions.

    Args:
        critic: an ensemble, or quantiles.
        observation: ``[B, ...]``.
        policy: output of an actor at these observations.
        key: key of the draws.
        bounds: as in `sample_action`.
        samples: number of draws for each row; a deterministic policy needs one.
    """
    if isinstance(policy, Mapping) and "logits" in policy:
        values = critic(observation)
        check_shapes("values E B n, logits B n", values=values, logits=policy["logits"])
        return PolicyValues(values, ops.softmax(policy["logits"], axis=-1))
    samples = samples if isinstance(policy, Mapping) else 1
    drawn = sampled_values(critic, observation, policy, key, bounds, samples=samples)
    return PolicyValues(drawn.values, ops.ones_like(drawn.log_prob) / samples)


def values_under_actor(
    critic: Critic,
    observation: Any,
    actor: Any,
    key: Tensor,
    bounds: ActionBounds | None = None,
    *,
    samples: int,
    allowed: Tensor | None = None,
) -> PolicyValues:
    """Return the values of an actor's actions as `values_under_policy` does, also of one that takes noise or a mask.

    Args:
        critic: an ensemble, or quantiles.
        observation: ``[B, ...]``, or a dict by key.
        actor: a model of an observation; a model of ``[observation, noise]`` is asked with ``samples`` draws, and one
            of ``[observation, action_mask]`` with the mask.
        key: key of the draws.
        bounds: as in `sample_action`.
        samples: number of draws for each row.
        allowed: ``[B, n]``, greater than zero where a choice is allowed; only an actor with that input gets it.
    """
    noise = [each for each in actor.inputs if each.name == "noise"]
    if not noise:
        given = observation
        if allowed is not None and isinstance(actor.input, list) and actor.input[-1].name == "action_mask":
            given = [observation, ops.cast(allowed, "float32")]
        return values_under_policy(critic, observation, actor(given), key, bounds, samples=samples)
    parts = observation.values() if isinstance(observation, Mapping) else [observation]
    rows = next(iter(parts)).shape[0]
    repeated = repeat_rows(observation, samples)
    drawn = random.normal(key, (rows * samples, int(noise[0].shape[-1])))
    found = values_under_policy(critic, repeated, actor([repeated, drawn]), key, bounds, samples=1)
    values = ops.reshape(found.values, (found.values.shape[0], rows, -1))
    return PolicyValues(values, ops.reshape(found.weight, (rows, -1)) / samples)


def uniform_policy(action: Tensor, bounds: ActionBounds | None = None) -> dict[str, Tensor]:
    """Return the uniform policy over scaled actions, as `sample_action` takes it.

    It covers [-1, 1], or the part of it inside the bounds: scaled actions without near bounds are about that large.

    Args:
        action: ``[B, A]``; only its shape counts.
        bounds: as in `sample_action`.
    """
    low, high = -ops.ones_like(action), ops.ones_like(action)
    if bounds is not None:
        low, high = ops.maximum(low, bounds.low), ops.minimum(high, bounds.high)
    return {"low": low, "high": high}


def repeat_rows(values: Any, times: int) -> Any:
    """Repeat each row: ``[B, ...]`` to ``[B * times, ...]``, copies of a row side by side. A dict keeps its keys."""
    if times == 1:
        return values
    if isinstance(values, Mapping):
        return {name: repeat_rows(part, times) for name, part in values.items()}
    return ops.repeat(values, times, axis=0)
