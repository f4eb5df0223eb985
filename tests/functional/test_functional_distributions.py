import math

import numpy as np
import pytest
from keras import ops

from vinci_offline import functional
from vinci_offline.errors import SpecError


def f32(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def test_gaussian_log_prob():
    # Two dimensions: one at its mean with deviation 1, one two deviations off with deviation 0.5.
    log_prob = functional.gaussian_log_prob(f32([[1, 0]]), f32([[1, 1]]), f32([[0, math.log(0.5)]]))
    by_hand = -0.5 * math.log(2 * math.pi) + (-0.5 * 4 - math.log(0.5) - 0.5 * math.log(2 * math.pi))
    np.testing.assert_allclose(log_prob, [by_hand], rtol=1e-6)


def test_gaussian_density_integrates_to_one():
    grid = np.linspace(-8, 8, 2001, dtype="float32")[:, None]
    density = np.exp(functional.gaussian_log_prob(f32(grid), f32(grid * 0 + 0.3), f32(grid * 0 - 0.2)))
    assert np.trapezoid(density, grid[:, 0]) == pytest.approx(1.0, abs=1e-4)


def test_gaussian_log_prob_refuses_flat_actions():
    with pytest.raises(SpecError, match="action must have shape"):
        functional.gaussian_log_prob(f32([1, 2]), f32([[1], [2]]), f32([[0], [0]]))


def test_gaussian_entropy():
    entropy = functional.gaussian_entropy(f32([[0.0, math.log(2)], [0.0, 0.0]]))
    unit = math.log(2 * math.pi * math.e)
    np.testing.assert_allclose(entropy, [unit + math.log(2), unit], rtol=1e-6)


def test_categorical_log_prob():
    # softmax of (0, log 3) is (1/4, 3/4).
    logits = f32([[0, math.log(3)], [0, math.log(3)]])
    log_prob = functional.categorical_log_prob(logits, ops.convert_to_tensor([0, 1]))
    np.testing.assert_allclose(log_prob, [math.log(0.25), math.log(0.75)], rtol=1e-6)


def test_categorical_entropy():
    entropy = functional.categorical_entropy(f32([[5, 5, 5, 5], [1000, 0, 0, 0]]))
    np.testing.assert_allclose(entropy, [math.log(4), 0], atol=1e-6)
