"""Elements of a space as rows of numbers, for linear models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from vinci_offline.policies.policy import Observations
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, Space
from vinci_offline.types import Array, FloatArray


def width(space: Space) -> int:
    """Return how many numbers `as_numbers` makes of an element."""
    return sum(part.n if isinstance(part, DiscreteSpace) else part.dim for _, part in _parts(space))


def as_numbers(space: Space, values: Observations) -> FloatArray:
    """Return ``[N, D]`` the numbers of ``N`` elements: choices as indicators, parts of a Dict side by side."""
    parts = _parts(space)
    columns = [
        _columns(part, values[path] if isinstance(values, Mapping) else values) for path, part in parts
    ]
    return np.concatenate(columns, axis=1)


def _parts(space: Space, path: str = "") -> Iterator[tuple[str, BoxSpace | DiscreteSpace]]:
    """Yield the arrays of a space with their paths: ``KEY`` or ``KEY/KEY`` in a Dict."""
    if not isinstance(space, DictSpace):
        yield path, space
        return
    for key, part in space.spaces.items():
        yield from _parts(part, f"{path}/{key}" if path else key)


def _columns(space: BoxSpace | DiscreteSpace, values: Array) -> FloatArray:
    if isinstance(space, DiscreteSpace):
        indicators: FloatArray = np.eye(space.n)[values - space.start]
        return indicators
    return np.asarray(values, np.float64).reshape(len(values), space.dim)
