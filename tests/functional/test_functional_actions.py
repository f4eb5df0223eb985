import numpy as np
import pytest
from keras import ops

from vinci_offline import functional
from vinci_offline.errors import SpecError
from vinci_offline.functional import random


def f32(values):
    return ops.convert_to_tensor(np.asarray(values, "float32"))


def test_clip_action_leaves_unbounded_dimensions():
    action = f32([[2, 2], [-3, -3]])
    np.testing.assert_array_equal(functional.clip_action(action), [[1, 1], [-1, -1]])
    bounded = np.array([True, False])
    np.testing.assert_array_equal(functional.clip_action(action, bounded), [[1, 2], [-1, -3]])


def test_target_policy_smoothing_clips_noise_then_action():
    key = random.key(0, ops.convert_to_tensor(7), 0)
    shape = (512, 2)
    draw = np.asarray(random.normal(key, shape))
    smoothed = np.asarray(functional.target_policy_smoothing(ops.zeros(shape), key, 0.2, 0.3))
    np.testing.assert_allclose(smoothed, np.clip(0.2 * draw, -0.3, 0.3), rtol=1e-6)
    assert (np.abs(smoothed) > 0.29).any()  # some draws reach the clip: the test sees it
    at_bound = np.asarray(functional.target_policy_smoothing(ops.ones(shape), key, 0.2, 0.3))
    assert at_bound.max() == 1.0
    free = np.asarray(
        functional.target_policy_smoothing(ops.ones(shape), key, 0.2, 0.3, np.array([False, False]))
    )
    assert free.max() == pytest.approx(1.3)


def test_target_policy_smoothing_without_noise_is_identity():
    key = random.key(0, ops.convert_to_tensor(7), 0)
    np.testing.assert_array_equal(
        functional.target_policy_smoothing(f32([[0.3, -0.4]]), key, 0.0, 0.5), f32([[0.3, -0.4]])
    )


def test_batched_index_takes_one_value_a_row():
    values = f32([[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(functional.batched_index(values, ops.convert_to_tensor([2, 0])), [3, 4])
    ensemble = functional.batched_index(ops.stack([values, -values]), ops.convert_to_tensor([2, 0]))
    np.testing.assert_array_equal(ensemble, [[3, 4], [-3, -4]])


def test_batched_index_refuses_one_hot_actions():
    with pytest.raises(SpecError, match="action must have shape"):
        functional.batched_index(f32([[1, 2], [3, 4]]), ops.convert_to_tensor([[1, 0], [0, 1]]))


def test_double_q_learning_selects_online_and_evaluates_target():
    online, target = f32([[1, 9, 2], [5, 4, 3]]), f32([[7, 1, 8], [0.5, 6, 6]])
    np.testing.assert_array_equal(functional.double_q_learning(online, target), [1, 0.5])
    np.testing.assert_array_equal(functional.double_q_learning(target, target), [8, 6])
