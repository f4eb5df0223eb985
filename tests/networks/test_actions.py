import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from vinci_offline.errors import SpecError
from vinci_offline.networks.action_scaling import scale_tensor, unscale_tensor
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, MultiDiscreteSpace
from vinci_offline.spec.action_scaling import BoxScaling, scale_actions, unscale_actions

MIXED = BoxSpace(
    (5,),
    "float32",
    np.array([-2, 0, -np.inf, 0, 3], "f4"),
    np.array([2, 10, np.inf, np.inf, 3], "f4"),
)
"""Five dimensions: symmetric, asymmetric, unbounded, one bound, a single value."""


def test_scale_by_hand():
    actions = np.array([[-2, 0, 7, 4, 3], [1, 10, -7, 0, 3]], "f4")
    scaled = scale_actions(MIXED, actions)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled, [[-1, -1, 7, 4, 0], [0.5, 1, -7, 0, 0]])
    np.testing.assert_allclose(unscale_actions(MIXED, scaled), actions)


def test_unscale_clips_to_finite_bounds():
    actions = unscale_actions(MIXED, np.full((1, 5), -30, "f4"))
    np.testing.assert_array_equal(actions, [[-2, 0, -30, 0, 3]])


def test_bounded_marks_dimensions_with_two_bounds():
    np.testing.assert_array_equal(BoxScaling(MIXED).bounded, [True, True, False, False, True])


@given(
    low=st.floats(-100, 100, width=32),
    width=st.floats(0.5, 100, width=32),
    fraction=st.floats(0, 1, width=32),
)
def test_scaling_round_trip(low, width, fraction):
    space = BoxSpace((1,), "float32", np.array([low], "f4"), np.array([low + width], "f4"))
    action = np.array([[low + fraction * width]], "f4").clip(space.low, space.high)
    scaled = scale_actions(space, action)
    assert np.abs(scaled).max() <= 1 + 1e-3  # near 100, float32 keeps five digits of a small range
    back = unscale_actions(space, scaled)
    assert (back >= space.low).all()
    assert (back <= space.high).all()
    np.testing.assert_allclose(back, action, atol=1e-4)


@pytest.mark.parametrize("scaled", [np.linspace(-3, 3, 20, dtype="f4").reshape(4, 5)])
def test_tensor_scaling_matches_array_scaling(scaled):
    scaling = BoxScaling(MIXED)
    by_keras = ops.convert_to_numpy(unscale_tensor(scaling, ops.convert_to_tensor(scaled)))
    np.testing.assert_array_equal(by_keras, unscale_actions(MIXED, scaled))
    again = ops.convert_to_numpy(scale_tensor(scaling, ops.convert_to_tensor(by_keras)))
    np.testing.assert_allclose(again, scale_actions(MIXED, by_keras), rtol=1e-6)


def test_shaped_and_integer_boxes():
    space = BoxSpace((2, 1), "int64", np.array([[0], [0]]), np.array([[4], [2]]))
    scaled = scale_actions(space, np.array([[[4], [1]]]))
    np.testing.assert_array_equal(scaled, [[1, 0]])
    actions = unscale_actions(space, scaled + 0.1)
    assert actions.dtype == np.int64
    np.testing.assert_array_equal(actions, [[[4], [1]]])
    by_keras = ops.convert_to_numpy(unscale_tensor(BoxScaling(space), ops.convert_to_tensor(scaled + 0.1)))
    np.testing.assert_array_equal(by_keras, actions)
    assert by_keras.dtype == np.int64


def test_discrete_counts_from_zero():
    space = DiscreteSpace(3, start=-1)
    index = scale_actions(space, np.array([-1, 0, 1], "i8"))
    assert index.dtype == np.int32
    np.testing.assert_array_equal(index, [0, 1, 2])
    np.testing.assert_array_equal(unscale_actions(space, index), [-1, 0, 1])


def test_actions_outside_the_space_are_refused():
    with pytest.raises(SpecError, match=r"Discrete space 0 … 2: .* from 0 to 3"):
        scale_actions(DiscreteSpace(3), np.array([0, 3]))
    with pytest.raises(SpecError, match=r"\(4,\) do not fit the action space of \(5,\)"):
        scale_actions(MIXED, np.zeros((2, 4), "f4"))
    with pytest.raises(SpecError, match="choose an agent for Discrete"):
        scale_actions(DictSpace({}), np.zeros((2, 4), "f4"))


def test_scaling_changes_no_input():
    actions = np.ones((2, 5), "f4")
    actions.setflags(write=False)
    MIXED.low.setflags(write=False)
    unscale_actions(MIXED, scale_actions(MIXED, actions))


def test_multi_discrete_actions_are_refused():
    space = MultiDiscreteSpace((2,), "int64", np.array([0, 0]), np.array([4, 2]))
    with pytest.raises(SpecError, match=r"several choices at once .* whose action space is Discrete"):
        scale_actions(space, np.zeros((3, 2), np.int64))
