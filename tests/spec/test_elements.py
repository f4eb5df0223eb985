"""What an environment gives must be an element of its space: shapes, parts, and whole numbers."""

import numpy as np
import pytest

from vinci_offline import SpecError
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, TupleSpace
from vinci_offline.spec.elements import ObservationCheck, check_reward


def box(*shape, dtype="float32", low=-100, high=100):
    return BoxSpace(shape, dtype, np.full(shape, low, dtype), np.full(shape, high, dtype))


BOTH = DictSpace({"state": box(3), "room": DiscreteSpace(4)})
PAIR = TupleSpace.of([box(2), DiscreteSpace(4)])


@pytest.mark.parametrize(
    ("space", "observation"),
    [
        (box(3), np.zeros(3, np.float32)),
        (box(3), np.zeros(3)),
        (box(3), [0, 1, 2]),
        (box(), 1.5),
        (box(2, 2, dtype="uint8", low=0), np.zeros((2, 2), np.uint8)),
        (box(2, dtype="int32"), np.array([1.0, -2.0])),
        (box(2, dtype="int32"), np.array([1, 2**31 - 1])),
        (DiscreteSpace(4), 3),
        (DiscreteSpace(4), np.int64(3)),
        (DiscreteSpace(4), np.array(3, np.int32)),
        (BOTH, {"state": np.zeros(3), "room": 1, "more": None}),
        (PAIR, (np.zeros(2), np.int64(1))),
    ],
)
def test_elements_pass(space, observation):
    ObservationCheck(space)(observation)


@pytest.mark.parametrize(
    ("space", "observation", "message"),
    [
        (box(3), np.zeros(1, np.float32), r"an observation of shape \(1,\), and its .* Box\(3,\)"),
        (box(3), np.float32(0), r"shape \(\)"),
        (box(3), np.zeros((1, 3)), r"shape \(1, 3\)"),
        (box(3), [[0], [1, 2], [3]], "shape"),
        (box(3), "abc", "shape"),
        (box(1), None, "shape"),
        (DiscreteSpace(4), np.array([3]), r"shape \(1,\), and its .* Discrete\(4\)"),
        (DiscreteSpace(4), 1.5, "gave 1.5 in an observation, which int64"),
        (box(1, dtype="uint8", low=0), np.array([-1]), "gave -1 in an observation, which uint8"),
        (box(1, dtype="int32"), np.array([3_000_000_000]), "gave 3000000000 .* int32"),
        (box(1, dtype="int32"), np.array([np.nan]), "gave nan"),
        (BOTH, {"state": np.zeros(1), "room": 1}, r"shape \(1,\)"),
        (BOTH, {"state": np.zeros(3)}, "without 'room'"),
        (BOTH, np.zeros(3), "without 'state'"),
        (PAIR, (np.zeros(2),), "without 1"),
    ],
)
def test_others_are_refused(space, observation, message):
    with pytest.raises(SpecError, match=message):
        ObservationCheck(space)(observation)


def test_shape_and_dtype_are_told_for_one_part():
    for space, expected in (
        (box(3), ((3,), np.float32)),
        (box(dtype="int32"), ((), np.int32)),
        (BOTH, (None, None)),
    ):
        check = ObservationCheck(space)
        assert (check.shape, check.dtype) == expected


@pytest.mark.parametrize("reward", [1.0, 1, True, np.float32(1), np.array(1.0)])
def test_a_number_is_a_reward(reward):
    check_reward(reward)


@pytest.mark.parametrize("reward", [np.ones(1), [1.0], np.ones((1, 1)), None, "1", [[1], [2, 3]]])
def test_other_rewards_are_refused(reward):
    with pytest.raises(SpecError, match="not one number"):
        check_reward(reward)
