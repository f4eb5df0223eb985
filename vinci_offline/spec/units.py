"""Units of the numbers that networks see: offsets of observations, the scaling of actions, and that of rewards.

Training rows, held-out rows and the exported policy share them, so what is learned from is what is acted on.

An observation whose size hides its deviation (a clock, a counter, a position far from the origin) loses digits in
float32. Such an entry is shifted by its mean in float64 before it becomes float32. Everything else stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np

from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.spec.action_scaling import BoxScaling, scale_actions
from vinci_offline.spec.environment import EnvironmentSpec
from vinci_offline.spec.spaces import BoxSpace, DictSpace, DiscreteSpace, MultiDiscreteSpace, Space
from vinci_offline.types import Array, FloatArray

STD_EPSILON = 1e-3
"""Constant that is added to the standard deviation before the division (Fujimoto and Gu, 2021, section 5.1)."""
_INT32 = np.iinfo(np.int32)


@dataclass(frozen=True)
class RewardScaling:
    """Change of every reward: ``factor * reward + shift``."""

    factor: float
    shift: float

    def __call__(self, rewards: Array) -> Array:
        """Return changed rewards, float64."""
        return np.asarray(rewards.astype(np.float64) * self.factor + self.shift)


@dataclass(frozen=True)
class Units:
    """Units of observations, actions and rewards.

    Attributes:
        spec: the environment.
        actions: the scaling of Box actions; None for others.
        offsets: float64 numbers to subtract from observations, of their shape, zero where an entry needs none; by key
            of a Dict, and under an empty key for other observations. A part that needs no offset has no entry.
        rewards: the change of rewards before anything sums them; None takes them as they are.
    """

    spec: EnvironmentSpec
    actions: BoxScaling | None
    offsets: Mapping[str, FloatArray] = field(default_factory=dict)
    rewards: RewardScaling | None = None

    @classmethod
    def of(cls, spec: EnvironmentSpec) -> Self:
        """Return the units that the spaces alone give."""
        space = spec.action_space
        if isinstance(space, BoxSpace) and not isinstance(space, MultiDiscreteSpace):
            return cls(spec, BoxScaling(space))
        return cls(spec, None)

    def scaled(self, actions: Array) -> Array:
        """Return environment actions as `scale_actions` does, in these units."""
        return scale_actions(self.spec.action_space, actions, self.actions)

    def rewarded(self, rewards: Array) -> Array:
        """Return rewards in these units."""
        return rewards if self.rewards is None else self.rewards(rewards)

    def observed(self, key: str, values: Array) -> Array:
        """Return observations as networks take them: float32, images as they are, Discrete ones int32.

        Args:
            key: the key of a Dict; empty for other observations.
            values: ``[B, ...]``.

        Raises:
            DatasetError: a number is too large for float32.
            SpecError: a Discrete space has numbers beyond 32 bits.
        """
        space = self.part(key)
        if isinstance(space, DiscreteSpace):
            check_choices(space)
            return values.astype(np.int32)
        if key not in self.offsets:
            return values if values.dtype in (np.uint8, np.float32) else _float32(values, key)
        return _float32(values.astype(np.float64) - self.offsets[key], key)

    def part(self, key: str) -> Space:
        """Return the space of one key of a Dict; for an empty key the space of other observations."""
        space = self.spec.observation_space
        return space.spaces[key] if isinstance(space, DictSpace) else space

    def to_json(self) -> dict[str, Any] | None:
        """Return what the data and the run's options decided, as JSON values; None where they decided nothing."""
        actions = None if self.actions is None else self.actions.to_json()
        offsets = {key: values.tolist() for key, values in self.offsets.items()}
        rewards = {} if self.rewards is None else {"rewards": asdict(self.rewards)}
        decided = actions or offsets or rewards
        return {"actions": actions, "observation_offsets": offsets, **rewards} if decided else None

    @classmethod
    def from_json(cls, spec: EnvironmentSpec, stored: Mapping[str, Any] | None) -> Self:
        """Return what `to_json` described.

        Raises:
            KeyError, TypeError, ValueError: the values are not such.
        """
        plain = cls.of(spec)
        if stored is None:
            return plain
        actions = plain.actions
        if actions is not None:
            actions = BoxScaling.from_json(actions.space, stored["actions"])
        offsets = {
            str(key): np.asarray(values, np.float64) for key, values in stored["observation_offsets"].items()
        }
        for key, values in offsets.items():
            if values.shape != getattr(plain.part(key), "shape", None):
                raise ValueError(f"an offset of shape {values.shape} for observations {key}")
        rewards = stored.get("rewards")
        scaling = (
            None if rewards is None else RewardScaling(float(rewards["factor"]), float(rewards["shift"]))
        )
        return cls(spec, actions, offsets, scaling)


def check_choices(space: DiscreteSpace) -> None:
    """Check that a Discrete space's numbers fit in 32 bits, which networks take.

    Raises:
        SpecError: they do not.
    """
    if space.start < _INT32.min or space.start + space.n - 1 > _INT32.max:
        raise SpecError(
            f"the Discrete observations {space.start} … {space.start + space.n - 1} are beyond 32 bits: record them "
            "counted from zero, through a wrapper"
        )


def _float32(values: Array, key: str) -> FloatArray:
    try:
        with np.errstate(over="raise"):
            return values.astype(np.float32)
    except FloatingPointError:
        name = f"observations/{key}" if key else "observations"
        raise DatasetError(
            f"{name} holds numbers beyond float32, about 3.4e38, which networks cannot take: rescale the observation"
        ) from None
