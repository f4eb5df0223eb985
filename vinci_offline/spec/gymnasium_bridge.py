"""Gymnasium spaces and environments as the descriptions that a dataset keeps."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.errors import SpecError, UsageError
from vinci_offline.spec.environment import EnvironmentSpec
from vinci_offline.spec.spaces import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    MultiDiscreteSpace,
    Space,
    TupleSpace,
)

if TYPE_CHECKING:
    import gymnasium


def environment_spec(
    env: gymnasium.Env[Any, Any],
    id: str | None = None,  # noqa: A002 - Gymnasium's own name for it
    kwargs: Mapping[str, Any] | None = None,
) -> EnvironmentSpec:
    """Describe an environment. The environment and its spaces stay as they are.

    Args:
        env: the environment.
        id: the name it was made by, where that is not its Gymnasium id (``module:Class``).
        kwargs: the keyword arguments it was made with. None takes those that Gymnasium remembers.

    Raises:
        SpecError: datasets cannot hold elements of its spaces.
        UsageError: a keyword argument is not a JSON value, so a dataset cannot keep it.
    """
    known = env.spec
    if kwargs is None:
        kwargs = {key: value for key, value in (known.kwargs if known else {}).items() if _is_json(value)}
    elif not all(map(_is_json, kwargs.values())):
        names = ", ".join(repr(key) for key, value in kwargs.items() if not _is_json(value))
        raise UsageError(
            f"environment argument {names} is not a JSON value: use numbers, strings, lists or objects"
        )
    observation_space = _observation_space(env.observation_space)
    return EnvironmentSpec(
        observation_space=observation_space,
        action_space=action_space_from_gymnasium(env.action_space),
        id=id if id is not None else (known.id if known else None),
        kwargs=dict(kwargs),
        max_episode_steps=_time_limit(env),
    )


def space_from_gymnasium(space: Any) -> Space:
    """Describe a Gymnasium space. The space itself stays as it is.

    MultiBinary and MultiDiscrete become a Box of integers with the same elements.

    Raises:
        SpecError: datasets cannot hold elements of such a space.
    """
    kind = type(space).__name__
    if kind == "Box":
        # Copies, because all holders of the environment share its spaces.
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
        f"{kind} spaces are not supported (Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple are): "
        f"{_remedy(space, [])}"
    )


def action_space_from_gymnasium(space: Any) -> Space:
    """Describe a Gymnasium space of actions. Choices become `MultiDiscreteSpace`, numbers `BoxSpace`.

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


def reward_threshold(spec: EnvironmentSpec) -> float | None:
    """Return the mean return from which on Gymnasium calls the environment solved.

    None for an environment that it does not know, without such a number, or made with arguments or a time limit of its
    own, which may change returns. Nothing is imported by name.
    """
    import gymnasium

    known = gymnasium.registry.get(spec.id) if spec.id else None
    if known is None or spec.kwargs or known.max_episode_steps != spec.max_episode_steps:
        return None
    return known.reward_threshold


def _time_limit(env: gymnasium.Env[Any, Any]) -> int | None:
    import gymnasium

    if env.spec is not None:
        return None if env.spec.max_episode_steps is None else int(env.spec.max_episode_steps)
    layer: Any = env
    while isinstance(layer, gymnasium.Wrapper):
        if isinstance(layer, gymnasium.wrappers.TimeLimit):
            return int(layer._max_episode_steps)
        layer = layer.env
    return None


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


def _observation_space(space: Any) -> Space:
    """Describe a space of observations: of one part, or of parts on one level.

    Raises:
        SpecError: it is none of these. The message names a wrapper that helps.
    """
    parts = _parts(space)
    wrong = {
        key: type(part).__name__ for key, part in parts.items() if _parts(part) or not _is_supported(part)
    }
    if not wrong:
        return space_from_gymnasium(space)
    key, kind = next(iter(wrong.items()))
    raise SpecError(
        f"the observation space has a {kind} in its {key!r}, and parts may be Box, Discrete, MultiBinary and "
        f"MultiDiscrete: {_remedy(space, [key for key in parts if key not in wrong])}"
    )


def _remedy(space: Any, kept: list[Any]) -> str:
    """Return the wrapper that makes a space of parts one that datasets can hold."""
    import gymnasium

    advice = []
    try:
        # Some spaces cannot be flattened, or not to a Box: minigrid's missions, graphs and sequences.
        if isinstance(gymnasium.spaces.flatten_space(space), gymnasium.spaces.Box):
            advice.append("gymnasium.wrappers.FlattenObservation(env) makes one vector of it")
    except (NotImplementedError, ValueError, TypeError):
        pass
    if kept:
        advice.append(f"gymnasium.wrappers.FilterObservation(env, {kept}) keeps the other parts")
    return (
        " or ".join(advice)
        or "wrap the environment in a gymnasium.ObservationWrapper of yours that makes an array of it"
    )


def _parts(space: Any) -> dict[Any, Any]:
    """Return the parts of a Dict or Tuple by their keys or places; nothing for other spaces."""
    kind = type(space).__name__
    if kind == "Dict":
        return dict(space.spaces)
    return dict(enumerate(space.spaces)) if kind == "Tuple" else {}


def _is_supported(space: Any) -> bool:
    try:
        space_from_gymnasium(space)
    except SpecError:
        return False
    return True
