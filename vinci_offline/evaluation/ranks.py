"""How good a ranking of policies proved: its rank correlation with their returns, and the regret of following it."""

from __future__ import annotations

import math

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.types import FloatArray


def rank_correlation(estimates: FloatArray, returns: FloatArray) -> float:
    """Return Spearman's rank correlation of estimates and returns; equal numbers share their mean rank.

    Returns:
        A number between -1 and 1; NaN for a single policy, or where all estimates or all returns are equal.

    Raises:
        UsageError: their numbers differ.
    """
    estimates, returns = _checked(estimates, returns)
    if np.ptp(estimates) == 0 or np.ptp(returns) == 0:
        return math.nan
    from scipy.stats import spearmanr

    return float(spearmanr(estimates, returns).statistic)


def regret_at(k: int, estimates: FloatArray, returns: FloatArray) -> float:
    """Return what following a ranking costs: the best return of all policies less the best of the first ``k``.

    It is the cost of trying the ``k`` policies of the greatest estimates, and of keeping the best of these. Where
    policies with equal estimates compete for the last places, it is the mean over all ways to choose among them.

    Args:
        k: the number of policies that are tried, not more than there are.
        estimates: ``[P]``, the greatest comes first.
        returns: ``[P]`` what the policies earn.

    Raises:
        UsageError: there are fewer than ``k`` policies, or the numbers differ.
    """
    estimates, returns = _checked(estimates, returns)
    if not 1 <= k <= len(returns):
        raise UsageError(
            f"regret at {k} of {len(returns)} policies: choose a number from 1 to {len(returns)}"
        )
    last = np.sort(estimates)[::-1][k - 1]
    sure, tied = returns[estimates > last], np.sort(returns[estimates == last])
    places, count = k - len(sure), len(tied)
    floor = sure.max() if len(sure) else -np.inf
    # The i-th smallest of the tied ones is the best of those chosen in C(i, places - 1) of C(count, places) ways.
    ways = np.array([math.comb(i, places - 1) for i in range(count)], np.float64)
    best = float(ways @ np.maximum(tied, floor) / ways.sum())
    return float(returns.max() - best)


def _checked(estimates: FloatArray, returns: FloatArray) -> tuple[FloatArray, FloatArray]:
    estimates, returns = np.asarray(estimates, np.float64), np.asarray(returns, np.float64)
    if estimates.shape != returns.shape or estimates.ndim != 1 or not len(returns):
        raise UsageError(
            f"estimates of shape {estimates.shape} and returns of shape {returns.shape}: give one of each a policy"
        )
    return estimates, returns
