"""Exploration noise on a policy's actions, constant or annealed over a collection."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.policies.actions import to_actions
from vinci_offline.policies.densities import clipped_gaussian_log_prob
from vinci_offline.policies.policy import Decision
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec import BoxSpace, EnvironmentSpec, is_countable
from vinci_offline.text import did_you_mean
from vinci_offline.types import Array, FloatArray

Kind: TypeAlias = Literal["none", "gaussian", "ou", "epsilon", "sample"]

_FORMS = "none, gaussian:SIGMA, ou:THETA:SIGMA, epsilon:E or sample (annealed: gaussian:0.5->0.1)"


@dataclass(frozen=True)
class Noise:
    """The noise that ``--noise`` names.

    Attributes:
        kind: ``gaussian`` adds independent normal noise; ``ou`` adds the correlated noise of an Ornstein-Uhlenbeck
            process; ``epsilon`` takes a random action with that probability; ``sample`` samples the policy's own
            distribution; ``none`` adds nothing.
        level: sigma or epsilon at the start of the collection. Sigma counts in half ranges of a bounded action
            dimension (0.1 is 10 % of the way from the middle to a bound), and in raw units without bounds.
        final_level: sigma or epsilon at the end. The level changes linearly.
        theta: the rate a step at which Ornstein-Uhlenbeck noise returns to zero.
    """

    kind: Kind = "none"
    level: float = 0.0
    final_level: float = 0.0
    theta: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Noise:
        """Read ``none``, ``gaussian:SIGMA``, ``ou:THETA:SIGMA``, ``epsilon:E`` or ``sample``.

        A level may be ``FROM->TO``.

        Raises:
            UsageError: the text is none of these, or a number is out of range.
        """
        kind, *numbers = text.strip().split(":")
        if kind in ("none", "sample") and not numbers:
            return cls(kind="none" if kind == "none" else "sample")
        if (kind, len(numbers)) not in (("gaussian", 1), ("epsilon", 1), ("ou", 2)):
            near = did_you_mean(kind, ("none", "gaussian", "ou", "epsilon", "sample"))
            raise UsageError(f"unknown noise {text!r}: give {_FORMS}{near}")
        levels = [_number(text, part) for part in numbers[-1].split("->")]
        theta = _number(text, numbers[0]) if kind == "ou" else 0.0
        if len(levels) > 2:
            raise UsageError(f"noise {text!r}: a level anneals from one number to another: give {_FORMS}")
        if kind == "epsilon" and max(levels) > 1:
            raise UsageError(f"noise {text!r}: epsilon is a probability, from 0 to 1")
        if kind == "ou" and theta == 0:
            raise UsageError(f"noise {text!r}: theta is a rate above 0")
        return cls(kind, levels[0], levels[-1], theta)  # type: ignore[arg-type]

    def __str__(self) -> str:
        level = f"{self.level}->{self.final_level}" if self.annealed else str(self.level)
        if self.kind in ("none", "sample"):
            return self.kind
        return f"ou:{self.theta}:{level}" if self.kind == "ou" else f"{self.kind}:{level}"

    @property
    def annealed(self) -> bool:
        """True where the level changes."""
        return self.level != self.final_level

    def at(self, progress: float) -> float:
        """Return the level when a fraction ``progress`` of the collection is done."""
        return self.level + (self.final_level - self.level) * progress

    def check(self, spec: EnvironmentSpec) -> None:
        """Raise a UsageError where the noise does not fit the environment's actions."""
        if self.kind in ("gaussian", "ou") and is_countable(spec.action_space):
            raise UsageError(
                f"{self.kind} noise needs continuous actions, and {spec.id or 'the environment'} "
                "has discrete ones: use epsilon:E or sample"
            )


