"""Gradients that are not the derivative of anything."""

from __future__ import annotations

from typing import Any

from keras import ops

from vinci_offline.functional.shapes import check_shapes
from vinci_offline.types import Array, Tensor


def invert_gradients(action: Tensor, bounded: Array | None = None) -> Tensor:
    """The action itself, with a gradient that shrinks towards the bounds and turns back beyond them.

    Hausknecht and Stone (2016), https://arxiv.org/abs/1511.04143, eq. 11: a gradient that raises the action
    is scaled by ``(1 - a) / 2`` and one that lowers it by ``(a + 1) / 2``, so a linear actor neither
    saturates as tanh does nor leaves the bounds for long.

    Args:
        action: ``[B, A]`` scaled actions, an actor's linear output.
        bounded: ``[A]`` mask of the dimensions that have bounds, the others' gradients pass; None where all
            have.

    Returns:
        ``[B, A]``, equal to ``action``.

    Raises:
        SpecError: the shapes are not these.
    """
    check_shapes("action B A", action=action)

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def inverted(action: Tensor) -> tuple[Tensor, Any]:
        def gradient(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
            if upstream is None:
                (upstream,) = args
            # The gradient is of a loss, which falls as the action goes against it.
            rises = upstream < 0
            factor = ops.where(rises, 1.0 - action, action + 1.0) / 2.0
            if bounded is not None and not bounded.all():
                factor = ops.where(ops.convert_to_tensor(bounded), factor, 1.0)
            return upstream * factor

        return action * 1.0, gradient

    return inverted(action)
