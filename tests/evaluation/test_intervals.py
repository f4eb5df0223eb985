"""Intervals against numbers worked out by hand, and against the coverage that they promise."""

import math

import numpy as np
import pytest

from vinci_offline.errors import UsageError
from vinci_offline.evaluation.intervals import (
    Interval,
    bernstein_interval,
    bootstrap_interval,
    effective_sample_size,
    t_interval,
    tail_shape,
    widened,
)


def mean_of(values):
    return lambda counts: float(counts @ values / counts.sum())


def test_t_interval_is_two_sided_with_its_degrees_of_freedom():
    values = np.arange(
        1.0, 6.0
    )  # deviation sqrt(2.5); the quantile 0.975 of t with 4 degrees of freedom is 2.7764
    half = 2.776445105 * math.sqrt(2.5) / math.sqrt(5)
    assert t_interval(3.0, values - 3) == pytest.approx((3 - half, 3 + half))


def test_bernstein_interval_divides_the_range_by_the_number_of_terms():
    log = math.log(2 / 0.025)
    half = math.sqrt(2 * (1 / 3) * log / 4) + 7 * 10 * log / (3 * 3)
    assert bernstein_interval(np.array([0.0, 1.0, 0.0, 1.0]), (0, 10)) == pytest.approx(
        (0.5 - half, 0.5 + half)
    )
    narrow = bernstein_interval(np.tile([0.0, 1.0], 50_000), (0, 1))
    assert narrow.high - narrow.low < 0.01


def test_bernstein_interval_refuses_terms_outside_the_bounds():
    with pytest.raises(UsageError, match="outside the bounds 0 and 1"):
        bernstein_interval(np.array([0.0, 1.5]), (0, 1))


def test_bootstrap_repeats_by_its_seed():
    values = np.random.default_rng(0).normal(size=50)
    first = bootstrap_interval(mean_of(values), 50, seed=3)
    assert first == bootstrap_interval(mean_of(values), 50, seed=3)
    assert first != bootstrap_interval(mean_of(values), 50, seed=4)
    assert first == pytest.approx(t_interval(values.mean(), values - values.mean()), abs=0.06)


@pytest.mark.parametrize("interval", ["t", "bootstrap"])
def test_intervals_hold_the_true_mean_as_often_as_they_say(interval):
    """Of 400 samples of 60 numbers, 95% of the intervals hold the mean; 4 standard errors are 4.4%."""
    held = 0
    for values in np.random.default_rng(0).normal(2, 3, (400, 60)):
        low, high = (
            t_interval(values.mean(), values - values.mean())
            if interval == "t"
            else bootstrap_interval(mean_of(values), 60, resamples=300)
        )
        held += low <= 2 <= high
    assert 0.906 <= held / 400 <= 0.994


def test_one_episode_has_no_interval():
    assert all(map(math.isnan, t_interval(1.0, np.zeros(1))))
    assert all(map(math.isnan, bootstrap_interval(lambda _: 1.0, 1)))
    assert all(map(math.isnan, bernstein_interval(np.ones(1), (0, 2))))


@pytest.mark.parametrize(
    ("weights", "size"), [([1, 1, 1, 1], 4), ([1, 0, 0, 0], 1), ([2, 1], 1.8), ([0, 0], 0)]
)
def test_effective_sample_size(weights, size):
    assert effective_sample_size(np.array(weights, float)) == pytest.approx(size)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.3, 0.8])
def test_tail_shape_of_pareto_draws(shape):
    from scipy.stats import genpareto

    weights = 1 + genpareto.rvs(shape, size=200_000, random_state=0)
    assert tail_shape(weights) == pytest.approx(shape, abs=0.08)


def test_equal_weights_have_no_tail():
    assert tail_shape(np.ones(100)) == -np.inf
    assert tail_shape(np.repeat([0.0, 0.5, 2.0], 50)) == -np.inf
    assert tail_shape(np.arange(10.0)) == -np.inf


def test_members_widen_an_interval_by_hand():
    # Three members with deviation 1; Student's quantile of two degrees is 4.3027.
    found = widened(Interval(8.0, 13.0), 10.0, np.array([9.0, 10.0, 11.0]))
    assert found.low == pytest.approx(10 - np.hypot(2, 4.3027), abs=1e-4)
    assert found.high == pytest.approx(10 + np.hypot(3, 4.3027), abs=1e-4)
    assert widened(Interval(8.0, 13.0), 10.0, np.array([9.0])) == (8, 13)
