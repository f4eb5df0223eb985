import math

import numpy as np
import pytest

from vinci_offline.policies.densities import (
    clipped_gaussian_log_prob,
    log_softmax,
    log_tail,
    squashed_gaussian_log_prob,
)


def test_clipped_gaussian_inside_bounds():
    log_prob = clipped_gaussian_log_prob(
        np.array([[0.5, -0.2]]),
        np.array([[0.0, 0.1]]),
        np.array([[1.0, 0.5]]),
        np.full(2, -1.0),
        np.full(2, 1.0),
    )
    # -x^2/2 - log(sigma) - log(sqrt(2 pi)), by hand for both dimensions.
    expected = (-0.125 - 0.9189385332) + (-0.5 * 0.36 - math.log(0.5) - 0.9189385332)
    assert log_prob == pytest.approx([expected])


def test_clipped_gaussian_at_a_bound_is_the_tail():
    # P(X > 1) and P(X < -1) of a standard normal.
    actions, zeros, ones = np.array([[1.0], [-1.0]]), np.zeros((2, 1)), np.ones((2, 1))
    log_prob = clipped_gaussian_log_prob(actions, zeros, ones, np.array([-1.0]), np.array([1.0]))
    assert log_prob == pytest.approx([math.log(0.15865525393145707)] * 2)


def test_clipped_gaussian_integrates_to_one():
    grid = np.linspace(-1, 2, 20001)[1:-1, None]
    low, high, mean, std = np.array([-1.0]), np.array([2.0]), np.full((1, 1), 1.5), np.full((1, 1), 0.8)
    inside = np.exp(clipped_gaussian_log_prob(grid, mean, std, low, high)).sum() * 3 / 20000
    atoms = np.exp(clipped_gaussian_log_prob(np.array([[-1.0], [2.0]]), mean, std, low, high)).sum()
    assert inside + atoms == pytest.approx(1, abs=1e-4)


def test_equal_bounds_have_probability_one():
    same = np.array([0.5])
    assert clipped_gaussian_log_prob(np.array([[0.5]]), np.zeros((1, 1)), np.ones((1, 1)), same, same) == 0


def test_log_tail_beyond_erfc_underflow():
    # log Q(z) at 10 and 40 from the continued fraction of Mills' ratio, 40 digits.
    assert log_tail(np.array([0.0, 10.0, 40.0])) == pytest.approx(
        [math.log(0.5), -53.2312851505124, -804.608442013754], rel=1e-12
    )
    near, far = log_tail(np.array([30.0, np.nextafter(30.0, 31.0)]))
    assert near == pytest.approx(far, rel=1e-13)
    assert log_tail(np.array([-40.0])) == 0


def test_log_softmax_of_large_scores():
    assert log_softmax(np.array([[1000.0, 1000.0]])) == pytest.approx(np.full((1, 2), -math.log(2)))


def test_squashed_gaussian_integrates_to_one():
    raw = np.linspace(-12, 12, 20_001)[:, None]
    low, high = np.array([-1.0]), np.array([3.0])
    actions = low + (np.tanh(raw) + 1) * (high - low) / 2
    ones = np.ones_like(raw)
    density = np.exp(squashed_gaussian_log_prob(raw, 0.3 * ones, 0.8 * ones, low, high))
    assert np.trapezoid(density, actions[:, 0]) == pytest.approx(1, abs=1e-5)


def test_squashed_gaussian_is_finite_where_tanh_saturates():
    far, zero, one = np.array([[30.0]]), np.zeros((1, 1)), np.ones((1, 1))
    log_prob = squashed_gaussian_log_prob(far, zero, one, np.array([-1.0]), np.array([1.0]))
    # log(1 - tanh(30)^2) = 2 log 2 - 60 to double precision.
    assert log_prob == pytest.approx([-450 - 0.9189385332 - (2 * math.log(2) - 60)])
