"""From an estimator's numbers to an estimate that is told, or to a refusal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.evaluation.estimators.importance import Weighted
from vinci_offline.evaluation.findings import ROUNDING, Estimate, Refused, why_not_one
from vinci_offline.evaluation.intervals import (
    Interval,
    bernstein_interval,
    bootstrap_interval,
    t_interval,
    tail_shape,
    widened,
)

_FEWEST = 2.0
_DEVIATIONS = 4.0
"""Standard errors by which a mean weight may differ from 1."""
_HEAVY = 0.5
"""Shape of a Pareto tail from which on the variance is infinite, and intervals cover less than they say."""


def judged(
    found: Weighted, interval: str, level: float, bounds: tuple[float, float] | None, seed: int
) -> Estimate | Refused:
    """Return a method's estimate, or why its numbers would mean nothing."""
    if found.effective < _FEWEST:
        return Refused(
            f"one episode has {found.largest:.0%} of all weight: the horizon is too long, or the policy too far from "
            "the logged one, for importance weights; record data nearer to it"
        )
    if found.terms is not None and not _covered(found):
        return Refused(why_not_one(found.mean_weight[0]))
    try:
        ends = _interval(found, interval, level, bounds, seed)
    except UsageError as error:
        return Refused(str(error))
    return with_interval(found, ends)


def with_interval(found: Weighted, ends: Interval) -> Estimate:
    """Return a value with its interval, and what the weights tell about them."""
    return Estimate(
        found.value,
        *ends,
        found.effective,
        found.largest,
        found.mean_weight[0],
        covered=_covered(found),
        caveat=_heavy(found) or found.caveat,
        details=found.details,
    )


def _heavy(found: Weighted) -> str | None:
    """Return that the weights have no finite variance, if their tail says so."""
    shape = tail_shape(found.weights)
    if shape < _HEAVY:
        return None
    return f"the largest weights have a tail of shape {shape:.2g}, so their variance is not finite: more may come"


def same_as(found: Weighted, past: Weighted) -> bool:
    """Return True if every episode counts as it did for the policy that was logged."""
    slack = ROUNDING * float(np.abs(past.influence).max())
    same = found.gain is None and bool((np.abs(found.influence - past.influence) <= slack).all())
    return same and abs(found.value - past.value) <= ROUNDING * abs(past.value)


def gain_over(best: Weighted, past: Weighted, level: float) -> Estimate:
    """Return by how much a policy is better than the one that was logged."""
    found = best.gain or replace(
        best, value=best.value - past.value, influence=best.influence - past.influence, members=None
    )
    ends = t_interval(found.value, found.influence, level)
    return with_interval(found, _with_spread(found, ends, level))


def _with_spread(found: Weighted, ends: Interval, level: float) -> Interval:
    return ends if found.members is None else widened(ends, found.value, found.members, level)


def _covered(found: Weighted) -> bool:
    """Return True if the mean weight is 1 but for chance."""
    mean, error = found.mean_weight
    return abs(mean - 1) <= _DEVIATIONS * error + ROUNDING


def _interval(
    found: Weighted, name: str, level: float, bounds: tuple[float, float] | None, seed: int
) -> Interval:
    if name == "t":
        return _with_spread(found, t_interval(found.value, found.influence, level), level)
    if name == "bootstrap":
        ends = bootstrap_interval(found.resampled, len(found.influence), level, seed=seed)
        return _with_spread(found, ends, level)
    if found.terms is None or bounds is None:
        raise UsageError(
            "no mean of independent bounded terms, so no bernstein interval: choose bootstrap or t"
        )
    return bernstein_interval(found.terms, bounds, level)
