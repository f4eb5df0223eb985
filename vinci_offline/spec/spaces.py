"""What a dataset knows of its environment: spaces, bounds, id and keyword arguments, to and from JSON.

The space classes mirror Gymnasium's without importing it, so that reading a dataset needs NumPy alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.types import Array


@dataclass(frozen=True, eq=False)
class BoxSpace:
    """Arrays of one shape between bounds; an infinite bound means there is none.

    Attributes:
        shape: the shape of one element.
        dtype: NumPy's name of the element type, as the environment has it.
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
    def bounded(self) -> Array:
        """A mask of ``shape``: where both bounds are finite."""
        return np.isfinite(self.low) & np.isfinite(self.high)

    def to_json(self) -> dict[str, Any]:
        """A JSON object; an infinite bound becomes null, equal bounds one number."""
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
    """Several choices at once (MultiDiscrete and MultiBinary actions): ``low … high`` tell them apart, no order.

    The Box of integers with the same elements, which is how they are stored; what acts or learns by the size of
    numbers has to tell the two apart.
    """

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
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
        """A JSON object."""
        return {"type": "discrete", "n": self.n, "start": self.start}


@dataclass(frozen=True)
class DictSpace:
    """Named spaces, each a column of its own in a dataset."""

    spaces: Mapping[str, Space]

    @property
    def places(self) -> dict[str, str | int]:
        """Where an element of the space has what belongs to each key."""
        return {key: key for key in self.spaces}

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"type": "dict", "spaces": {key: space.to_json() for key, space in self.spaces.items()}}


@dataclass(frozen=True)
class TupleSpace(DictSpace):
    """Spaces in order. In a dataset and before a policy they are those of a Dict with the keys ``0``, ``1`` …."""

    @classmethod
    def of(cls, parts: Iterable[Space]) -> TupleSpace:
        """The space whose elements have these parts."""
        return cls({str(index): part for index, part in enumerate(parts)})

    @property
    def places(self) -> dict[str, str | int]:
        """Where an element of the space has what belongs to each key."""
        return {key: int(key) for key in self.spaces}

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {"type": "tuple", "spaces": [space.to_json() for space in self.spaces.values()]}


Space: TypeAlias = BoxSpace | DiscreteSpace | DictSpace


@dataclass(frozen=True)
class EnvironmentSpec:
    """An environment as a dataset remembers it.

    Attributes:
        observation_space: the space of observations.
        action_space: the space of actions.
        id: the Gymnasium id (``module:EnvId`` allowed), or None where it is not known.
        kwargs: keyword arguments of ``gymnasium.make``; JSON values only.
        max_episode_steps: the time limit in steps, or None where there is none.
    """

    observation_space: Space
    action_space: Space
    id: str | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    max_episode_steps: int | None = None

    def to_json(self) -> str:
        """One line of JSON that `from_json` reads back."""
        return json.dumps(self.to_object())

    def to_object(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "id": self.id,
            "kwargs": dict(self.kwargs),
            "max_episode_steps": self.max_episode_steps,
            "observation_space": self.observation_space.to_json(),
            "action_space": self.action_space.to_json(),
        }

    @classmethod
    def from_json(cls, text: str) -> EnvironmentSpec:
        """Read what `to_json` wrote.

        Raises:
            SpecError: the text is not such a description.
        """
        try:
            content = json.loads(text)
            name, limit = content["id"], content["max_episode_steps"]
            return cls(
                observation_space=space_from_json(content["observation_space"]),
                action_space=space_from_json(content["action_space"]),
                id=None if name is None else str(name),
                kwargs=dict(content["kwargs"]),
                max_episode_steps=None if limit is None else int(limit),
            )
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            message = f"the environment description is not valid JSON of this format: {error}"
            raise SpecError(message) from error


