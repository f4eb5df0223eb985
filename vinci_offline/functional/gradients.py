"""Gradients inside losses: the gradient of a function, inverting gradients, and learned weights inside bounds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
from keras import ops

from vinci_offline.functional.shapes import check_shapes
from vinci_offline.functional.targets import action_bounds
from vinci_offline.types import ActionBounds, Array, Tensor

_INSIDE: ContextVar[bool] = ContextVar("inside a gradient", default=False)


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Return the gradient of a function's sum with respect to its argument.

    A loss can be differentiated through it. EDAC penalises a critic's slope this way (An et al., 2021,
    https://arxiv.org/abs/2110.01548, eq. 6):
    ``functional.gradient(lambda action: nets.critic([batch.observation, action])[0], batch.action)``.

    Args:
        function: maps ``x`` to a tensor of any shape. Each row of the result depends on the same row of ``x`` alone.
        x: ``[B, ...]`` floats.

    Returns:
        The shape of ``x``.
    """
    with _differentiating():
        if keras.backend.backend() == "jax":
            import jax

            found: Tensor = jax.grad(lambda given: ops.sum(function(given)))(x)
            return found
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            value = ops.sum(function(x))
        slope: Tensor = tape.gradient(value, x, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return slope


def inside_gradient() -> bool:
    """Return True while `gradient` calls its function."""
    return _INSIDE.get()


@contextmanager
def _differentiating() -> Iterator[None]:
    token = _INSIDE.set(True)
    try:
        yield
    finally:
        _INSIDE.reset(token)


def invert_gradients(action: Tensor, bounds: ActionBounds | Array | None = None) -> Tensor:
    """Return the action unchanged and invert its gradient: it shrinks near a bound and turns back beyond it.

    Hausknecht and Stone (2016), https://arxiv.org/abs/1511.04143, eq. 11: a gradient that raises the action
    is scaled by ``(1 - a) / 2``, one that lowers it by ``(a + 1) / 2``. A linear actor then does not saturate
    as tanh does, and returns when it leaves the bounds. Where the range is not [-1, 1] but far or one-sided, the
    factor is the distance to the bound, and 1 from a distance of 1 on.

    Args:
        action: ``[B, A]`` scaled actions, an actor's linear output.
        bounds: as in `clip_action`. A gradient towards a bound that does not exist does not change.

    Returns:
        ``[B, A]``, equal to ``action``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("action B A", action=action)
    plain = bounds is None or (not isinstance(bounds, ActionBounds) and bounds.all())
    low, high = (-1.0, 1.0) if bounds is None or plain else action_bounds(bounds)

    @ops.custom_gradient
    def inverted(action: Tensor) -> tuple[Tensor, Any]:
        def gradient(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
            if upstream is None:
                (upstream,) = args
            # Descent moves the action against the gradient of the loss.
            rises = upstream < 0
            factor = ops.where(rises, high - action, action - low)
            if plain:
                return upstream * (factor / 2.0)
            unit = np.equal(low, -1.0) & np.equal(high, 1.0)
            return upstream * ops.where(unit, factor / 2.0, ops.minimum(factor, 1.0))

        return action * 1.0, gradient

    return inverted(action)


def multiplier_loss(log_weight: Tensor, excess: Tensor, low: float, high: float) -> Tensor:
    """Return the loss of a constraint's learned weight: ``-weight * excess`` with ``weight = exp(log_weight)``.

    Descent raises the weight while the excess is positive and lowers it while it is negative. Bounds hold the weight,
    and the gradient stops only where it leads out of them. That of a clip is zero everywhere outside: a weight that
    had once left would never return.

    Args:
        log_weight: a learned scalar.
        excess: how far the constraint is violated, a scalar. No gradient flows through it.
        low: least logarithm of the weight.
        high: greatest logarithm of the weight.

    Returns:
        A scalar.
    """
    outwards = ops.logical_or(
        ops.logical_and(log_weight >= high, excess > 0), ops.logical_and(log_weight <= low, excess < 0)
    )
    loss = ops.stop_gradient(-ops.exp(ops.clip(log_weight, low, high)) * excess)
    slope = ops.where(outwards, 0.0, loss)
    return loss + slope * (log_weight - ops.stop_gradient(log_weight))
