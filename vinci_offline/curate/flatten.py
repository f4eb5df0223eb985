"""Dict observations as one vector."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import SpecError
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace
from vinci_offline.types import Array


def flatten(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """Make one vector of the keys of Dict observations, goals too.

    The keys follow each other in the order of the space, arrays in C order, and a choice of N is a vector of N that is
    one at the choice: as Gymnasium's ``FlattenObservation`` gives them.

    Args:
        dataset: the rows; those whose observations are a vector already stay as they are.

    Returns:
        The dataset, and notes: the order of the keys.

    Raises:
        SpecError: a key holds images, which are no entries of a vector.
    """
    space = dataset.spec.observation_space
    if not isinstance(space, DictSpace):
        return dataset, ["observations are one array already: --flatten changes nothing"]
    parts: dict[str, BoxSpace | DiscreteSpace] = {}
    for path, slot in layout.space_slots(layout.OBSERVATIONS, space).items():
        if slot.space is None or (len(slot.shape) > 1 and slot.dtype == np.uint8):
            raise SpecError(
                f"{path} holds images: --flatten makes a vector of numbers; leave them to an encoder"
            )
        parts[path] = slot.space
    count, sizes = len(dataset), {path: _size(part) for path, part in parts.items()}
    dtype = np.result_type(*(_dtype(dataset, path, part) for path, part in parts.items()))
    columns = {path: _kept(dataset, path) for path in dataset.columns if not _is_observed(path)}
    for root in (layout.OBSERVATIONS, layout.NEXT_OBSERVATIONS):
        paths = {root + path.removeprefix(layout.OBSERVATIONS): part for path, part in parts.items()}
        load = partial(_joined, dataset, paths, dtype)
        columns[root] = Column((count, sum(sizes.values())), dtype, load)
    low, high = (np.concatenate([_bound(part, name) for part in parts.values()]) for name in ("low", "high"))
    flat = BoxSpace((sum(sizes.values()),), str(dtype), low.astype(dtype), high.astype(dtype))
    # The environment gives a Dict: under its id it would not fit the vectors.
    spec = replace(dataset.spec, observation_space=flat, id=None, kwargs={})
    keys = {path.partition("/")[2]: size for path, size in sizes.items()}
    attributes = {**dataset.attributes, "flattened": {"keys": keys, "environment": dataset.spec.id}}
    listed = ", ".join(f"{key} ({size})" for key, size in keys.items())
    note = (
        f"observations are one vector of {listed}, in this order: evaluate where "
        "gymnasium.wrappers.FlattenObservation wraps the environment"
    )
    made = Dataset(
        LazyColumns(columns), spec, table=lambda: dict(dataset.episode_columns), attributes=attributes
    )
    return made, [note]


def _is_observed(path: str) -> bool:
    return path.partition("/")[0] in {layout.OBSERVATIONS, layout.NEXT_OBSERVATIONS}


def _kept(dataset: Dataset, path: str) -> Column:
    columns = dataset.columns
    return Column(columns.shape(path), columns.dtype(path), partial(columns.read, path))


def _size(space: BoxSpace | DiscreteSpace) -> int:
    return space.n if isinstance(space, DiscreteSpace) else math.prod(space.shape)


def _dtype(dataset: Dataset, path: str, space: BoxSpace | DiscreteSpace) -> np.dtype[np.generic]:
    found = dataset.columns.dtype(path)
    return np.dtype(np.float32) if isinstance(space, DiscreteSpace) or found.kind != "f" else found


def _bound(space: BoxSpace | DiscreteSpace, name: str) -> Array:
    if isinstance(space, DiscreteSpace):
        return np.full(space.n, float(name == "high"))
    bound: Array = getattr(space, name)
    return np.asarray(bound, np.float64).reshape(-1)


def _joined(
    dataset: Dataset,
    paths: dict[str, BoxSpace | DiscreteSpace],
    dtype: np.dtype[np.generic],
    rows: slice,
) -> Array:
    """Return the keys of some rows end to end."""
    blocks = []
    for path, space in paths.items():
        values = dataset.columns.read(path, rows)
        if isinstance(space, DiscreteSpace):
            values = values.reshape(len(values), 1) == np.arange(space.start, space.start + space.n)
        blocks.append(values.reshape(len(values), -1).astype(dtype))
    return np.concatenate(blocks, axis=1)
