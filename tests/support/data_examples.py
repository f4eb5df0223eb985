"""Specs and columns for tests of datasets."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from vinci_offline import Dataset
from vinci_offline.data import layout
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvironmentSpec,
    MultiDiscreteSpace,
    TupleSpace,
)


def box(*shape, dtype="float32", low=-np.inf, high=np.inf):
    return BoxSpace(shape, dtype, np.full(shape, low, dtype), np.full(shape, high, dtype))


def continuous_spec(observations=3, actions=2, dtype="float32"):
    return EnvironmentSpec(box(observations, dtype=dtype), box(actions, low=-1, high=1), id="Test-v0")


def discrete_spec(n=4, start=0):
    return EnvironmentSpec(box(3), DiscreteSpace(n, start), id="Count-v0")


def dict_spec():
    inner = DictSpace({"speed": box(), "gear": DiscreteSpace(5)})
    observation = DictSpace(
        {"position": box(2), "picture": box(4, 5, 3, dtype="uint8", low=0, high=255), "car": inner}
    )
    return EnvironmentSpec(observation, box(2, low=-1, high=1), id="Dict-v0")


def draw_space(space, count, rng):
    if isinstance(space, DiscreteSpace):
        return rng.integers(space.start, space.start + space.n, count)
    dtype = np.dtype(space.dtype)
    if isinstance(space, MultiDiscreteSpace):
        return rng.integers(space.low, space.high + 1, (count, *space.shape)).astype(dtype)
    if dtype.kind in "iu":
        return rng.integers(0, 100, (count, *space.shape)).astype(dtype)
    values = rng.uniform(-1, 1, (count, *space.shape))
    return values.astype(dtype)


def make_columns(spec, lengths, seed=0, terminated=None, infos=()):
    """Return columns of whole episodes in which each row continues the one before."""
    rng = np.random.default_rng(seed)
    count = sum(lengths)
    last = np.cumsum(lengths) - 1
    columns = {}
    for path, slot in layout.spec_slots(spec).items():
        if slot.space is not None and not path.startswith("next_"):
            columns[path] = draw_space(slot.space, count, rng)
    for path in [path for path in columns if path.startswith("observations")]:
        following = np.roll(columns[path], -1, axis=0)
        following[last] = draw_space(layout.spec_slots(spec)[path].space, len(last), rng)
        columns[f"next_{path}"] = following
    columns["rewards"] = rng.normal(size=count).astype(np.float32)
    ended = np.zeros(len(last), bool) if terminated is None else np.asarray(terminated)
    columns["terminals"] = np.zeros(count, bool)
    columns["timeouts"] = np.zeros(count, bool)
    columns["terminals"][last] = ended
    columns["timeouts"][last] = ~ended
    for index, name in enumerate(infos):
        columns[f"infos/{name}"] = rng.normal(size=(count, *(() if index % 2 == 0 else (3,)))).astype(
            np.float32
        )
    return columns


def save_as_given(path, spec, columns, episodes, attributes=None):
    """Save columns with all flags as they are, which `Dataset.save` would put right, and return the path."""
    table = Dataset.from_columns(columns, spec, episodes).episode_columns
    with DatasetWriter(path, spec, attributes=attributes) as writer:
        writer.append(columns)
        writer.describe_episodes(table)
    return path


_names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=5
)
names = _names.filter(lambda text: text not in {".", ".."})
_sizes = st.integers(1, 3)
_shapes = st.lists(_sizes, max_size=3).map(tuple)
_box = st.builds(
    lambda shape, dtype: box(
        *shape, dtype=dtype, low=0 if dtype in {"uint8", "int32"} else -np.inf, high=100
    ),
    _shapes,
    st.sampled_from(["float16", "float32", "float64", "uint8", "int32"]),
)
_choices = st.builds(
    lambda counts, dtype: MultiDiscreteSpace(
        (len(counts),), dtype, np.zeros(len(counts), dtype), np.array(counts, dtype)
    ),
    st.lists(st.integers(0, 4), min_size=1, max_size=3),
    st.sampled_from(["int8", "int64"]),
)
_leaf = _box | st.builds(DiscreteSpace, st.integers(1, 9), st.integers(-3, 3))
observation_spaces = st.recursive(
    _leaf,
    lambda inner: (
        st.dictionaries(names, inner, min_size=1, max_size=3).map(DictSpace)
        | st.lists(inner, min_size=1, max_size=3).map(TupleSpace.of)
    ),
    max_leaves=4,
)
specs = st.builds(EnvironmentSpec, observation_spaces, _leaf | _choices, id=st.none() | st.just("Any-v1"))
lengths = st.lists(st.integers(1, 6), min_size=1, max_size=6)
seeds = st.integers(0, 2**16)
