"""Check that an environment repeats: an episode depends on its seed alone, not on lanes or workers."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.errors import SpecError, UsageError, VinciWarning
from vinci_offline.policies.actions import to_environment
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec import EnvironmentSpec

if TYPE_CHECKING:
    import gymnasium

_SEED = 0
_SLOW_SECONDS = 1.0
"""A reset that takes longer is not tried twice."""


def check_repeats(env: gymnasium.Env[Any, Any], spec: EnvironmentSpec) -> None:
    """Refuse running statistics, and warn where one seed gives two different episodes.

    Args:
        env: the environment. It is reset twice.
        spec: its description.

    Raises:
        UsageError: a wrapper keeps running statistics.
    """
    refuse_running_statistics(env)
    what = _difference(env, spec)
    if what is not None:
        warnings.warn(
            f"{spec.id or 'the environment'} gives two different episodes for one seed ({what}), so no seed repeats "
            "what it does here: let reset(seed=...) seed everything that it draws (self.np_random)",
            VinciWarning,
            stacklevel=1,
        )


def refuse_running_statistics(env: gymnasium.Env[Any, Any]) -> None:
    """Refuse an environment with a layer that normalises by statistics of what it has seen so far.

    Its values depend on all steps before, so on the lanes, the workers and the order of the episodes. A layer whose
    statistics are frozen passes.

    Raises:
        UsageError: there is such a layer.
    """
    for layer in _layers(env):
        frozen = any(getattr(layer, name, True) is False for name in ("update_running_mean", "training"))
        if not frozen and any(map(_is_statistics, vars(layer).values())):
            raise UsageError(
                f"{type(layer).__name__} keeps running statistics, so its values depend on the lanes, the workers and "
                "the episodes before: leave it out and record raw values, because networks normalise observations by "
                "themselves and train --reward normalize scales rewards; or freeze it (update_running_mean = False)"
            )


def _layers(env: Any) -> Iterator[Any]:
    """Yield an environment and those inside its wrappers."""
    import gymnasium

    while isinstance(env, gymnasium.Env):
        yield env
        env = vars(env).get("env")


def _is_statistics(value: Any) -> bool:
    """Return True for a ``RunningMeanStd`` of any package, or a dict of such, as for Dict observations."""
    if isinstance(value, dict):
        return any(map(_is_statistics, value.values()))
    return callable(getattr(value, "update", None)) and all(
        isinstance(getattr(value, name, None), np.ndarray | np.generic | float | int)
        for name in ("mean", "var", "count")
    )


def _difference(env: gymnasium.Env[Any, Any], spec: EnvironmentSpec) -> str | None:
    """Return what differs between two starts from one seed; None where nothing does, or where they cannot be had.

    An environment that fails fails again when the work begins, and is reported there.
    """
    started = time.monotonic()
    try:
        first = _start(env, spec)
        if time.monotonic() - started > _SLOW_SECONDS:
            return None
        second = _start(env, spec)
    except Exception:  # noqa: BLE001  # of any type: it is the user's code
        return None
    for name, one, other in zip(
        ("first observation", "second observation", "first reward"), first, second, strict=True
    ):
        if not _equal(one, other):
            return f"the {name} differs"
    return None


def _start(env: gymnasium.Env[Any, Any], spec: EnvironmentSpec) -> tuple[Any, Any, Any]:
    """Return the first observation, the second one and the first reward, under the seed and one action."""
    observation, _ = env.reset(seed=_SEED)
    # A copy, because an environment may write its next observation into the same array.
    seen = copy.deepcopy(observation)
    try:
        actions = RandomPolicy(spec).block(np.random.default_rng(_SEED), 1).actions
    except SpecError:  # no random actions in this space
        return seen, None, None
    following, reward, *_ = env.step(to_environment(actions, spec.action_space)[0])
    return seen, copy.deepcopy(following), reward


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    one, other = np.asarray(one), np.asarray(other)
    return np.array_equal(one, other, equal_nan=one.dtype.kind == other.dtype.kind == "f")
