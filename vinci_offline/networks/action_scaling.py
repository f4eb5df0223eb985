"""Action scaling in Keras operations, for models and ``.keras`` files."""

from __future__ import annotations

from keras import ops

from vinci_offline.spec.action_scaling import BoxScaling
from vinci_offline.types import Tensor


def unscale_tensor(scaling: BoxScaling, scaled: Tensor) -> Tensor:
    """Convert ``[B, A]`` scaled actions to ``[B, *shape]`` environment actions, clipped to the bounds."""
    space = scaling.space
    actions = ops.minimum(ops.maximum(scaled * scaling.scale + scaling.offset, scaling.low), scaling.high)
    if space.shape != (space.dim,):
        actions = ops.reshape(actions, (-1, *space.shape))
    return ops.cast(ops.round(actions), space.dtype) if scaling.integer else actions


def scale_tensor(scaling: BoxScaling, actions: Tensor) -> Tensor:
    """Convert ``[B, *shape]`` environment actions to ``[B, A]`` scaled actions."""
    flat = ops.cast(ops.reshape(actions, (-1, scaling.space.dim)), "float32")
    return (flat - scaling.offset) / scaling.scale
