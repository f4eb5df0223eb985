"""Environments from what a user names, and what a dataset remembers of them."""

from __future__ import annotations

import difflib
import inspect
import json
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from vinci_offline.errors import SpecError, UsageError
from vinci_offline.loading import load_module
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvironmentSpec,
    MultiDiscreteSpace,
    Space,
    TupleSpace,
    action_space_from_gymnasium,
    space_from_gymnasium,
)

if TYPE_CHECKING:
    import gymnasium

EnvironmentLike: TypeAlias = "str | EnvironmentSpec | gymnasium.Env[Any, Any] | Callable[..., Any]"
"""An id, ``module:EnvId``, ``module:Class``, a spec, an environment, or a function that makes one."""


def make_env(
    environment: EnvironmentLike, kwargs: Mapping[str, Any] | None = None
) -> gymnasium.Env[Any, Any]:
    """Make an environment, without Gymnasium's passive checker, which costs as much as a cheap step.

    Args:
        environment: a Gymnasium id; ``module:EnvId``, where importing the module registers the id;
            ``module:Class`` or ``file.py:Class`` for a `gymnasium.Env` subclass or a function that makes one;
            an `EnvironmentSpec` (its id, keyword arguments and time limit); a callable; or an environment,
            which comes back as it is.
        kwargs: keyword arguments of the environment; ``max_episode_steps`` sets the time limit. For a spec
            they add to its own.

    Raises:
        UsageError: there is no such environment, it cannot be imported, or it does not take ``kwargs``.
    """
    import gymnasium

    kwargs = dict(kwargs or {})
    if isinstance(environment, gymnasium.Env):
        if kwargs:
            raise UsageError("keyword arguments cannot be given to an environment that is already made")
        return environment
    if isinstance(environment, EnvironmentSpec):
        if environment.id is None:
            raise UsageError("the dataset does not say which environment it came from: name one (--env ENV)")
        kwargs = {**environment.kwargs, **kwargs}
        if environment.max_episode_steps is not None:
            kwargs.setdefault("max_episode_steps", environment.max_episode_steps)
        return make_env(environment.id, kwargs)
    if not isinstance(environment, str):
        return _call(environment, getattr(environment, "__name__", repr(environment)), kwargs)
    source, _, name = environment.rpartition(":")
    if source:
        found: Any = load_module(source)
        for part in name.split("."):
            found = getattr(found, part, None)
        if callable(found):
            return _call(found, environment, kwargs)
    return _make_registered(name, source, kwargs)


def environment_spec(
    env: gymnasium.Env[Any, Any],
    id: str | None = None,  # noqa: A002 - Gymnasium's own name for it
    kwargs: Mapping[str, Any] | None = None,
) -> EnvironmentSpec:
    """Describe an environment; the environment and its spaces are not touched.

    Args:
        env: the environment.
        id: the name it was made by, where that is not its Gymnasium id (``module:Class``).
        kwargs: the keyword arguments it was made with; by default those that Gymnasium remembers.

    Raises:
        SpecError: datasets cannot hold elements of its spaces.
        UsageError: the keyword arguments are not JSON values, so that the dataset could not remember them.
    """
    known = env.spec
    if kwargs is None:
        kwargs = {key: value for key, value in (known.kwargs if known else {}).items() if _is_json(value)}
    elif not all(map(_is_json, kwargs.values())):
        names = ", ".join(repr(key) for key, value in kwargs.items() if not _is_json(value))
        raise UsageError(
            f"environment argument {names} is not a JSON value: use numbers, strings, lists or objects"
        )
    observation_space = space_from_gymnasium(env.observation_space)
    _check_flat(observation_space)
    return EnvironmentSpec(
        observation_space=observation_space,
        action_space=action_space_from_gymnasium(env.action_space),
        id=id if id is not None else (known.id if known else None),
        kwargs=dict(kwargs),
        max_episode_steps=_time_limit(env),
    )


def check_fits(spec: EnvironmentSpec, other: EnvironmentSpec) -> None:
    """Check that what was made for ``spec`` can run in ``other``: equal kinds, shapes and action bounds.

    Raises:
        SpecError: they differ; the message says how.
    """
    problems = _differences("observation", spec.observation_space, other.observation_space)
    problems += _differences("action", spec.action_space, other.action_space, bounds=True)
    if problems:
        raise SpecError(
            f"{other.id or 'the environment'} does not fit {spec.id or 'the dataset'}: "
            f"{'; '.join(problems)}. Choose an environment with the same spaces."
        )


def _make_registered(name: str, module: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    import gymnasium

    shown = f"{module}:{name}" if module else name
    # An old version is the user's choice, often what a policy was trained on: no advice to upgrade.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return gymnasium.make(name, disable_env_checker=True, **kwargs)
        except gymnasium.error.UnregisteredEnv as error:
            raise UsageError(_unknown(name, module)) from error
        except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
            raise UsageError(f"{shown} cannot be made: {_remedy(str(error))}") from error
        except gymnasium.error.Error as error:
            raise UsageError(f"{shown} cannot be made: {error}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise UsageError(f"{shown} cannot be made with {kwargs or 'no arguments'}: {error}") from error


def _unknown(name: str, module: str) -> str:
    import gymnasium

    lowered = {key.lower(): key for key in gymnasium.registry}
    close = [lowered[key] for key in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    where = (
        f"module {module!r} has no class and registers no id {name!r}"
        if module
        else f"no environment {name!r}"
    )
    return f"{where}: {hint}An environment of another package is named module:EnvId or module:Class."


def _remedy(message: str) -> str:
    if "gymnasium[mujoco]" in message:
        return "MuJoCo is not installed; run: pip install 'vinci-offline[mujoco]'"
    return message.rstrip(".")


def _call(maker: Callable[..., Any], name: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    import gymnasium

    limit = None
    if "max_episode_steps" in kwargs and not _takes(maker, "max_episode_steps"):
        limit = kwargs.pop("max_episode_steps")
    try:
        env = maker(**kwargs)
    except TypeError as error:
        raise UsageError(f"{name} cannot be made with {kwargs or 'no arguments'}: {error}") from error
    if not isinstance(env, gymnasium.Env):
        raise UsageError(f"{name} gives a {type(env).__name__}, not a gymnasium.Env")
    return env if limit in (None, -1) else gymnasium.wrappers.TimeLimit(env, limit)


def _takes(maker: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return False


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


def _check_flat(space: Space) -> None:
    nested = [key for key, part in getattr(space, "spaces", {}).items() if isinstance(part, DictSpace)]
    if nested:
        raise SpecError(
            f"the observation space has a Dict or Tuple in its {nested[0]!r}; only one level is supported: "
            "wrap the environment, for instance with gymnasium.wrappers.FlattenObservation"
        )


def _differences(what: str, first: Space, second: Space, *, bounds: bool = False) -> list[str]:
    """How two spaces differ; the dtype does not count, nor do observation bounds."""
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
    """A space in a few words, for messages: ``Box(3,)``, ``Discrete(2)``."""
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