class LaneNoise:
    """The noise of a group of lanes. Each draw comes from the generator of the lane's episode.

    Ornstein-Uhlenbeck noise solves ``dx = -theta x dt + sigma dW`` exactly at steps of one:
    ``x' = x exp(-theta) + sigma sqrt((1 - exp(-2 theta)) / (2 theta)) n`` with n standard normal, and x = 0 when an
    episode starts. Its stationary deviation is ``sigma / sqrt(2 theta)`` (Uhlenbeck and Ornstein, 1930).
    """

    def __init__(self, noise: Noise, spec: EnvironmentSpec, lanes: int) -> None:
        noise.check(spec)
        self._noise = noise
        self._space = space = spec.action_space
        self._levels = np.zeros(lanes)
        if isinstance(space, BoxSpace):
            low, high = space.low.astype(np.float64), space.high.astype(np.float64)
            with np.errstate(invalid="ignore"):
                self._scale = np.where(space.bounded, (high - low) / 2, 1.0)
            self._state = np.zeros((lanes, *space.shape))
        self._random = RandomPolicy(spec) if noise.kind == "epsilon" else None

    def begin(self, lane: int, progress: float) -> None:
        """Start an episode in a lane, at a fraction ``progress`` of the collection."""
        self._levels[lane] = self._noise.at(progress)
        if self._noise.kind == "ou":
            self._state[lane] = 0

    def apply(self, decision: Decision, rngs: Sequence[np.random.Generator], deterministic: bool) -> Decision:
        """Add the noise to the actions, and clip them to the bounds.

        Args:
            decision: the policy's actions.
            rngs: a generator a lane.
            deterministic: True where the policy's actions depend on the observation alone. Only then does an action
                with noise have a known density: `clipped_gaussian_log_prob` for normal noise, the mixture for
                epsilon. Ornstein-Uhlenbeck noise has none, because it depends on earlier steps.
        """
        if self._noise.kind == "gaussian":
            return self._gaussian(decision.actions, rngs, deterministic)
        if self._noise.kind == "ou":
            return self._ornstein_uhlenbeck(decision.actions, rngs)
        if self._noise.kind == "epsilon":
            return self._epsilon(decision.actions, rngs, deterministic)
        return decision

    def _gaussian(self, means: Array, rngs: Sequence[np.random.Generator], deterministic: bool) -> Decision:
        space = self._space
        assert isinstance(space, BoxSpace)
        std = self._spread(self._levels)
        actions = to_actions(means + std * self._normal(rngs), space, len(rngs))
        if not deterministic:
            return Decision(actions, None)
        # A lane without noise has no density. NaN says so for that lane alone.
        known = np.where(self._spread(np.ones(len(means))) > 0, std, 1.0)
        known[self._levels == 0] = np.nan
        return Decision(actions, clipped_gaussian_log_prob(actions, means, known, space.low, space.high))

    def _ornstein_uhlenbeck(self, means: Array, rngs: Sequence[np.random.Generator]) -> Decision:
        theta = self._noise.theta
        spread = self._spread(self._levels) * math.sqrt(-math.expm1(-2 * theta) / (2 * theta))
        self._state = self._state * math.exp(-theta) + spread * self._normal(rngs)
        return Decision(to_actions(means + self._state, self._space, len(rngs)), None)

    def _epsilon(self, greedy: Array, rngs: Sequence[np.random.Generator], deterministic: bool) -> Decision:
        assert self._random is not None
        lanes, epsilon = len(rngs), self._levels
        explore = np.array([rng.random() for rng in rngs]) < epsilon
        actions, log_random = greedy.copy(), np.zeros(lanes)
        for lane in np.flatnonzero(explore).tolist():
            drawn = self._random.block(rngs[lane], 1)
            assert drawn.log_probs is not None
            actions[lane], log_random[lane] = drawn.actions[0], drawn.log_probs[0]
        if not deterministic:
            return Decision(actions, None)
        with np.errstate(divide="ignore"):
            if not is_countable(self._space):
                return Decision(actions, np.where(explore, np.log(epsilon) + log_random, np.log1p(-epsilon)))
            same = (actions == greedy).reshape(lanes, -1).all(axis=1)
            uniform = epsilon * math.exp(self._random.log_prob)
            return Decision(actions, np.log(uniform + np.where(same, 1 - epsilon, 0.0)))

    def _normal(self, rngs: Sequence[np.random.Generator]) -> FloatArray:
        return np.stack([rng.standard_normal(self._scale.shape) for rng in rngs])

    def _spread(self, levels: FloatArray) -> FloatArray:
        """Return ``[L, ...]`` levels in the units of the actions."""
        result: FloatArray = levels.reshape(-1, *([1] * self._scale.ndim)) * self._scale
        return result


def _number(text: str, part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        raise UsageError(f"noise {text!r}: {part!r} is not a number: give {_FORMS}") from None
    if not math.isfinite(value) or value < 0:
        raise UsageError(f"noise {text!r}: {part} must be finite and not negative")
    return value
