"""Make environments from ids, classes, functions and descriptions."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe, load_module
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import nearest
from vinci_offline.trusted import plain_kwargs, registered_id

if TYPE_CHECKING:
    import gymnasium

EnvironmentLike: TypeAlias = "str | EnvironmentSpec | gymnasium.Env[Any, Any] | Callable[..., Any]"
"""An id, ``module:EnvId``, ``module:Class``, a description, an environment, or a function that makes one."""


def make_env(
    environment: EnvironmentLike, kwargs: Mapping[str, Any] | None = None
) -> gymnasium.Env[Any, Any]:
    """Make an environment. Gymnasium's passive checker is off: it costs as much as a cheap step.

    A text is the user's own word: what it names is imported. An `EnvironmentSpec` may come from a file: it is looked up
    among the environments that are registered already, and nothing is imported by name.

    Args:
        environment: a Gymnasium id; ``module:EnvId``, where importing the module registers the id;
            ``module:Class`` or ``file.py:Class`` for a `gymnasium.Env` subclass or a function that makes one;
            an `EnvironmentSpec` (its registered id, plain keyword arguments and time limit); a callable; or an
            environment, which is returned as it is.
        kwargs: keyword arguments of the environment. ``max_episode_steps`` sets the time limit. They replace
            those of an `EnvironmentSpec`.

    Raises:
        UsageError: there is no such environment, importing it fails, it does not take ``kwargs``, or a file names what
            only the user may name.
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
        name = registered_id(environment.id, environment.kwargs)
        return _make_registered(name, "", recorded_kwargs(environment, kwargs))
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


def recorded_kwargs(spec: EnvironmentSpec, own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the keyword arguments and the time limit of a recorded environment, with the user's in their place.

    Args:
        spec: the dataset's environment.
        own: the keyword arguments that the user gives.

    Raises:
        UsageError: an argument of the file may name a file, a module or another environment.
    """
    own = own or {}
    kwargs = {**plain_kwargs(spec.id or "the environment", spec.kwargs, own), **own}
    if spec.max_episode_steps is not None:
        kwargs.setdefault("max_episode_steps", spec.max_episode_steps)
    return kwargs


def kwargs_of(
    environment: EnvironmentLike | None, recorded: EnvironmentSpec | None, own: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the keyword arguments of an environment that a user names: the recorded one keeps its own.

    Args:
        environment: the user's; None or an `EnvironmentSpec` has its own arguments, which `make_env` adds.
        recorded: the environment of the dataset or run.
        own: the keyword arguments that the user gives. They replace the recorded ones.

    Raises:
        UsageError: an argument of the file may name a file, a module or another environment.
    """
    if recorded is not None and isinstance(environment, str) and environment == recorded.id:
        return recorded_kwargs(recorded, own)
    return dict(own or {})


def limited(
    environment: EnvironmentLike, kwargs: Mapping[str, Any], max_episode_steps: int | None
) -> tuple[EnvironmentLike, dict[str, Any]]:
    """Return an environment and its keyword arguments with a time limit; None keeps its own."""
    import gymnasium

    if max_episode_steps is None:
        return environment, dict(kwargs)
    if isinstance(environment, gymnasium.Env):
        return gymnasium.wrappers.TimeLimit(environment, max_episode_steps), dict(kwargs)
    return environment, {**kwargs, "max_episode_steps": max_episode_steps}


def _make_registered(name: str, module: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    import gymnasium

    shown = f"{module}:{name}" if module else name
    # No advice to upgrade: a policy may need the old version it was trained on.
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
        except Exception as error:  # of any type: it is the code of whoever registered it
            raise UsageError(_failed(shown, kwargs, error)) from error


def _unknown(name: str, module: str) -> str:
    import gymnasium

    close = nearest(name, gymnasium.registry)
    hint = "" if close is None else f"did you mean {close}? "
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


def _call(maker: Any, name: str, kwargs: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    import gymnasium

    if not callable(maker):
        advice = _several(maker) or ": give a Gymnasium id, a gymnasium.Env, or a function that makes one"
        raise UsageError(f"a value of type {type(maker).__name__} is no environment{advice}")
    limit = None
    if "max_episode_steps" in kwargs and not _takes(maker, "max_episode_steps"):
        limit = kwargs.pop("max_episode_steps")
    try:
        env = maker(**kwargs)
    except VinciError:
        raise
    except Exception as error:  # of any type: it is the user's code
        raise UsageError(_failed(name, kwargs, error)) from error
    if not isinstance(env, gymnasium.Env):
        raise UsageError(f"{name} gives a {type(env).__name__}, not a gymnasium.Env{_several(env)}")
    return env if limit in (None, -1) else gymnasium.wrappers.TimeLimit(env, limit)


def _failed(name: str, kwargs: Mapping[str, Any], error: Exception) -> str:
    """Return the message for an exception of an environment's own code."""
    given = dict(kwargs) or "no arguments"
    return f"{name} cannot be made with {given}: {describe(error)}; correct its code or its arguments"


def _several(environment: Any) -> str:
    """Return advice where an object is several environments at once, otherwise nothing."""
    if not hasattr(environment, "num_envs"):
        return ""
    return (
        ": it is a vector of environments; give a single one, its id, or a function that makes it, and say with "
        "lanes how many are stepped together"
    )


def _takes(maker: Callable[..., Any], name: str) -> bool:
    try:
        return name in inspect.signature(maker).parameters
    except (TypeError, ValueError):
        return False
