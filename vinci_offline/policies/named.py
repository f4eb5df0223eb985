"""The policies that collect and evaluate know, and finding the one that a user names."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.envs.collect.goal_exploration import is_exploration, load_descriptor
from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.keras_setup import import_keras
from vinci_offline.loading import load_object
from vinci_offline.policies.callable_policy import CallablePolicy
from vinci_offline.policies.keras_policy import KerasPolicy
from vinci_offline.policies.onnx_policy import OnnxPolicy, check_onnx
from vinci_offline.policies.policy import Decision, Observations, Policy
from vinci_offline.policies.sb3_policy import Sb3Name, Sb3Policy
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec, describe_space
from vinci_offline.types import Array, FloatArray

__all__ = ["CallablePolicy", "Decision", "KerasPolicy", "Policy", "RandomPolicy", "load_keras", "load_policy"]

RANDOM_STATE = "random-state"
"""Names the sampling of states one by one, in the place of a policy."""


class RandomPolicy:
    """Uniform over bounded dimensions and over choices.

    As `gymnasium.spaces.Box.sample` does, a dimension with one bound is exponential from it, and one without
    bounds is standard normal.

    Attributes:
        log_prob: the log density, or log mass, of the bounded part of any action.
    """

    deterministic = False

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._space = space = spec.action_space
        if isinstance(space, DiscreteSpace):
            self.log_prob = -float(np.log(space.n))
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
            self.log_prob = -float(np.log(widths[widths > 0]).sum())

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
            return Decision(choices, np.full(count, self.log_prob))
        draws = rng.random((count, *space.shape)) * np.where(self._bounded, self._width, 0) + np.where(
            self._bounded, self._low, 0
        )
        log_probs = np.full(count, self.log_prob)
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


def load_policy(reference: Any, spec: EnvironmentSpec, *, stochastic: bool = False) -> Policy:
    """The policy that a user names.

    Args:
        reference: ``"random"``; a ``.keras`` file, loaded in Keras' safe mode; a run directory, whose
            ``policy.keras`` it takes (``stochastic_policy.keras`` to sample); an ``.onnx`` file;
            ``sb3:ALGO:FILE.zip[:VECNORMALIZE]``; ``module:object`` or ``file.py:object``; a Keras model; a
            callable, or a class; or a policy.
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
            "only a Keras or SB3 policy with a distribution can be asked to sample; "
            "a function of yours samples by itself: give it the form (obs, rng) -> action"
        )
    if isinstance(reference, RandomPolicy | KerasPolicy | CallablePolicy | OnnxPolicy | Sb3Policy):
        return reference
    if callable(reference) or hasattr(reference, "act"):
        return CallablePolicy(reference, spec)
    raise UsageError(f"{reference!r} is not a policy: it is neither callable nor has it a method act")


def load_keras(path: Path) -> Any:
    """Load a ``.keras`` file in safe mode: no code that it carries is run.

    Raises:
        VinciError: it is missing, damaged, or holds what safe mode refuses.
    """
    _check_keras_file(path)
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


def _check_keras_file(path: Path) -> None:
    if not path.exists():
        raise VinciError(f"{path} does not exist: check the path of the policy")


def check_policy_name(policy: Any, *, recording: bool = False) -> None:
    """Refuse a text that names no policy, or one whose file or package is missing; nothing is loaded.

    Args:
        policy: what `load_policy` takes.
        recording: whether ``random-state`` and ``gep``, which only record, are among the names.

    Raises:
        UsageError: it is none of the names, or a package that it needs is not installed.
        VinciError: its file does not exist.
    """
    if not isinstance(policy, str | Path):
        return
    name = str(policy)
    if recording and (name == RANDOM_STATE or is_exploration(name)):
        if name != RANDOM_STATE:
            load_descriptor(name)
    elif Sb3Name.matches(name):
        Sb3Name.parse(name).warn()
    elif name.endswith(".onnx"):
        check_onnx(Path(name))
    elif is_exploration(name) or name == RANDOM_STATE:
        raise UsageError(f"{name} records data and is no policy by itself: use it with collect")
    elif name.endswith(".keras"):
        _check_keras_file(Path(name))
    elif name != "random" and ":" not in name and not Path(name).is_dir():
        raise UsageError(
            f"unknown policy {name!r}: give random, a .keras or .onnx file, a run directory, "
            "sb3:ALGO:FILE.zip[:VECNORMALIZE], or file.py:object (module:object); collect also takes "
            "random-state and gep[:file.py:descriptor]"
        )


def _load_named(name: str, spec: EnvironmentSpec, stochastic: bool) -> Policy:
    if name == "random":
        if stochastic:
            raise UsageError("the random policy has no other mode: leave out the sampling")
        return RandomPolicy(spec)
    path = Path(name)
    if path.is_dir():
        return KerasPolicy(load_keras(_in_run(path, stochastic)), spec, stochastic=stochastic)
    if name.endswith(".keras"):
        return KerasPolicy(load_keras(path), spec, stochastic=stochastic)
    if Sb3Name.matches(name):
        return Sb3Policy(Sb3Name.parse(name), spec, stochastic=stochastic)
    check_policy_name(name)
    if name.endswith(".onnx"):
        if stochastic:
            raise UsageError(f"{name} gives actions, not a distribution: leave the sampling out")
        return OnnxPolicy(path, spec)
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
