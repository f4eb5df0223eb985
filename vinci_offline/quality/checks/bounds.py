"""Check that values lie in their space."""

from __future__ import annotations

import numpy as np

from vinci_offline.quality.checks.marks import any_in_row
from vinci_offline.spec import BoxSpace, DiscreteSpace
from vinci_offline.types import Array

ROUNDING = 1e-6
"""Relative tolerance for float32 rounding at a bound; a bound near zero counts as 1."""


NEAR = 1e-3
"""Relative distance from a bound within which clipping guesses nothing: the value may be the bound after arithmetic in
half precision, or after printing three decimals."""


class Bounds:
    """The bounds of a space, widened by a share of their size.

    Args:
        space: the space.
        slack: the distance beyond a bound of a Box that still counts as inside, as a share of the bound, or of 1 if
            that is more.
    """

    def __init__(self, space: BoxSpace | DiscreteSpace, slack: float = ROUNDING) -> None:
        if isinstance(space, DiscreteSpace):
            self.low, self.high = np.array(space.start), np.array(space.start + space.n - 1)
            return
        low, high = space.low.astype(np.float64), space.high.astype(np.float64)
        if np.dtype(space.dtype).kind == "f":
            size = np.maximum(1.0, np.maximum(_finite_size(low), _finite_size(high)))
            low, high = low - slack * size, high + slack * size
        self.low, self.high = low, high

    def cover(self, dtype: np.dtype[np.generic]) -> bool:
        """Return whether every finite number of ``dtype`` lies inside, so that no value needs a check."""
        if dtype.kind in "iu":
            limits = np.iinfo(dtype.name)
            return bool((self.low <= limits.min).all() and (self.high >= limits.max).all())
        return bool(np.isneginf(self.low).all() and np.isposinf(self.high).all())

    def outside(self, block: Array) -> Array:
        """Return ``[B]``: whether each row of ``[B, …]`` has an entry beyond a bound; NaN is beyond none."""
        # Two numbers a dimension decide for the whole block, and almost all blocks are sound.
        with np.errstate(invalid="ignore"):
            if (block.min(axis=0) >= self.low).all() and (block.max(axis=0) <= self.high).all():
                return np.zeros(len(block), np.bool_)
            return any_in_row((block < self.low) | (block > self.high))


def _finite_size(bound: Array) -> Array:
    return np.where(np.isfinite(bound), np.abs(bound), 0.0)
