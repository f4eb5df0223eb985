"""Spaces and environments compared, and described in a few words for messages."""

from __future__ import annotations

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec.environment import EnvironmentSpec
from vinci_offline.spec.spaces import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiDiscreteSpace,
    Space,
    TupleSpace,
)


def check_fits(spec: EnvironmentSpec, other: EnvironmentSpec) -> None:
    """Check that two environments have the same kinds of spaces, shapes and action bounds.

    Args:
        spec: the environment that a policy or a dataset was made for.
        other: the environment that it meets now.

    Raises:
        SpecError: they differ. The message says how.
    """
    problems = _differences("observation", spec.observation_space, other.observation_space)
    problems += _differences("action", spec.action_space, other.action_space, bounds=True)
    if problems:
        raise SpecError(
            f"{other.id or 'the environment'} does not fit {spec.id or 'the dataset'}: "
            f"{'; '.join(problems)}. Choose an environment with the same spaces."
        )


def difference(one: Space, other: Space) -> str:
    """Describe in a few words how two unequal spaces differ."""
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


def _differences(what: str, first: Space, second: Space, *, bounds: bool = False) -> list[str]:
    """List the differences of two spaces. Their dtype does not count; bounds count where asked for."""
    if isinstance(first, DictSpace) and isinstance(second, DictSpace):
        if set(first.spaces) != set(second.spaces):
            return [f"{what} keys {sorted(first.spaces)} against {sorted(second.spaces)}"]
        pairs = [(f"{what} {key}", first.spaces[key], second.spaces[key]) for key in first.spaces]
        return [line for name, one, two in pairs for line in _differences(name, one, two, bounds=bounds)]
    if isinstance(first, BoxSpace) and isinstance(second, BoxSpace) and first.shape == second.shape:
        equal = np.allclose(first.low, second.low) and np.allclose(first.high, second.high)
        return [] if equal or not bounds else [f"{what} bounds {_bounds(first)} against {_bounds(second)}"]
    if first == second:
        return []
    return [f"{what}s are {describe_space(first)} against {describe_space(second)}"]


def describe_space(space: Space) -> str:
    """Describe a space in a few words for messages: ``Box(3,)``, ``Discrete(2)``."""
    if isinstance(space, MultiDiscreteSpace):
        return f"MultiDiscrete({(space.high - space.low + 1).tolist()})"
    if isinstance(space, BoxSpace):
        return f"Box{space.shape}"
    if isinstance(space, TupleSpace):
        return f"Tuple({', '.join(map(describe_space, space.spaces.values()))})"
    if isinstance(space, DictSpace):
        return f"Dict({', '.join(f'{key}: {describe_space(part)}' for key, part in space.spaces.items())})"
    assert isinstance(space, DiscreteSpace)
    return f"Discrete({space.n})" if space.start == 0 else f"Discrete({space.n}, start={space.start})"


def _bounds(space: BoxSpace) -> str:
    return f"[{np.array2string(space.low, threshold=6)}, {np.array2string(space.high, threshold=6)}]"
