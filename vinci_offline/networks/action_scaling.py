"""Action scaling in Keras operations, for models and ``.keras`` files."""

from __future__ import annotations

from keras import ops

from vinci_offline.functional.squashing import squash
from vinci_offline.keras_setup import wide_dtype
from vinci_offline.spec.action_scaling import BoxScaling
from vinci_offline.types import Tensor


def squash_tensor(scaling: BoxScaling, raw: Tensor) -> Tensor:
    """Bring an actor's linear output ``[B, A]`` inside the bounds of scaled actions, as `squash` says."""
    return squash(raw, None if scaling.bounded.all() else scaling.bounds)


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
