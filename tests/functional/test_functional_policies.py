"""Squashed actions, draws and values of policies, against NumPy."""

import math

import numpy as np
import pytest
from keras import ops

from vinci_offline import functional
from vinci_offline.functional import random
from vinci_offline.types import ActionBounds

KEY = random.key(3, ops.convert_to_tensor(1), 0)
INFINITE = np.inf
BOUNDS = ActionBounds(
    np.array([-1, -2, -INFINITE, -INFINITE], "f4"), np.array([1, INFINITE, 3, INFINITE], "f4")
)
"""The unit, a lower bound, an upper bound, none."""


def tensor(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def array(values):
    return np.asarray(ops.convert_to_numpy(values), np.float64)


@pytest.mark.parametrize("bounds", [None, BOUNDS])
def test_slope_of_squash_is_its_derivative(bounds):
    raw = np.linspace(-4, 4, 9)[:, None] * np.ones(4)
    step = 1e-2
    above, below = (array(functional.squash(tensor(raw + sign * step), bounds)) for sign in (1, -1))
    slope = np.exp(array(functional.log_squash_slope(tensor(raw), bounds)))
    np.testing.assert_allclose(slope, (above - below) / (2 * step), rtol=2e-3, atol=2e-4)


def test_slope_of_tanh_keeps_its_digits_far_out():
    found = array(functional.log_squash_slope(tensor([[20.0, -20.0]])))
    np.testing.assert_allclose(found, 2 * (math.log(2) - 20), rtol=1e-6)


def test_squashed_draws_have_the_density_that_is_returned():
    """The density integrates to one over the actions: a histogram of many draws has the returned density."""
    count = 40_000
    policy = {"location": tensor(np.full((count, 1), 0.3)), "log_std": tensor(np.full((count, 1), -0.5))}
    action, log_prob = map(array, functional.sample_action(policy, KEY))
    edges = np.linspace(-0.9, 0.9, 10)
    counts, _ = np.histogram(action[:, 0], edges)
    place = np.digitize(action[:, 0], edges) - 1
    for bin_, found in enumerate(counts):
        density = np.exp(log_prob[place == bin_]).mean()
        assert found / count / 0.2 == pytest.approx(density, rel=0.12)


def test_gaussian_draws_are_clipped_after_their_density():
    policy = {"mean": tensor([[0.9], [-5.0]]), "log_std": tensor([[0.0], [0.0]])}
    action, log_prob = map(array, functional.sample_action(policy, KEY))
    noise = array(random.normal(KEY, (2, 1)))
    np.testing.assert_allclose(action, np.clip(np.array([[0.9], [-5.0]]) + noise, -1, 1), rtol=1e-5)
    np.testing.assert_allclose(log_prob, (-0.5 * noise**2)[:, 0] - 0.5 * math.log(2 * math.pi), rtol=1e-5)


def test_deterministic_policy_draws_its_action():
    action, log_prob = functional.sample_action(tensor([[0.5], [3.0]]), KEY)
    assert array(action).tolist() == [[0.5], [1.0]]
    assert array(log_prob).tolist() == [0, 0]


def test_rows_are_repeated_side_by_side():
    repeated = functional.repeat_rows({"a": tensor([[1.0], [2.0]])}, 2)
    assert array(repeated["a"])[:, 0].tolist() == [1, 1, 2, 2]


def test_value_of_a_policy_is_the_mean_of_its_draws():
    def critic(inputs):
        observation, action = inputs
        return ops.stack([observation[:, 0] + action[:, 0], 5.0 + action[:, 0]])

    policy = {"mean": tensor([[0.1], [0.2]]), "log_std": tensor([[-2.0], [-2.0]])}
    found = functional.policy_value(critic, tensor([[1.0], [9.0]]), policy, KEY, samples=3)
    noise = array(random.normal(KEY, (6, 1))).reshape(2, 3)
    draws = np.array([[0.1], [0.2]]) + math.exp(-2) * noise
    np.testing.assert_allclose(array(found), np.array([1, 5]) + draws.mean(axis=1), rtol=1e-5)


def test_imitation_of_each_kind_of_policy():
    action, choice = tensor([[0.5]]), ops.convert_to_tensor(np.array([1], "int32"))
    gaussian = {"mean": tensor([[0.0]]), "log_std": tensor([[0.0]])}
    half_log = 0.5 * math.log(2 * math.pi)
    assert float(functional.negative_log_likelihood(tensor([[0.0]]), action)[0]) == pytest.approx(0.25)
    assert float(functional.negative_log_likelihood(gaussian, action)[0]) == pytest.approx(0.125 + half_log)
    logits = {"logits": tensor([[0.0, math.log(3)]])}
    assert float(functional.negative_log_likelihood(logits, choice)[0]) == pytest.approx(-math.log(0.75))
