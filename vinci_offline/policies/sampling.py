"""Samples of a policy's distribution. Each lane draws from its own generator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vinci_offline.policies.actions import check_lanes, check_no_nan, to_actions
from vinci_offline.policies.densities import (
    clipped_gaussian_log_prob,
    log_softmax,
    squashed_gaussian_log_prob,
)
from vinci_offline.policies.policy import Decision
from vinci_offline.spec import BoxSpace, DiscreteSpace
from vinci_offline.types import Array, FloatArray


def sample_gaussian(
    mean: Array, std: Array, space: BoxSpace, rngs: Sequence[np.random.Generator]
) -> Decision:
    """Draw from a diagonal Gaussian in the environment's units, clipped to the bounds.

    Args:
        mean: ``[L, ...]`` or ``[L, A]``.
        std: of the same shape, positive.
        space: the actions.
        rngs: a generator a lane.
    """
    mean, std, draws = _standard(mean, std, space, rngs)
    actions = to_actions(mean + std * draws, space, len(rngs))
    return Decision(actions, clipped_gaussian_log_prob(actions, mean, std, space.low, space.high))


def sample_squashed_gaussian(
    mean: Array, std: Array, space: BoxSpace, rngs: Sequence[np.random.Generator]
) -> Decision:
    """Draw ``u`` from a diagonal Gaussian and act ``tanh(u)``, scaled from [-1, 1] to the bounds.

    Args:
        mean: of ``u``, ``[L, ...]`` or ``[L, A]``.
        std: of the same shape, positive.
        space: the actions; every dimension has two bounds.
        rngs: a generator a lane.
    """
    mean, std, draws = _standard(mean, std, space, rngs)
    raw = mean + std * draws
    actions = to_actions(space.low + 0.5 * (np.tanh(raw) + 1) * (space.high - space.low), space, len(rngs))
    return Decision(actions, squashed_gaussian_log_prob(raw, mean, std, space.low, space.high))


def sample_categorical(logits: Array, space: DiscreteSpace, rngs: Sequence[np.random.Generator]) -> Decision:
    """Draw choices by their ``[L, n]`` logits."""
    check_lanes(logits, len(rngs))
    check_no_nan(np.asarray(logits), "a logit")
    log_probs = log_softmax(logits)
    draws = np.array([rng.random() for rng in rngs])
    cumulative = np.exp(log_probs).cumsum(axis=1)
    choices = np.minimum((cumulative <= draws[:, None]).sum(axis=1), space.n - 1)
    return Decision(choices + space.start, log_probs[np.arange(len(rngs)), choices])


def _standard(
    mean: Array, std: Array, space: BoxSpace, rngs: Sequence[np.random.Generator]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mean and deviation as float64 of the actions' shape, and a standard normal draw a lane."""
    shape = (len(rngs), *space.shape)
    draws = np.stack([rng.standard_normal(space.shape) for rng in rngs])
    return np.asarray(mean, np.float64).reshape(shape), np.asarray(std, np.float64).reshape(shape), draws