def space_from_json(content: Mapping[str, Any]) -> Space:
    """The space that ``to_json`` described.

    Raises:
        ValueError: the type is not known, or no such space can be.
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


def is_countable(space: Space) -> bool:
    """Whether single elements have a probability, rather than a density: Discrete, or a Box of integers."""
    return isinstance(space, DiscreteSpace) or (
        isinstance(space, BoxSpace) and np.dtype(space.dtype).kind != "f"
    )


def difference(one: Space, other: Space) -> str:
    """What tells two unlike spaces apart, in a few words."""
    if type(one) is not type(other):
        return " against ".join(type(space).__name__.removesuffix("Space") for space in (one, other))
    if isinstance(one, BoxSpace) and isinstance(other, BoxSpace):
        if (one.shape, one.dtype) == (other.shape, other.dtype):
            return "the bounds differ"
        return f"Box {one.dtype} {one.shape} against {other.dtype} {other.shape}"
    if isinstance(one, DiscreteSpace) and isinstance(other, DiscreteSpace):
        return f"Discrete from {one.start}, {one.n} choices, against from {other.start}, {other.n}"
    assert isinstance(one, DictSpace)
    assert isinstance(other, DictSpace)
    if set(one.spaces) != set(other.spaces):
        return f"keys {', '.join(sorted(one.spaces))} against {', '.join(sorted(other.spaces))}"
    key = next(key for key in one.spaces if one.spaces[key] != other.spaces[key])
    return f"{key}: {difference(one.spaces[key], other.spaces[key])}"


def space_from_gymnasium(space: Any) -> Space:
    """Describe a Gymnasium space; the space itself is not touched.

    MultiBinary and MultiDiscrete spaces are described as the Box of integers that has the same elements.

    Raises:
        SpecError: datasets cannot hold elements of such a space.
    """
    kind = type(space).__name__
    if kind == "Box":
        # Copies: a Gymnasium space is shared by everyone who holds the environment.
        return BoxSpace(tuple(space.shape), str(space.dtype), np.array(space.low), np.array(space.high))
    if kind == "Discrete":
        return DiscreteSpace(int(space.n), int(space.start))
    if kind == "MultiBinary":
        shape, dtype = tuple(space.shape), np.dtype(space.dtype)
        return BoxSpace(shape, str(dtype), np.zeros(shape, dtype), np.ones(shape, dtype))
    if kind == "MultiDiscrete":
        dtype = np.dtype(space.dtype)
        low, high = space.start.astype(dtype), (space.start + space.nvec - 1).astype(dtype)
        return BoxSpace(tuple(space.shape), str(dtype), low, high)
    if kind == "Dict":
        return DictSpace({str(key): space_from_gymnasium(part) for key, part in space.spaces.items()})
    if kind == "Tuple":
        return TupleSpace.of(map(space_from_gymnasium, space.spaces))
    raise SpecError(
        f"{kind} spaces are not supported (Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple are): wrap "
        "the environment, for instance with gymnasium.wrappers.FlattenObservation"
    )


def action_space_from_gymnasium(space: Any) -> Space:
    """Describe a Gymnasium space of actions, in which a choice is told from a number.

    Raises:
        SpecError: datasets cannot hold such actions.
    """
    kind = type(space).__name__
    if kind not in {"Box", "Discrete", "MultiBinary", "MultiDiscrete"}:
        raise SpecError(
            f"{kind} action spaces are not supported (Box, Discrete, MultiBinary and MultiDiscrete are): wrap the "
            "environment"
        )
    described = space_from_gymnasium(space)
    if kind.startswith("Multi"):
        assert isinstance(described, BoxSpace)
        return MultiDiscreteSpace(described.shape, described.dtype, described.low, described.high)
    return described


def _bounds_to_json(bounds: Array) -> Any:
    def number(value: Any) -> int | float | None:
        plain: int | float = value.item()
        return plain if math.isfinite(plain) else None

    flat = [number(value) for value in bounds.reshape(-1)]
    # An image's bounds are one number repeated thousands of times.
    return flat[0] if flat and all(value == flat[0] for value in flat) else flat


def _bounds_from_json(content: Any, shape: tuple[int, ...], dtype: str, infinite: float) -> Array:
    # float32 bounds written as decimals come back as the same float32.
    if isinstance(content, list):
        filled = [infinite if value is None else value for value in content]
        return np.array(filled, dtype=dtype).reshape(shape)
    # Broadcast, not filled: a damaged file may declare any shape.
    return np.broadcast_to(np.array(infinite if content is None else content, dtype=dtype), shape)
