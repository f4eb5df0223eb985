"""A user's own policy: a function of one lane, or an object that acts for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.loading import takes_two
from vinci_offline.policies.policy import Decision, Observations, Policy, to_actions
from vinci_offline.spec import EnvironmentSpec, TupleSpace, is_countable


class CallablePolicy:
    """A user's own policy.

    Args:
        policy: ``obs -> action`` or ``(obs, rng) -> action``, called once a lane with the environment's own
            observation; or an object whose ``act(observations, rngs)`` acts for all lanes and returns
            actions, a pair of actions and log probabilities, or a `Decision`; or a class of such objects,
            made with the environment's spec where its ``__init__`` needs an argument.
        spec: the environment, against which actions are checked: one outside its bounds is clipped to them.

    A function of one argument is taken at its word: its action depends on the observation alone. One that
    draws must take ``rng``, or recording would not repeat. An object with state has ``reset(lanes)``, told the
    numbers of the lanes in which episodes start before ``act`` sees their first observations; the first call
    names all lanes.
    """

    def __init__(self, policy: Callable[..., Any] | Policy | type, spec: EnvironmentSpec) -> None:
        self._spec = spec
        self._class = policy if isinstance(policy, type) else None
        if isinstance(policy, type):
            policy = _make(policy, spec)
        self._batched = getattr(policy, "act", None)
        self._reset = getattr(policy, "reset", None) if self._batched is not None else None
        if self._batched is None and not callable(policy):
            raise UsageError(f"{policy!r} is not a policy: it is neither callable nor has it a method act")
        self._function: Any = policy
        self._takes_rng = self._batched is None and takes_two(self._function, "rng")
        default = self._batched is None and not self._takes_rng
        self.deterministic = bool(getattr(policy, "deterministic", default))

    def fresh(self) -> CallablePolicy:
        """The same policy without memory: a new object where a class was given."""
        return self if self._class is None else CallablePolicy(self._class, self._spec)

    def reset(self, lanes: Sequence[int]) -> None:
        """Episodes start in these lanes."""
        if self._reset is not None:
            self._reset(np.asarray(lanes, np.int64))

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose actions for all lanes."""
        space = self._spec.action_space
        if self._batched is not None:
            decided = self._batched(observations, rngs)
            actions, log_probs = decided if isinstance(decided, tuple) else (decided, None)
            actions = to_actions(actions, space, lanes=len(rngs))
            if log_probs is not None:
                log_probs = np.asarray(log_probs, np.float64).reshape(len(rngs))
        else:
            actions = to_actions(
                [self._call(self._lane(observations, j), rngs[j]) for j in range(len(rngs))], space
            )
            log_probs = None
        if log_probs is None and self.deterministic and is_countable(space):
            log_probs = np.zeros(len(rngs))
        return Decision(actions, log_probs)

    def _call(self, observation: Any, rng: np.random.Generator) -> Any:
        return self._function(observation, rng) if self._takes_rng else self._function(observation)

    def _lane(self, observations: Observations, lane: int) -> Any:
        """One lane's observation, as the environment gave it."""
        if not isinstance(observations, dict):
            return observations[lane]
        parts = {key: value[lane] for key, value in observations.items()}
        return tuple(parts.values()) if isinstance(self._spec.observation_space, TupleSpace) else parts


def _make(policy: type, spec: EnvironmentSpec) -> Any:
    from inspect import Parameter, signature

    try:
        needed = [p for p in signature(policy).parameters.values() if p.default is Parameter.empty]
    except (TypeError, ValueError):
        needed = []
    positional = [p for p in needed if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
    return policy(spec) if positional else policy()
