"""Estimates by a model of values: the mean value of first observations."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.evaluation.estimators.doubly_robust import RowValues, doubly_robust, weighted_doubly_robust
from vinci_offline.evaluation.estimators.importance import Weighted, mean_of
from vinci_offline.evaluation.evidence.evidence import Evidence
from vinci_offline.keras_setup import import_keras
from vinci_offline.types import FloatArray

if TYPE_CHECKING:
    from vinci_offline.evaluation.estimators.fitted import FirstValues

QUANTILES = (0.1, 0.5, 0.9)
_TAIL = 0.1


def direct_method(evidence: Evidence) -> Weighted:
    """Return the mean value of the first observations by a fitted model. The interval is over these states alone."""
    found = _first_values(evidence)
    return from_first_values(found.first, found.after, evidence.logged.returns, spread=False)


def fitted_q_evaluation(evidence: Evidence) -> Weighted:
    """Return the same with the spread of critics that learned from resamples of the episodes.

    A model of quantiles has one critic, and tells quantiles of the return and its mean in the worst tenth.
    """
    found = _first_values(evidence)
    estimate = from_first_values(found.first, found.after, evidence.logged.returns, spread=found.resampled)
    if (told := found.distribution) is not None:
        details = {f"quantile_{100 * each:.0f}": told.quantile(each) for each in QUANTILES}
        return replace(estimate, details={**details, f"cvar_{100 * _TAIL:.0f}": told.tail_mean(_TAIL)})
    return estimate


def from_first_values(first: FloatArray, after: FloatArray, returns: FloatArray, *, spread: bool) -> Weighted:
    """Return the estimate of a model's values.

    The gain over the logged policy is the mean of ``V(s_0) - G - gamma^T V(s_T)``. An episode that was cut goes on
    with the judged policy: it is compared with the logged one for as long as that was recorded.

    Args:
        first: ``[K, E]`` the values of first observations, by each of K critics.
        after: ``[K, E]`` the discounted values where recordings end; 0 after a terminal row.
        returns: ``[E]`` discounted returns of the episodes.
        spread: count the spread between critics in the interval.
    """
    caveat = "the interval leaves out errors of the fitted values"
    if spread:
        caveat = f"the interval counts the spread of {len(first)} critics, not an error that they share"
    goes_on = "; the value goes on after the time limit" if after.any() else ""

    def of(values: FloatArray, caveat: str) -> Weighted:
        found = mean_of(values.mean(axis=0), np.ones(values.shape[1]))
        return replace(found, terms=None, caveat=caveat, members=values.mean(axis=1) if spread else None)

    gain = of(first - after - returns, caveat)
    return replace(of(first, caveat + goes_on), gain=gain)


def doubly_robust_fitted(evidence: Evidence) -> Weighted:
    """Return the doubly robust estimate with a model fitted by folds of episodes."""
    episodes = evidence.weighted  # before a model is trained in vain
    return doubly_robust(episodes, _row_values(evidence))


def weighted_doubly_robust_fitted(evidence: Evidence) -> Weighted:
    """Return the weighted doubly robust estimate with a model fitted by folds of episodes."""
    episodes = evidence.weighted
    return weighted_doubly_robust(episodes, _row_values(evidence))


def _first_values(evidence: Evidence) -> FirstValues:
    import_keras()
    from vinci_offline.evaluation.estimators.fitted import first_values

    return first_values(evidence)


def _row_values(evidence: Evidence) -> RowValues:
    import_keras()
    from vinci_offline.evaluation.estimators.fitted import cross_fitted

    values, counted = cross_fitted(evidence), evidence.counted
    if counted.terminated.all():
        return values
    return values.up_to(int(counted.lengths.max()), evidence.logged)
