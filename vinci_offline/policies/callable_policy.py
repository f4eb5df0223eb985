"""A user's own policies: a function of one observation, or an object that acts for all lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.loading import takes_two
from vinci_offline.policies.actions import to_actions
from vinci_offline.policies.policy import Decision, HistoryPolicy, Observations, Policy
from vinci_offline.spec import EnvironmentSpec, TupleSpace, is_countable
from vinci_offline.types import Array, FloatArray


def own_policy(policy: Any, spec: EnvironmentSpec) -> Policy:
    """Make a policy of a user's own function, object or class.

    Args:
        policy: a function, for `FunctionPolicy`; an object with a method ``act``, for `ObjectPolicy`; or a class of
            either, which is called with the environment's spec where ``__init__`` needs an argument. A class gives
            each shard a new object.
        spec: the environment.

    Raises:
        UsageError: it is none of these.
    """
    is_class = isinstance(policy, type)
    own = _make(policy, spec) if is_class else policy
    renew = partial(own_policy, policy, spec) if is_class else None
    if hasattr(own, "act"):
        return ObjectPolicy(own, spec, renew)
    if callable(own):
        return FunctionPolicy(own, spec, renew)
    raise UsageError(f"{policy!r} is not a policy: it is neither callable nor has it a method act")


class FunctionPolicy(Policy):
    """A function of one lane's observation.

    Args:
        function: ``obs -> action`` or ``(obs, rng) -> action``. It gets the observation as the environment gave
            it. A function of one argument counts as deterministic. A function that draws must take ``rng``, or
            recording would not repeat.
        spec: the environment. An action outside its bounds is clipped.
        renew: makes the same policy with a new function object; None where there is nothing to renew.
    """

    def __init__(
        self, function: Callable[..., Any], spec: EnvironmentSpec, renew: Callable[[], Policy] | None = None
    ) -> None:
        self._function = function
        self._spec = spec
        self._renew = renew
        self._takes_rng = takes_two(function, "rng")
        self.deterministic = bool(getattr(function, "deterministic", not self._takes_rng))

    def fresh(self) -> Policy:
        """Return a policy around a new function object where a class was given, else this policy."""
        return self if self._renew is None else self._renew()

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Call the function once a lane."""
        space = self._spec.action_space
        chosen = [self._call(self._lane(observations, lane), rng) for lane, rng in enumerate(rngs)]
        actions = to_actions(chosen, space, len(rngs))
        certain = self.deterministic and is_countable(space)
        return Decision(actions, np.zeros(len(rngs)) if certain else None)

    def _call(self, observation: Any, rng: np.random.Generator) -> Any:
        return self._function(observation, rng) if self._takes_rng else self._function(observation)

    def _lane(self, observations: Observations, lane: int) -> Any:
        """Return one lane's observation as the environment gave it."""
        if not isinstance(observations, dict):
            return observations[lane]
        parts = {key: value[lane] for key, value in observations.items()}
        return tuple(parts.values()) if isinstance(self._spec.observation_space, TupleSpace) else parts


class ObjectPolicy(HistoryPolicy):
    """An object with the methods of `Policy` or `HistoryPolicy`; it need not inherit from them.

    ``act(observations, rngs)`` returns actions, a pair of actions and log probabilities, or a `Decision`. The
    other methods and ``deterministic`` are optional and mean what the contract says. ``reset`` gets the lanes as
    an int64 array; ``observe`` too.

    Args:
        own: the object.
        spec: the environment. An action outside its bounds is clipped.
        renew: makes the same policy with a new object; None where there is nothing to renew.
    """

    def __init__(self, own: Any, spec: EnvironmentSpec, renew: Callable[[], Policy] | None = None) -> None:
        self._own = own
        self._spec = spec
        self._renew = renew
        self._has_reset, self._has_observe = hasattr(own, "reset"), hasattr(own, "observe")
        self.deterministic = bool(getattr(own, "deterministic", False))

    def fresh(self) -> Policy:
        """Return a policy around a new object where a class was given, else this policy."""
        return self if self._renew is None else self._renew()

    def reset(self, lanes: Sequence[int]) -> None:
        """Tell the object where episodes start."""
        if self._has_reset:
            self._own.reset(np.asarray(lanes, np.int64))

    def observe(self, lanes: Sequence[int], actions: Array, rewards: FloatArray) -> None:
        """Tell the object a step's actions and rewards."""
        if self._has_observe:
            self._own.observe(np.asarray(lanes, np.int64), actions, rewards)

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Let the object choose for all lanes, and check its actions."""
        space, lanes = self._spec.action_space, len(rngs)
        decided = self._own.act(observations, rngs)
        actions, log_probs = decided if isinstance(decided, tuple) else (decided, None)
        actions = to_actions(actions, space, lanes)
        if log_probs is not None:
            return Decision(actions, np.asarray(log_probs, np.float64).reshape(lanes))
        certain = self.deterministic and is_countable(space)
        return Decision(actions, np.zeros(lanes) if certain else None)


def _make(policy: type, spec: EnvironmentSpec) -> Any:
    """Call a class, with the spec where its ``__init__`` needs an argument."""
    try:
        needed = [p for p in signature(policy).parameters.values() if p.default is Parameter.empty]
    except (TypeError, ValueError):
        needed = []
    positional = [p for p in needed if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    return policy(spec) if positional else policy()
