"""Action scaling: between the environment's actions and the actions that networks and losses use.

This is the only definition of the scaling. Loading a dataset scales its actions; the exported policy scales
back with the same numbers. So training and acting cannot differ.

The unit of a dimension is

- half its range, counted from the middle, where both bounds say something: [-1, 1] maps onto the bounds;
- the deviation of the recorded actions, counted from their mean, where a bound is missing, or where both are so far
  apart that the recorded actions use less than a thousandth of the range (3.4e38, or 1e6 about actions near 0.5).

Every bound holds, also a single one and a far one: actors stay inside, targets are clipped, and so is what is executed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec.spaces import BoxSpace, DiscreteSpace, MultiDiscreteSpace, Space
from vinci_offline.types import ActionBounds, Array, FloatArray

SEVERAL_CHOICES = (
    "the actions are several choices at once (MultiDiscrete or MultiBinary), which no agent learns: record the "
    "environment through a wrapper whose action space is Discrete, with a number for each combination"
)
USED_SHARE = 1e-3
"""Bounds say something about a dimension whose recorded actions use this share of its range, or more."""
_LARGEST = float(np.finfo(np.float32).max)
_COARSE = 1e-3
"""A mean is too large for float32 where its steps are wider than this share of the deviation."""


def scale_actions(space: Space, actions: Array, scaling: BoxScaling | None = None) -> Array:
    """Scale environment actions for networks and losses.

    Args:
        space: the environment's action space.
        actions: ``[N, *shape]`` for a Box, ``[N]`` for a Discrete space.
        scaling: the units of a Box; None takes those of the space alone.

    Returns:
        ``[N, A]`` float32; or ``[N]`` int32 indices from zero.

    Raises:
        SpecError: the actions have another shape, or are not among a Discrete space's choices.
    """
    if isinstance(space, DiscreteSpace):
        index = np.asarray(actions) - space.start
        if index.ndim != 1 or (index.size and not (index.min() >= 0 and index.max() < space.n)):
            raise SpecError(
                f"actions do not fit the Discrete space {space.start} … {space.start + space.n - 1}: "
                f"they have shape {index.shape} and run from {np.min(actions)} to {np.max(actions)}"
            )
        return index.astype(np.int32)
    box = scaling or BoxScaling(box_of(space))
    if actions.shape[1:] != box.space.shape:
        raise SpecError(
            f"actions of shape {actions.shape[1:]} do not fit the action space of {box.space.shape}"
        )
    # float64, because bounds far from zero lose digits in float32.
    flat: Array = actions.reshape(len(actions), -1).astype(np.float64)
    scaled: Array = (flat - box.exact_offset) / box.scale
    return scaled.astype(np.float32)


def unscale_actions(space: Space, scaled: Array, scaling: BoxScaling | None = None) -> Array:
    """Turn scaled actions into environment actions, clipped to the bounds: the inverse of `scale_actions`.

    Args:
        space: the environment's action space.
        scaled: ``[N, A]`` scaled actions, or ``[N]`` indices from zero.
        scaling: the units of a Box; None takes those of the space alone.

    Returns:
        ``[N, *shape]`` float32 (float64 where `BoxScaling.wide`, integers where the Box holds integers), or ``[N]``
        int64.
    """
    if isinstance(space, DiscreteSpace):
        return np.asarray(scaled).astype(np.int64) + space.start
    box = scaling or BoxScaling(box_of(space))
    offset = box.exact_offset if box.wide else box.offset
    actions: Array = np.clip(scaled * box.scale + offset, box.low, box.high)
    actions = actions.reshape(-1, *box.space.shape)
    if box.integer:
        return np.rint(actions).astype(box.space.dtype)
    return actions if box.wide else actions.astype(np.float32)


def box_of(space: Space) -> BoxSpace:
    """Return the space if it is a Box.

    Raises:
        SpecError: it is not a Box.
    """
    if isinstance(space, MultiDiscreteSpace):
        raise SpecError(SEVERAL_CHOICES)
    if not isinstance(space, BoxSpace):
        raise SpecError(
            "this needs continuous (Box) actions and the environment's are not: choose an agent for Discrete "
            "actions, such as bc or dqn"
        )
    return space


@dataclass(frozen=True)
class BoxScaling:
    """``environment = scaled * scale + offset`` for each of A dimensions.

    Without data, a dimension that lacks a bound keeps its own unit: scale 1, offset 0.

    Args:
        space: the actions.
        by_data: ``[A]`` mask of the dimensions whose unit comes from recorded actions; None for none.
        deviation: ``[A]`` float64 scale of these.
        mean: ``[A]`` float64 offset of these.
    """

    space: BoxSpace
    by_data: Array | None = None
    deviation: FloatArray | None = None
    mean: FloatArray | None = None

    @classmethod
    def of_data(
        cls, space: BoxSpace, mean: FloatArray, std: FloatArray, low: FloatArray, high: FloatArray
    ) -> BoxScaling:
        """Return the scaling for recorded actions, by the rule of this module.

        Args:
            space: the actions.
            mean: mean of each entry of the recorded actions, of the space's shape.
            std: standard deviation.
            low: least value.
            high: greatest value.
        """
        mean, std, low, high = (np.asarray(part, np.float64).reshape(-1) for part in (mean, std, low, high))
        half, varies = _half_range(space), high > low
        with np.errstate(invalid="ignore"):
            # A constant tells nothing about its reach: it counts by its size, or as 1.
            reach = np.where(varies, (high - low) / 2, np.maximum(1.0, np.abs(high)))
            by_data = ~(space.bounded.reshape(-1) & (reach >= USED_SHARE * half))
        if not by_data.any():
            return cls(space)
        varies &= std > np.finfo(np.float32).tiny
        return cls(space, by_data, np.where(by_data & varies, std, 1.0), np.where(by_data, mean, 0.0))

    @cached_property
    def bounded(self) -> Array:
        """``[A]`` mask: where the range of the space is the unit, and scaled actions live in [-1, 1]."""
        mask: Array = self.space.bounded.reshape(-1)
        return mask if self.by_data is None else mask & ~self.by_data

    @cached_property
    def scale(self) -> FloatArray:
        """``[A]`` float32: half the range, the deviation of the data, or one."""
        half = _half_range(self.space)
        own = 1.0 if self.deviation is None else self.deviation
        # Equal bounds would divide by zero.
        return np.where(self.bounded, np.where(half > 0, half, 1.0), own).astype(np.float32)

    @cached_property
    def offset(self) -> FloatArray:
        """``[A]`` float32: the middle of the range, the mean of the data, or zero."""
        return self._offset.astype(np.float32)

    @cached_property
    def exact_offset(self) -> FloatArray:
        """``[A]`` float64: `offset`; the mean itself where float32 would be too coarse for it."""
        return np.where(self._far, self._offset, self.offset.astype(np.float64))

    @property
    def wide(self) -> bool:
        """True where actions need float64: their mean is so large that float32 rounds away their deviation."""
        return bool(self._far.any())

    @cached_property
    def bounds(self) -> ActionBounds:
        """The bounds of scaled actions: -1 and 1 where `bounded`, and elsewhere the bounds that there are."""
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = (
                ((bound.reshape(-1).astype(np.float64) - self.exact_offset) / self.scale).astype(np.float32)
                for bound in (self.space.low, self.space.high)
            )
        has_low, has_high = (mask.reshape(-1) for mask in (self.space.has_low, self.space.has_high))
        return ActionBounds(
            np.where(self.bounded, np.float32(-1), np.where(has_low, low, np.float32(-np.inf))),
            np.where(self.bounded, np.float32(1), np.where(has_high, high, np.float32(np.inf))),
        )

    @cached_property
    def low(self) -> FloatArray:
        """``[A]`` float32 lower bounds. The least float32 means no bound, because JSON has no infinity."""
        return _within_float32(self.space.low)

    @cached_property
    def high(self) -> FloatArray:
        """``[A]`` float32 upper bounds. The greatest float32 means no bound."""
        return _within_float32(self.space.high)

    @property
    def integer(self) -> bool:
        """True where the Box holds integers."""
        return np.dtype(self.space.dtype).kind in "iu"

    def to_json(self) -> dict[str, Any] | None:
        """Return what the data decided, as JSON values; None where they decided nothing."""
        if self.by_data is None or self.deviation is None or self.mean is None:
            return None
        return {
            "by_data": self.by_data.tolist(),
            "scale": self.deviation.tolist(),
            "offset": self.mean.tolist(),
        }

    @classmethod
    def from_json(cls, space: BoxSpace, stored: Mapping[str, Any] | None) -> BoxScaling:
        """Return what `to_json` described.

        Raises:
            KeyError, TypeError, ValueError: the values are not such.
        """
        if stored is None:
            return cls(space)
        by_data = np.asarray(stored["by_data"], np.bool_)
        scale, offset = (np.asarray(stored[name], np.float64) for name in ("scale", "offset"))
        if not by_data.shape == scale.shape == offset.shape == (space.dim,):
            raise ValueError(f"action scaling of {by_data.shape} dimensions for {space.dim}")
        return cls(space, by_data, scale, offset)

    @cached_property
    def _offset(self) -> FloatArray:
        low, high = (bound.reshape(-1).astype(np.float64) for bound in (self.space.low, self.space.high))
        own = 0.0 if self.mean is None else self.mean
        with np.errstate(invalid="ignore", over="ignore"):
            return np.where(self.bounded, (high + low) / 2, own)

    @cached_property
    def _far(self) -> Array:
        if self.by_data is None:
            return np.zeros(self.space.dim, np.bool_)
        return self.by_data & (np.spacing(np.abs(self.offset)) > _COARSE * self.scale)


def _half_range(space: BoxSpace) -> FloatArray:
    """Return ``[A]`` float64 half the range of each dimension; infinite, or NaN, where a bound is missing."""
    low, high = (bound.reshape(-1).astype(np.float64) for bound in (space.low, space.high))
    with np.errstate(invalid="ignore", over="ignore"):
        half: FloatArray = (high - low) / 2
    return half


def _within_float32(bound: Array) -> FloatArray:
    return np.clip(bound.reshape(-1).astype(np.float64), -_LARGEST, _LARGEST).astype(np.float32)
