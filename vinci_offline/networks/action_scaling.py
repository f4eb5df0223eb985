"""Action scaling in Keras operations, for models and ``.keras`` files."""

from __future__ import annotations

import numpy as np
from keras import ops

from vinci_offline.keras_setup import wide_dtype
from vinci_offline.spec.action_scaling import BoxScaling
from vinci_offline.types import FloatArray, Tensor

_NEAREST = 0.1
"""Least distance between a single bound and the action of an actor that returns zero."""


def squash_tensor(scaling: BoxScaling, raw: Tensor) -> Tensor:
    """Bring an actor's linear output ``[B, A]`` inside the bounds of scaled actions.

    Tanh does it where the range of the space is the unit. A single bound, or a far one, is approached by a softplus,
    ``bound + softplus(raw - bound + c)``, which is linear away from the bound. The constant c makes an output of zero
    the mean of the recorded actions. The gradient never vanishes all at once, as that of clipping does.
    """
    bounded = scaling.bounded
    if bounded.all():
        return ops.tanh(raw)
    low, high = scaling.bounds
    squashed = _above(raw, np.where(bounded, -np.inf, low))
    squashed = _below(squashed, np.where(bounded, np.inf, high))
    return ops.where(bounded, ops.tanh(raw), squashed) if bounded.any() else squashed


def unscale_tensor(scaling: BoxScaling, scaled: Tensor) -> Tensor:
    """Convert ``[B, A]`` scaled actions to ``[B, *shape]`` environment actions, clipped to the bounds."""
    space = scaling.space
    offset = scaling.offset
    if scaling.wide:
        scaled, offset = ops.cast(scaled, wide_dtype()), scaling.exact_offset.astype(wide_dtype())
    actions = ops.minimum(ops.maximum(scaled * scaling.scale + offset, scaling.low), scaling.high)
    if space.shape != (space.dim,):
        actions = ops.reshape(actions, (-1, *space.shape))
    return ops.cast(ops.round(actions), space.dtype) if scaling.integer else actions


def scale_tensor(scaling: BoxScaling, actions: Tensor) -> Tensor:
    """Convert ``[B, *shape]`` environment actions to ``[B, A]`` scaled actions."""
    flat = ops.reshape(actions, (-1, scaling.space.dim))
    if scaling.wide:
        moved = ops.cast(flat, wide_dtype()) - scaling.exact_offset.astype(wide_dtype())
        return ops.cast(moved / scaling.scale, "float32")
    return (ops.cast(flat, "float32") - scaling.offset) / scaling.scale


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
