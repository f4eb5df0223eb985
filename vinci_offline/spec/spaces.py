"""Spaces of observations and actions, to and from JSON.

The classes mirror Gymnasium's without importing it: reading a dataset needs NumPy alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from vinci_offline.types import Array

NO_BOUND = float(np.finfo(np.float32).max)
"""Environments write the largest float32 where they have no bound."""


@dataclass(frozen=True, eq=False)
class BoxSpace:
    """Arrays of one shape between bounds. An infinite bound means no bound; so does the largest float32.

    Attributes:
        shape: the shape of one element.
        dtype: NumPy's name of the environment's element type.
        low: lower bounds, of ``shape``.
        high: upper bounds, of ``shape``.
    """

    shape: tuple[int, ...]
    dtype: str
    low: Array
    high: Array

    @property
    def dim(self) -> int:
        """The number of scalars in one element."""
        return math.prod(self.shape)

    @property
    def has_low(self) -> Array:
        """Mask of ``shape``, True where there is a lower bound."""
        return np.asarray(np.abs(self.low.astype(np.float64)) < NO_BOUND)

    @property
    def has_high(self) -> Array:
        """Mask of ``shape``, True where there is an upper bound."""
        return np.asarray(np.abs(self.high.astype(np.float64)) < NO_BOUND)

    @property
    def bounded(self) -> Array:
        """Mask of ``shape``, True where there are both bounds."""
        mask: Array = self.has_low & self.has_high
        return mask

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object. An infinite bound becomes null; equal bounds become one number."""
        return {
            "type": "box",
            "shape": list(self.shape),
            "dtype": self.dtype,
            "low": _bounds_to_json(self.low),
            "high": _bounds_to_json(self.high),
        }

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BoxSpace)
            and type(other) is type(self)
            and (self.shape, self.dtype) == (other.shape, other.dtype)
            and np.array_equal(self.low, other.low)
            and np.array_equal(self.high, other.high)
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))


class MultiDiscreteSpace(BoxSpace):
    """Several choices at once: MultiDiscrete and MultiBinary actions.

    They are stored as a Box of integers with the same elements. The type differs because the integers are
    labels: their order and size mean nothing.
    """

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {**super().to_json(), "type": "multi_discrete"}


@dataclass(frozen=True)
class DiscreteSpace:
    """The integers ``start … start + n - 1``."""

    n: int
    start: int = 0

    @property
    def dim(self) -> int:
        """The number of choices: the width of a one-hot vector."""
        return self.n

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"type": "discrete", "n": self.n, "start": self.start}


@dataclass(frozen=True)
class DictSpace:
    """Named spaces. Each is a column of its own in a dataset."""

    spaces: Mapping[str, Space]

    @property
    def dim(self) -> int:
        """The number of scalars in one element: the sum over its parts."""
        return sum(space.dim for space in self.spaces.values())

    @property
    def places(self) -> dict[str, str | int]:
        """For each key, the index of its part in an element of the space: ``element[places[key]]``."""
        return {key: key for key in self.spaces}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"type": "dict", "spaces": {key: space.to_json() for key, space in self.spaces.items()}}


@dataclass(frozen=True)
class TupleSpace(DictSpace):
    """Spaces in order. Datasets and policies see a Dict with the keys ``0``, ``1`` …."""

    @classmethod
    def of(cls, parts: Iterable[Space]) -> TupleSpace:
        """Make the space from its parts in order."""
        return cls({str(index): part for index, part in enumerate(parts)})

    @property
    def places(self) -> dict[str, str | int]:
        """For each key, the index of its part in an element of the space."""
        return {key: int(key) for key in self.spaces}

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {"type": "tuple", "spaces": [space.to_json() for space in self.spaces.values()]}


Space: TypeAlias = BoxSpace | DiscreteSpace | DictSpace


def is_countable(space: Space) -> bool:
    """Return True where elements have probabilities, not densities: Discrete, or a Box of integers."""
    return isinstance(space, DiscreteSpace) or (
        isinstance(space, BoxSpace) and np.dtype(space.dtype).kind != "f"
    )


def space_from_json(content: Mapping[str, Any]) -> Space:
    """Make the space that ``to_json`` described.

    Raises:
        ValueError: the type is unknown, or the description contradicts itself.
    """
    kind = content["type"]
    if kind in {"box", "multi_discrete"}:
        shape = tuple(int(size) for size in content["shape"])
        dtype = str(np.dtype(content["dtype"]))
        if np.dtype(dtype).kind not in "biuf" or min(shape, default=1) < 1:
            raise ValueError(f"a box of shape {shape} and dtype {dtype}")
        made = BoxSpace if kind == "box" else MultiDiscreteSpace
        if kind != "box" and np.dtype(dtype).kind not in "iu":
            raise ValueError(f"choices of dtype {dtype}")
        return made(
            shape=shape,
            dtype=dtype,
            low=_bounds_from_json(content["low"], shape, dtype, -np.inf),
            high=_bounds_from_json(content["high"], shape, dtype, np.inf),
        )
    if kind == "discrete":
        if int(content["n"]) < 1:
            raise ValueError(f"a discrete space of {content['n']} elements")
        return DiscreteSpace(n=int(content["n"]), start=int(content["start"]))
    if kind == "dict":
        return DictSpace({str(key): space_from_json(space) for key, space in content["spaces"].items()})
    if kind == "tuple":
        return TupleSpace.of(map(space_from_json, content["spaces"]))
    raise ValueError(f"unknown space type {kind!r}")


def _bounds_to_json(bounds: Array) -> Any:
    def number(value: Any) -> int | float | None:
        plain: int | float = value.item()
        return plain if math.isfinite(plain) else None

    flat = [number(value) for value in bounds.reshape(-1)]
    # An image's bounds are one number repeated thousands of times.
    return flat[0] if flat and all(value == flat[0] for value in flat) else flat


def _bounds_from_json(content: Any, shape: tuple[int, ...], dtype: str, infinite: float) -> Array:
    # A float32 bound written as a decimal reads back as the same float32.
    if isinstance(content, list):
        filled = [infinite if value is None else value for value in content]
        return np.array(filled, dtype=dtype).reshape(shape)
    # Broadcast instead of filling: a damaged file may declare a huge shape.
    return np.broadcast_to(np.array(infinite if content is None else content, dtype=dtype), shape)
