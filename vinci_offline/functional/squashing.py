"""Squashing: bring an actor's linear output inside the bounds of scaled actions, and its effect on a density."""

from __future__ import annotations

import math

import numpy as np
from keras import ops

from vinci_offline.functional.gradients import gradient
from vinci_offline.functional.shapes import check_shapes
from vinci_offline.types import ActionBounds, Array, FloatArray, Tensor

_NEAREST = 0.1
"""Least distance between a single bound and the action of an actor that returns zero."""
_LEAST_SLOPE = 1e-30


def squash(raw: Tensor, bounds: ActionBounds | None = None) -> Tensor:
    """Bring an actor's linear output inside the bounds of scaled actions.

    Tanh does it where the range of the space is the unit. A single bound, or a far one, is approached by a softplus,
    ``bound + softplus(raw - bound + c)``, which is linear away from the bound. The constant c makes an output of zero
    the mean of the recorded actions. The gradient never vanishes all at once, as that of clipping does.

    Args:
        raw: ``[B, A]``.
        bounds: bounds of scaled actions, such as ``nets.bounds``; None if all are -1 and 1.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: the shape differs.
    """
    check_shapes("raw B A", raw=raw)
    if bounds is None:
        return ops.tanh(raw)
    unit = _unit(bounds)
    squashed = _above(raw, np.where(unit, -np.inf, bounds.low))
    squashed = _below(squashed, np.where(unit, np.inf, bounds.high))
    return ops.where(unit, ops.tanh(raw), squashed) if unit.any() else squashed


def log_squash_slope(raw: Tensor, bounds: ActionBounds | None = None) -> Tensor:
    """Return the logarithm of the derivative of `squash`, for each dimension.

    A squashed action has the log density of its raw action less the sum of these (Haarnoja et al., 2018,
    https://arxiv.org/abs/1801.01290, appendix C). For tanh it is ``2 (log 2 - x - softplus(-2 x))``, which is
    ``log(1 - tanh(x)^2)`` without its cancellation.

    Args:
        raw: ``[B, A]``.
        bounds: as in `squash`.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: the shape differs.
    """
    check_shapes("raw B A", raw=raw)
    tanh = 2.0 * (math.log(2.0) - raw - ops.softplus(-2.0 * raw))
    if bounds is None:
        return tanh
    slope = gradient(lambda x: squash(x, bounds), raw)
    return ops.where(_unit(bounds), tanh, ops.log(ops.maximum(slope, _LEAST_SLOPE)))


def _unit(bounds: ActionBounds) -> Array:
    """Return ``[A]``: whether the bounds are -1 and 1."""
    unit: Array = np.equal(bounds.low, -1.0) & np.equal(bounds.high, 1.0)
    return unit


def _above(x: Tensor, low: FloatArray) -> Tensor:
    """Return ``[B, A]`` above the finite bounds among ``low``: smoothly, and unchanged far above them."""
    held = np.isfinite(low)
    if not held.any():
        return x
    # Without infinities, which would make NaN gradients in the branch that is not taken.
    bound = np.where(held, low, 0.0).astype(np.float64)
    distance = np.where(held, np.maximum(-bound, _NEAREST), 1.0)
    moved = x + (bound + distance + np.log(-np.expm1(-distance))).astype(np.float32)
    bound = bound.astype(np.float32)
    # bound + softplus(moved - bound), in the form that keeps its digits far from the bound.
    inside = ops.maximum(moved + ops.softplus(-(moved - bound)), bound)
    return inside if held.all() else ops.where(held, inside, x)


def _below(x: Tensor, high: FloatArray) -> Tensor:
    """Return ``[B, A]`` below the finite bounds among ``high``."""
    return -_above(-x, -high) if np.isfinite(high).any() else x
