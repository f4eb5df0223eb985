"""Action scaling: between the environment's actions and the actions that networks and losses use.

This is the only definition of the scaling. Loading a dataset scales its actions; the exported policy scales
back with the same numbers. So training and acting cannot differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec.spaces import BoxSpace, DiscreteSpace, MultiDiscreteSpace, Space
from vinci_offline.types import Array

SEVERAL_CHOICES = (
    "the actions are several choices at once (MultiDiscrete or MultiBinary), which no agent learns: record the "
    "environment through a wrapper whose action space is Discrete, with a number for each combination"
)
_LARGEST = float(np.finfo(np.float32).max)


def scale_actions(space: Space, actions: Array) -> Array:
    """Scale environment actions for networks and losses.

    Args:
        space: the environment's action space.
        actions: ``[N, *shape]`` for a Box, ``[N]`` for a Discrete space.

    Returns:
        ``[N, A]`` float32, bounded dimensions in [-1, 1]; or ``[N]`` int32 indices from zero.

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
    box = BoxScaling(box_of(space))
    if actions.shape[1:] != box.space.shape:
        raise SpecError(
            f"actions of shape {actions.shape[1:]} do not fit the action space of {box.space.shape}"
        )
    # float64, because bounds far from zero lose digits in float32.
    flat: Array = actions.reshape(len(actions), -1).astype(np.float64)
    scaled: Array = (flat - box.offset) / box.scale
    return scaled.astype(np.float32)


def unscale_actions(space: Space, scaled: Array) -> Array:
    """Turn scaled actions into environment actions, clipped to the bounds: the inverse of `scale_actions`.

    Args:
        space: the environment's action space.
        scaled: ``[N, A]`` scaled actions, or ``[N]`` indices from zero.

    Returns:
        ``[N, *shape]`` float32 (integers where the Box holds integers), or ``[N]`` int64.
    """
    if isinstance(space, DiscreteSpace):
        return np.asarray(scaled).astype(np.int64) + space.start
    box = BoxScaling(box_of(space))
    actions: Array = np.clip(scaled * box.scale + box.offset, box.low, box.high)
    actions = actions.reshape(-1, *box.space.shape)
    return np.rint(actions).astype(box.space.dtype) if box.integer else actions.astype(np.float32)


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

    [-1, 1] maps onto a dimension's two finite bounds, symmetric or not. A dimension without two bounds is
    not scaled.
    """

    space: BoxSpace

    @cached_property
    def bounded(self) -> Array:
        """``[A]`` mask: where scaled actions live in [-1, 1]."""
        mask: Array = self.space.bounded.reshape(-1)
        return mask

    @cached_property
    def scale(self) -> Array:
        """``[A]`` float32: half the range, or one."""
        low, high = (bound.reshape(-1).astype(np.float64) for bound in (self.space.low, self.space.high))
        with np.errstate(invalid="ignore"):
            half = (high - low) / 2
        # Equal bounds would divide by zero.
        return np.where(self.bounded & (half > 0), half, 1.0).astype(np.float32)

    @cached_property
    def offset(self) -> Array:
        """``[A]`` float32: the middle of the range, or zero."""
        low, high = (bound.reshape(-1).astype(np.float64) for bound in (self.space.low, self.space.high))
        with np.errstate(invalid="ignore"):
            return np.where(self.bounded, (high + low) / 2, 0.0).astype(np.float32)

    @cached_property
    def low(self) -> Array:
        """``[A]`` float32 lower bounds. The least float32 means no bound, because JSON has no infinity."""
        return np.clip(self.space.low.reshape(-1).astype(np.float64), -_LARGEST, _LARGEST).astype(np.float32)

    @cached_property
    def high(self) -> Array:
        """``[A]`` float32 upper bounds. The greatest float32 means no bound."""
        return np.clip(self.space.high.reshape(-1).astype(np.float64), -_LARGEST, _LARGEST).astype(np.float32)

    @property
    def integer(self) -> bool:
        """True where the Box holds integers."""
        return np.dtype(self.space.dtype).kind in "iu"
