"""Confidence intervals of a mean over episodes, and of functions of such means. All are two-sided."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.types import FloatArray

RESAMPLES = 2000
"""Resamples of a bootstrap."""


class Interval(NamedTuple):
    """The ends of an interval."""

    low: float
    high: float


def t_interval(value: float, influence: FloatArray, level: float = 0.95) -> Interval:
    """Return Student's interval, with n - 1 degrees of freedom.

    Args:
        value: the estimate.
        influence: ``[E]`` by how much each episode moves the estimate, times E; for a mean the terms less their mean.
        level: the share of such intervals that hold the true value.
    """
    from scipy.stats import t

    count = len(influence)
    if count < 2:
        return Interval(math.nan, math.nan)
    half = float(t.ppf(0.5 + level / 2, count - 1)) * float(influence.std(ddof=1)) / math.sqrt(count)
    return Interval(value - half, value + half)


def bootstrap_interval(
    estimate: Callable[[FloatArray], float],
    count: int,
    level: float = 0.95,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return the percentile bootstrap's interval over episodes (Efron, 1979).

    Args:
        estimate: returns the estimate if episode i is in the data ``counts[i]`` times.
        count: E, the number of episodes.
        level: the share of such intervals that hold the true value.
        seed: the same seed draws the same resamples.
        resamples: the number of resamples.
    """
    if count < 2:
        return Interval(math.nan, math.nan)
    rng = np.random.default_rng(seed)
    drawn = [
        estimate(np.bincount(rng.integers(count, size=count), minlength=count).astype(np.float64))
        for _ in range(resamples)
    ]
    return middle([each for each in drawn if math.isfinite(each)] or [math.nan], level)


def middle(drawn: Sequence[float], level: float) -> Interval:
    """Return the ends between which the middle ``level`` of some numbers lie."""
    tail = (1 - level) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return Interval(float(low), float(high))


def widened(interval: Interval, value: float, members: FloatArray, level: float = 0.95) -> Interval:
    """Return an interval that counts the spread between K models too, which is independent of the rest.

    The half-widths are added as deviations are, in squares; the models' own has Student's quantile of K - 1 degrees.

    Args:
        interval: the interval of one model.
        value: the estimate.
        members: ``[K]`` the estimate by each model.
        level: the share of such intervals that hold the true value.
    """
    from scipy.stats import t

    if len(members) < 2:
        return interval
    half = float(t.ppf(0.5 + level / 2, len(members) - 1)) * float(members.std(ddof=1))
    return Interval(
        value - math.hypot(value - interval.low, half), value + math.hypot(interval.high - value, half)
    )


def bernstein_interval(terms: FloatArray, bounds: tuple[float, float], level: float = 0.95) -> Interval:
    """Return the interval of the empirical Bernstein inequality, which holds for any number of bounded terms.

    Maurer and Pontil (2009), https://arxiv.org/abs/0907.3740, theorem 4. Each side has half of the remaining
    probability.

    Args:
        terms: ``[E]`` independent terms.
        bounds: the smallest and the greatest value that a term can have. They must be known beforehand: those of
            the data are not bounds.
        level: the share of such intervals that hold the true mean, or more.

    Raises:
        UsageError: a term is outside the bounds.
    """
    low, high = bounds
    if terms.min() < low or terms.max() > high:
        raise UsageError(
            f"a weighted return is {terms.min():g} or {terms.max():g}, outside the bounds {low:g} and {high:g}: "
            "give bounds that none can leave"
        )
    count = len(terms)
    if count < 2:
        return Interval(math.nan, math.nan)
    log = math.log(2 / ((1 - level) / 2))
    half = math.sqrt(2 * float(terms.var(ddof=1)) * log / count) + 7 * (high - low) * log / (3 * (count - 1))
    return Interval(float(terms.mean()) - half, float(terms.mean()) + half)


def effective_sample_size(weights: FloatArray) -> float:
    """Return ``(sum w)^2 / sum w^2``: how many equal weights have the variance of these; 0 if all are 0.

    Kong (1992). It is between 1 and the number of weights.
    """
    squares = float(np.square(weights).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def tail_shape(weights: FloatArray) -> float:
    """Return the shape of a Pareto tail through the largest weights. From 0.5 on their variance is infinite.

    Vehtari et al. (2024), https://arxiv.org/abs/1507.02646, judge importance weights so. The estimator is the one of
    Zhang and Stephens (2009) for a generalised Pareto distribution, with a weak prior at 0.5.

    Returns:
        The shape; -inf where the largest weights are equal or fewer than five differ.
    """
    ordered = np.sort(weights[weights > 0])
    count = int(min(len(ordered) / 5, 3 * math.sqrt(len(ordered))))
    if count < 5:
        return -math.inf
    above = ordered[-count:] - ordered[-count - 1]
    above = above[above > 1e-9 * ordered[-1]]
    if len(above) < 5:
        return -math.inf
    points = 30 + int(math.sqrt(len(above)))
    quartile = above[int(len(above) / 4 + 0.5) - 1]
    grid = (1 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))) / (3 * quartile) + 1 / above[-1]
    shapes = np.log1p(-grid[:, None] * above).mean(axis=1)
    likelihood = len(above) * (np.log(-grid / shapes) - shapes - 1)
    share = np.exp(likelihood - likelihood.max())
    shape = float(np.log1p(-float(grid @ share / share.sum()) * above).mean())
    return (shape * len(above) + 0.5 * 10) / (len(above) + 10)
