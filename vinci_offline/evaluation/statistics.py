"""Statistics of scores over training seeds and tasks.

Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
https://arxiv.org/abs/2108.13264. Scores are ``[R, M]``: R runs, one a seed, of each of M tasks.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vinci_offline.deviation import wilson
from vinci_offline.errors import UsageError
from vinci_offline.evaluation.intervals import RESAMPLES, Interval, middle
from vinci_offline.types import Array, FloatArray


def interquartile_mean(scores: FloatArray) -> float:
    """Return the mean of the middle half of all scores: a quarter is cut off on each side.

    It is more robust than the mean and needs fewer runs than the median.
    """
    # SciPy's trim_mean(scores, 0.25), which takes fifty times as long for few scores; the bootstrap makes thousands.
    ordered = np.sort(np.ravel(scores))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def optimality_gap(scores: FloatArray, optimum: float = 1.0) -> float:
    """Return by how much scores fall short of an optimum, on average; a score beyond it counts as the optimum."""
    return float(np.mean(optimum - np.minimum(scores, optimum)))


def performance_profile(scores: FloatArray, thresholds: FloatArray) -> FloatArray:
    """Return ``[K]`` the share of all scores above each threshold."""
    shares: FloatArray = (np.ravel(scores)[None, :] > np.asarray(thresholds)[:, None]).mean(axis=1)
    return shares


def probability_of_improvement(one: FloatArray, other: FloatArray) -> float:
    """Return the probability that a run of ``one`` scores above a run of ``other``, on average over the tasks.

    It is the Mann-Whitney statistic divided by its maximum; equal scores count a half.

    Args:
        one: ``[R, M]`` scores.
        other: ``[Q, M]`` scores on the same tasks.

    Raises:
        UsageError: the numbers of tasks differ.
    """
    if one.shape[1] != other.shape[1]:
        raise UsageError(
            f"scores of {one.shape[1]} and {other.shape[1]} tasks: compare runs of the same tasks"
        )
    difference = one[:, None, :] - other[None, :, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def stratified_bootstrap(
    statistic: Callable[..., float],
    *scores: FloatArray,
    level: float = 0.95,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the percentile interval of a statistic; runs are resampled within each task.

    Args:
        statistic: a function of as many arrays as are given.
        scores: ``[R, M]`` each.
        level: the share of such intervals that hold the true value, for enough runs.
        seed: the same seed draws the same resamples.
        resamples: the number of resamples.
    """
    rng = np.random.default_rng(seed)

    def resampled(values: FloatArray) -> FloatArray:
        chosen: Array = rng.integers(len(values), size=values.shape)
        return np.take_along_axis(values, chosen, axis=0)

    return middle([statistic(*map(resampled, scores)) for _ in range(resamples)], level)


def wilson_interval(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Return Wilson's interval of a success rate (Wilson, 1927); it stays inside [0, 1], with 0 or all successes too.

    Raises:
        UsageError: there are no trials, or more successes than trials.
    """
    if not 0 <= successes <= trials or not trials:
        raise UsageError(
            f"{successes} successes of {trials} trials: give a number of successes up to the trials"
        )
    return Interval(*wilson(successes, trials, level))
