"""Statistics over seeds and tasks, against numbers worked out by hand."""

import numpy as np
import pytest
from scipy.stats import trim_mean

from vinci_offline.errors import UsageError
from vinci_offline.evaluation.statistics import (
    interquartile_mean,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
    wilson_interval,
)


def test_interquartile_mean_cuts_a_quarter_on_each_side():
    scores = np.array([[0.0, 100.0], [3.0, 4.0], [1.0, -50.0], [5.0, 2.0]])
    assert interquartile_mean(scores) == pytest.approx((1 + 2 + 3 + 4) / 4)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9])
def test_interquartile_mean_is_scipys_trimmed_mean(count):
    scores = np.random.default_rng(count).normal(size=count)
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25))


def test_optimality_gap_counts_scores_beyond_the_optimum_as_the_optimum():
    assert optimality_gap(np.array([[0.5, 2.0], [1.0, 0.0]])) == pytest.approx((0.5 + 0 + 0 + 1) / 4)


def test_performance_profile_is_the_share_above_each_threshold():
    found = performance_profile(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0.0, 2.0, 4.0]))
    np.testing.assert_allclose(found, [1, 0.5, 0])


def test_probability_of_improvement_counts_pairs_and_halves_ties():
    one, other = np.array([[1.0], [2.0]]), np.array([[1.0], [0.0]])
    assert probability_of_improvement(one, other) == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    assert probability_of_improvement(other, one) == pytest.approx(0.5 / 4)
    with pytest.raises(UsageError, match="scores of 1 and 2 tasks"):
        probability_of_improvement(one, np.zeros((2, 2)))


def test_bootstrap_resamples_runs_within_their_task():
    """Scores of a task do not mix with those of another: without noise inside tasks there is no width."""
    tasks = np.tile([0.0, 100.0], (4, 1))
    assert stratified_bootstrap(np.mean, tasks, resamples=50) == (50, 50)
    noisy = np.random.default_rng(0).normal(size=(30, 3))
    first = stratified_bootstrap(np.mean, noisy, seed=1)
    assert first == stratified_bootstrap(np.mean, noisy, seed=1)
    assert first.low < noisy.mean() < first.high
    assert first.high - first.low == pytest.approx(2 * 1.96 / np.sqrt(90), rel=0.25)


def test_wilson_interval_of_a_success_rate():
    # (p + z^2 / 2n +- z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n) with p = 8 / 10, z = 1.959964
    assert wilson_interval(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-6)
    low, high = wilson_interval(0, 20)
    assert low == pytest.approx(0, abs=1e-12)
    assert 0.1 < high < 0.2
    with pytest.raises(UsageError, match="3 successes of 2 trials"):
        wilson_interval(3, 2)
