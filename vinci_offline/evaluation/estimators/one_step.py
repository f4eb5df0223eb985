"""Estimates for data of one step, as logs of recommendations are: importance weights with a model of rewards.

All are the mean of ``V(x) + c (r - Q(x, a))`` over rows. They differ in c, a function of the ratio ``w``: 0 for the
direct method, ``w`` for the doubly robust one (`estimators.doubly_robust`), and for the two below a smaller number, so
that no row counts for too much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from vinci_offline.evaluation.estimators.doubly_robust import RowValues
from vinci_offline.evaluation.estimators.importance import Weighted, mean_of
from vinci_offline.types import FloatArray

_SHARES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
"""Quantiles of the weights that are tried as a limit."""


def direct(values: RowValues) -> Weighted:
    """Return the mean of ``V(x)``. It is as good as the model of rewards."""
    found = mean_of(values.policy, np.ones(len(values.policy)))
    return replace(found, terms=None, caveat="the interval leaves out errors of the reward model")


def switch(
    ratios: FloatArray, rewards: FloatArray, values: RowValues, threshold: float | None = None
) -> Weighted:
    """Return Switch-DR (Wang et al., 2017, https://arxiv.org/abs/1612.01205).

    Rows with weights above a threshold count by the model alone.

    Args:
        ratios: ``[N]`` w.
        rewards: ``[N]`` r.
        values: the model's values, of a model that has not seen the row.
        threshold: the largest w that counts. None chooses the one with the least estimated mean squared error.
    """

    def counted(limit: float) -> FloatArray:
        return np.where(ratios <= limit, ratios, 0.0)

    limit = _chosen(ratios, rewards, values, counted, _limits(ratios)) if threshold is None else threshold
    above = int((ratios > limit).sum())
    caveat = (
        f"{above:,} weights above {limit:.3g} count by the reward model alone, a bias that no interval tells"
    )
    return _estimate(ratios, counted(limit), rewards, values, "threshold", limit, caveat if above else None)


def shrinkage(
    ratios: FloatArray, rewards: FloatArray, values: RowValues, strength: float | None = None
) -> Weighted:
    """Return DR with optimistic shrinkage (Su et al., 2020, https://arxiv.org/abs/1907.09623).

    A weight w counts as ``lambda w / (w^2 + lambda)``: 0 is the direct method, infinity the doubly robust one.

    Args:
        ratios: ``[N]`` w.
        rewards: ``[N]`` r.
        values: the model's values, of a model that has not seen the row.
        strength: lambda. None chooses the one with the least estimated mean squared error.
    """

    def counted(lambda_: float) -> FloatArray:
        if math.isinf(lambda_):
            return ratios
        below = np.square(ratios) + lambda_
        shrunk: FloatArray = lambda_ * ratios / np.where(below > 0, below, 1.0)
        return shrunk

    candidates = [limit * limit for limit in _limits(ratios)]
    lambda_ = _chosen(ratios, rewards, values, counted, candidates) if strength is None else strength
    caveat = f"weights are shrunk (lambda {lambda_:.3g}), a bias that no interval tells"
    shrunk = not np.array_equal(counted(lambda_), ratios)
    return _estimate(ratios, counted(lambda_), rewards, values, "lambda", lambda_, caveat if shrunk else None)


def _limits(ratios: FloatArray) -> list[float]:
    return [*sorted({0.0, *map(float, np.quantile(ratios, _SHARES))}), math.inf]


def _chosen(
    ratios: FloatArray,
    rewards: FloatArray,
    values: RowValues,
    counted: Callable[[float], FloatArray],
    candidates: list[float],
) -> float:
    """Return the candidate with the least estimated mean squared error.

    The bias is estimated by the mean of what is left out, ``(w - c) (r - Q)``.
    """
    errors = rewards - values.logged

    def squared_error(candidate: float) -> float:
        weights = counted(candidate)
        bias = float(((ratios - weights) * errors).mean())
        return bias * bias + float((values.policy + weights * errors).var()) / len(errors)

    return min(reversed(candidates), key=squared_error)


def _estimate(
    ratios: FloatArray,
    weights: FloatArray,
    rewards: FloatArray,
    values: RowValues,
    name: str,
    parameter: float,
    caveat: str | None,
) -> Weighted:
    found = mean_of(values.policy + weights * (rewards - values.logged), ratios)
    details = {name: parameter} if math.isfinite(parameter) else {}
    return replace(found, caveat=caveat, details=details)
