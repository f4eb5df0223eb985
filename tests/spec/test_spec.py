from __future__ import annotations

import json

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinci_offline import EnvironmentSpec, SpecError
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiDiscreteSpace,
    TupleSpace,
    difference,
    space_from_gymnasium,
)

_floats = st.floats(allow_nan=False, width=32)
_boxes = st.builds(
    lambda shape, dtype, one, other: BoxSpace(
        shape, dtype, np.full(shape, min(one, other), dtype), np.full(shape, max(one, other), dtype)
    ),
    st.lists(st.integers(1, 3), max_size=3).map(tuple),
    st.sampled_from(["float32", "float64"]),
    _floats,
    _floats,
).filter(lambda box: bool(np.all(box.low < np.inf) and np.all(box.high > -np.inf)))  # others hold nothing
_choices = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(
    lambda counts: MultiDiscreteSpace(
        (len(counts),), "int64", np.zeros(len(counts), np.int64), np.array(counts) - 1
    )
)
_leaves = _boxes | _choices | st.builds(DiscreteSpace, st.integers(1, 99), st.integers(-5, 5))
_spaces = st.recursive(
    _leaves,
    lambda inner: (
        st.dictionaries(st.text(min_size=1), inner, min_size=1, max_size=3).map(DictSpace)
        | st.lists(inner, min_size=1, max_size=3).map(TupleSpace.of)
    ),
)
_json = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text())


@given(_spaces, _leaves, st.none() | st.text(), _json, st.none() | st.integers(1, 10**6))
def test_json_round_trip(observations, actions, name, kwargs, limit):
    spec = EnvironmentSpec(observations, actions, name, kwargs, limit)
    assert EnvironmentSpec.from_json(spec.to_json()) == spec
    json.loads(spec.to_json(), parse_constant=pytest.fail)


@pytest.mark.parametrize(
    "bounds",
    [
        (np.float32([-np.inf, 0]), np.float32([1, np.inf])),
        (np.float32([-0.1, -2]), np.float32([0.3, 5])),
    ],
)
def test_bounds_survive_json(bounds):
    box = BoxSpace((2,), "float32", *bounds)
    again = EnvironmentSpec.from_json(EnvironmentSpec(box, box).to_json()).action_space
    np.testing.assert_array_equal(again.low, bounds[0])
    np.testing.assert_array_equal(again.high, bounds[1])
    assert again.low.dtype == np.float32
    assert again.bounded.tolist() == (np.isfinite(bounds[0]) & np.isfinite(bounds[1])).tolist()


def test_box_equality():
    def box(size=2, dtype="float32", low=-1):
        return BoxSpace((size,), dtype, np.full(size, low, dtype), np.ones(size, dtype))

    assert box() == box()
    assert hash(box()) == hash(box())
    assert box() not in (box(3), box(dtype="float64"), box(low=-2), "box")


def test_gymnasium_spaces_stay_unchanged():
    space = gym.spaces.Dict(
        {"x": gym.spaces.Box(-2, np.inf, (3,), np.float64), "n": gym.spaces.Discrete(4, start=2)}
    )
    described = space_from_gymnasium(space)
    assert described.spaces["n"] == DiscreteSpace(4, 2)
    described.spaces["x"].low[:] = 7
    assert space["x"].low.tolist() == [-2, -2, -2]
    with pytest.raises(SpecError, match="Text spaces are not supported"):
        space_from_gymnasium(gym.spaces.Text(3))


def test_tuple_space_differs_from_dict_space():
    space = space_from_gymnasium(gym.spaces.Tuple([gym.spaces.Discrete(2), gym.spaces.Discrete(3)]))
    alike = DictSpace({"0": DiscreteSpace(2), "1": DiscreteSpace(3)})
    assert space.spaces == alike.spaces
    assert space.places == {"0": 0, "1": 1}
    assert space != alike
    assert difference(space, alike) == "Tuple against Dict"


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.MultiBinary(3),
        gym.spaces.MultiBinary([2, 3]),
        gym.spaces.MultiDiscrete([2, 5]),
        gym.spaces.MultiDiscrete([[2, 5], [3, 4]], start=[[1, -2], [0, 7]]),
    ],
)
def test_multi_spaces_become_integer_boxes(space):
    described = space_from_gymnasium(space)
    box = gym.spaces.Box(described.low, described.high, described.shape, np.dtype(described.dtype).type)
    drawn = [space.sample() for _ in range(200)]
    assert all(box.contains(element) for element in drawn)
    assert np.array_equal(np.min(drawn, axis=0), described.low)
    assert np.array_equal(np.max(drawn, axis=0), described.high)


def described(**changes):
    box = {"type": "box", "shape": [2], "dtype": "float32", "low": None, "high": None}
    content = {
        "id": None,
        "kwargs": {},
        "max_episode_steps": None,
        "observation_space": box,
        "action_space": box,
    }
    return {**content, **changes}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        json.dumps(described(kwargs=3)),
        json.dumps(described(max_episode_steps="soon")),
        json.dumps(described(action_space={"type": "tuple"})),
        json.dumps(described(action_space={"type": "tuple", "spaces": 3})),
        json.dumps(described(action_space={**described()["action_space"], "type": "multi_discrete"})),
        json.dumps(described(action_space={"type": "discrete", "n": 0, "start": 0})),
        json.dumps(described(action_space={"type": "discrete", "n": "many", "start": 0})),
        json.dumps(described(action_space={"type": "dict", "spaces": []})),
        json.dumps(described(action_space={**described()["action_space"], "dtype": "object"})),
        json.dumps(described(action_space={**described()["action_space"], "shape": [-1]})),
        json.dumps(described(action_space={**described()["action_space"], "low": [1, 2, 3]})),
        json.dumps(described(action_space={**described()["action_space"], "shape": [2**40, 2**40]})),
    ],
)
def test_bad_descriptions_are_refused(text):
    with pytest.raises(SpecError, match="not valid JSON of this format"):
        EnvironmentSpec.from_json(text)


def test_declared_shape_allocates_nothing():
    text = json.dumps(described(action_space={**described()["action_space"], "shape": [10**6, 10**6]}))
    assert (
        EnvironmentSpec.from_json(text).action_space.low.nbytes == 4 * 10**12
    )  # broadcast: four bytes in memory


def test_difference_of_spaces():
    small = BoxSpace((2,), "float32", np.zeros(2, np.float32), np.ones(2, np.float32))
    large = BoxSpace((3,), "float32", np.zeros(3, np.float32), np.ones(3, np.float32))
    assert difference(small, large) == "Box float32 (2,) against float32 (3,)"
    assert (
        difference(DiscreteSpace(2), DiscreteSpace(3, 1)) == "Discrete from 0, 2 choices, against from 1, 3"
    )
    assert difference(DictSpace({"a": small}), DictSpace({"b": small})) == "keys a against b"
    nested = difference(DictSpace({"a": small}), DictSpace({"a": DiscreteSpace(2)}))
    assert nested == "a: Box against Discrete"
