"""The policies that collect and evaluate know, and finding the one that a user names."""

from __future__ import annotations

import inspect
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.backend import import_keras
from vinci_offline.envs.keras_policy import KerasPolicy
from vinci_offline.envs.making import describe_space
from vinci_offline.envs.policy import Decision, Observations, Policy, to_actions
from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.loading import load_object
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.types import Array, FloatArray

__all__ = ["CallablePolicy", "Decision", "KerasPolicy", "Policy", "RandomPolicy", "load_keras", "load_policy"]


class RandomPolicy:
    """Uniform over bounded dimensions and Discrete choices.

    As `gymnasium.spaces.Box.sample` does, a dimension with one bound is exponential from it, and one without
    bounds is standard normal.
    """

    deterministic = False

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._space = space = spec.action_space
        if isinstance(space, BoxSpace):
            self._dtype = np.dtype(space.dtype)
            integers = self._dtype.kind != "f"
            self._low = space.low.astype(np.float64)
            self._width = space.high.astype(np.float64) - self._low + integers
            self._bounded = space.bounded
            self._all_bounded = bool(self._bounded.all())
            if integers and not self._all_bounded:
                raise SpecError(
                    f"random actions need bounds where they are integers: {describe_space(space)}"
                )
            # A dimension whose bounds are equal is certain.
            widths = self._width[self._bounded]
            self._log_prob = -float(np.log(widths[widths > 0]).sum())

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Draw one action a lane."""
        blocks = [self.block(rng, 1) for rng in rngs]
        actions = np.concatenate([block.actions for block in blocks])
        return Decision(
            actions, np.concatenate([block.log_probs for block in blocks if block.log_probs is not None])
        )

    def block(self, rng: np.random.Generator, count: int) -> Decision:
        """Draw ``count`` actions in a row for one lane: random actions do not wait for observations."""
        space = self._space
        if not isinstance(space, BoxSpace):
            assert isinstance(space, DiscreteSpace)
            choices = rng.integers(space.n, size=count) + space.start
            return Decision(choices, np.full(count, -np.log(space.n)))
        draws = rng.random((count, *space.shape)) * np.where(self._bounded, self._width, 0) + np.where(
            self._bounded, self._low, 0
        )
        log_probs = np.full(count, self._log_prob)
        if not self._all_bounded:
            log_probs += self._draw_unbounded(space, rng, draws)
        if self._dtype.kind != "f":
            draws = np.floor(draws)
        # Rounding to float32 may step over a bound.
        return Decision(np.clip(draws.astype(self._dtype), space.low, space.high), log_probs)

    @staticmethod
    def _draw_unbounded(space: BoxSpace, rng: np.random.Generator, draws: Array) -> FloatArray:
        below, above = np.isfinite(space.low), np.isfinite(space.high)
        free, from_low, from_high = ~below & ~above, below & ~above, ~below & above
        count = len(draws)
        normal = rng.standard_normal((count, int(free.sum())))
        up = rng.standard_exponential((count, int(from_low.sum())))
        down = rng.standard_exponential((count, int(from_high.sum())))
        draws[:, free], draws[:, from_low], draws[:, from_high] = (
            normal,
            space.low[from_low] + up,
            space.high[from_high] - down,
        )
        result: FloatArray = (
            -0.5 * (normal**2 + np.log(2 * np.pi)).sum(axis=1) - up.sum(axis=1) - down.sum(axis=1)
        )
        return result


class CallablePolicy:
    """A user's own policy.

    Args:
        policy: ``obs -> action`` or ``(obs, rng) -> action``, called once a lane with the environment's own
            observation; or an object whose ``act(observations, rngs)`` acts for all lanes and returns
            actions, a pair of actions and log probabilities, or a `Decision`.
        spec: the environment, against which actions are checked: one outside its bounds is clipped to them.

    A function of one argument is taken at its word: its action depends on the observation alone. One that
    draws must take ``rng``, or recording would not repeat.
    """

    def __init__(self, policy: Callable[..., Any] | Policy, spec: EnvironmentSpec) -> None:
        self._spec = spec
        self._batched = getattr(policy, "act", None) if not isinstance(policy, type) else None
        self._function: Any = policy
        self._takes_rng = self._batched is None and _takes_two(self._function)
        default = self._batched is None and not self._takes_rng
        self.deterministic = bool(getattr(policy, "deterministic", default))

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
                [self._call(_lane(observations, j), rngs[j]) for j in range(len(rngs))], space
            )
            log_probs = None
        if log_probs is None and self.deterministic and isinstance(space, DiscreteSpace):
            log_probs = np.zeros(len(rngs))
        return Decision(actions, log_probs)

    def _call(self, observation: Any, rng: np.random.Generator) -> Any:
        return self._function(observation, rng) if self._takes_rng else self._function(observation)


def load_policy(reference: Any, spec: EnvironmentSpec, *, stochastic: bool = False) -> Policy:
    """The policy that a user names.

    Args:
        reference: ``"random"``; a ``.keras`` file, loaded in Keras' safe mode; a run directory, whose
            ``policy.keras`` it takes (``stochastic_policy.keras`` to sample); ``module:object`` or
            ``file.py:object``; a Keras model; a callable; or a policy.
        spec: the environment that it will act in.
        stochastic: sample from the policy's own distribution.

    Raises:
        UsageError: there is no such policy, or it has no distribution to sample from.
        SpecError: it does not fit the environment.
        VinciError: its file is missing, damaged or not safe to load.
    """
    if isinstance(reference, str | Path):
        return _load_named(str(reference), spec, stochastic)
    if "keras" in sys.modules and isinstance(reference, sys.modules["keras"].Model):
        return KerasPolicy(reference, spec, stochastic=stochastic)
    if stochastic:
        raise UsageError(
            "only a Keras policy with a distribution can be asked to sample; "
            "a function of yours samples by itself: give it the form (obs, rng) -> action"
        )
    if isinstance(reference, RandomPolicy | KerasPolicy | CallablePolicy):
        return reference
    if isinstance(reference, type):
        reference = reference()
    if callable(reference) or hasattr(reference, "act"):
        return CallablePolicy(reference, spec)
    raise UsageError(f"{reference!r} is not a policy: it is neither callable nor has it a method act")


def load_keras(path: Path) -> Any:
    """Load a ``.keras`` file in safe mode: no code that it carries is run.

    Raises:
        VinciError: it is missing, damaged, or holds what safe mode refuses.
    """
    if not path.is_file():
        raise VinciError(f"{path} does not exist: check the path of the policy")
    path.open("rb").close()  # says whether it may be read; the next line would call it damaged
    if not zipfile.is_zipfile(path):
        raise VinciError(
            f"{path} is not a Keras model, or was cut short: save it again with model.save({path.name!r})"
        )
    import_keras()
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises whatever the damage led to
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].partition(". ")[0]
        raise VinciError(
            f"{path} cannot be loaded in Keras' safe mode ({reason}): save a model of stock layers, "
            "without Lambda"
        ) from error


def check_policy_name(policy: Any) -> None:
    """Refuse a text that names no policy.

    Raises:
        UsageError: it is neither ``random``, nor a ``.keras`` file, a run directory or an object's name.
    """
    if not isinstance(policy, str | Path):
        return
    name = str(policy)
    if name != "random" and ":" not in name and not name.endswith(".keras") and not Path(name).is_dir():
        raise UsageError(
            f"unknown policy {name!r}: give random, a .keras file, a run directory, "
            "or file.py:object (module:object)"
        )


def _load_named(name: str, spec: EnvironmentSpec, stochastic: bool) -> Policy:
    if name == "random":
        if stochastic:
            raise UsageError("the random policy has no other mode: leave out the sampling")
        return RandomPolicy(spec)
    if name.startswith("sb3:"):
        raise UsageError("sb3: policies are not available yet; load one in a file.py:function of your own")
    path = Path(name)
    if path.is_dir():
        return KerasPolicy(load_keras(_in_run(path, stochastic)), spec, stochastic=stochastic)
    if name.endswith(".keras"):
        return KerasPolicy(load_keras(path), spec, stochastic=stochastic)
    check_policy_name(name)
    found = load_object(name)
    if isinstance(found, str | Path):
        raise UsageError(f"{name} is a {type(found).__name__}, not a policy")
    return load_policy(found, spec, stochastic=stochastic)


def _in_run(run: Path, stochastic: bool) -> Path:
    if stochastic:
        if (run / "stochastic_policy.keras").is_file():
            return run / "stochastic_policy.keras"
        if (run / "policy.keras").is_file():
            raise UsageError(f"the agent of {run} has no stochastic policy: leave the sampling out")
    if not (run / "policy.keras").is_file():
        raise VinciError(f"{run} has no policy.keras: give a run directory whose training has finished")
    return run / "policy.keras"


def _lane(observations: Observations, lane: int) -> Any:
    if isinstance(observations, dict):
        return {key: value[lane] for key, value in observations.items()}
    return observations[lane]


def _takes_two(function: Any) -> bool:
    """Whether a callable is ``(obs, rng)``: a second parameter without a default, or one called rng."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    if any(parameter.name == "rng" for parameter in parameters):
        return True
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters) > 1
