"""Rank correlation and regret of a ranking, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from vinci_offline.errors import UsageError
from vinci_offline.evaluation.ranks import rank_correlation, regret_at


def test_spearmans_correlation():
    # Ranks 1, 2, 3, 4 and 1, 3, 2, 4: 1 - 6 (0 + 1 + 1 + 0) / (4 (16 - 1)) = 0.8.
    assert rank_correlation(np.array([-5, 0, 1, 900]), np.array([10, 30, 20, 40])) == pytest.approx(0.8)
    assert rank_correlation(np.array([1, 2, 3]), np.array([3, 2, 1])) == pytest.approx(-1)


def test_spearmans_correlation_of_equal_estimates():
    # Ranks 1.5, 1.5, 3 and 1, 2, 3; Pearson's correlation of these is 1.5 / sqrt(1.5 * 2).
    assert rank_correlation(np.array([4, 4, 7]), np.array([1, 2, 3])) == pytest.approx(1.5 / math.sqrt(3))
    assert math.isnan(rank_correlation(np.array([4, 4]), np.array([1, 2])))


@pytest.mark.parametrize(("k", "regret"), [(1, 70), (2, 20), (3, 0), (4, 0)])
def test_regret_is_the_best_return_less_the_best_of_the_first(k, regret):
    # In the order of the estimates the policies earn 30, 80, 100, 10.
    assert regret_at(k, np.array([2, 9, 5, 7]), np.array([10, 30, 100, 80])) == pytest.approx(regret)


def test_regret_of_equal_estimates_is_the_mean_over_the_choices():
    estimates, returns = np.array([1, 1, 1, 5]), np.array([60, 100, 20, 40])
    # The second place goes to each of the three: the best is 60, 100 or 40; the mean regret 100 - 200 / 3.
    assert regret_at(2, estimates, returns) == pytest.approx(100 / 3)
    # Two of the three: 60 and 100, 60 and 20, 100 and 20; the best is 100, 60, 100.
    assert regret_at(3, estimates, returns) == pytest.approx(40 / 3)


def test_regret_at_more_than_there_are_is_refused():
    with pytest.raises(UsageError, match="regret at 3 of 2 policies: choose a number from 1 to 2"):
        regret_at(3, np.array([1, 2]), np.array([1, 2]))
    with pytest.raises(UsageError, match="give one of each a policy"):
        rank_correlation(np.array([1, 2]), np.array([1]))
