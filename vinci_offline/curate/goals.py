"""Rewards for reaching goals, as relabelling uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.types import Array, FloatArray


class GoalReward(Protocol):
    """Reward and end of a transition under another goal."""

    def rewards(self, achieved: Array, desired: Array) -> Array:
        """Return ``[B]``: rewards of transitions that led to ``achieved`` ``[B, …]`` under the goal ``desired``."""

    def terminals(self, achieved: Array, desired: Array) -> Array | None:
        """Return ``[B]``: whether the episode terminates there; None where the reward cannot tell."""

    def reached(self, achieved: Array, desired: Array) -> Array | None:
        """Return ``[B]``: whether the goal counts as reached; None where the reward cannot tell."""


@dataclass(frozen=True)
class WithinDistance:
    """Reward of 0 within a distance of the goal and -1 elsewhere.

    Andrychowicz et al. 2017, arXiv 1707.01495, section 4.1.

    Attributes:
        threshold: the Euclidean distance, over all entries of a goal.

    Raises:
        UsageError: the threshold is not a positive number.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.threshold) and self.threshold > 0):
            raise UsageError(f"reward threshold {self.threshold:g}: give a distance above 0")

    def rewards(self, achieved: Array, desired: Array) -> Array:
        """See `GoalReward`."""
        return np.where(self.reached(achieved, desired), np.float32(0), np.float32(-1))

    def terminals(self, achieved: Array, desired: Array) -> Array | None:
        """Return None: a distance does not say whether an episode goes on."""
        return None

    def reached(self, achieved: Array, desired: Array) -> Array:
        """See `GoalReward`."""
        apart: FloatArray = achieved.astype(np.float64) - desired
        return np.asarray(np.linalg.norm(apart.reshape(len(apart), -1), axis=1) <= self.threshold)
