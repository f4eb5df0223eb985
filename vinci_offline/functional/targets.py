"""Targets of critics, and the actions and values in them."""

from __future__ import annotations

import numpy as np
from keras import ops

from vinci_offline.functional import random
from vinci_offline.functional.shapes import check_shapes
from vinci_offline.types import ActionBounds, Array, Tensor


def td_target(reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
    """Return the temporal-difference target ``y = r + discount * V(s')``. No gradient flows through it.

    Sutton and Barto (2018), eq. 6.2 and 12.1. ``discount`` is gamma^n * (1 - terminated): a terminal state is
    not bootstrapped, the end of a truncated episode is.

    Args:
        reward: ``[B]``.
        discount: ``[B]``.
        next_value: ``[B]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes(
        "reward B, discount B, next_value B", reward=reward, discount=discount, next_value=next_value
    )
    return ops.stop_gradient(reward + discount * next_value)


def clipped_double_q(values: Tensor) -> Tensor:
    """Return the least value of an ensemble: clipped double Q-learning.

    Fujimoto, van Hoof and Meger (2018), https://arxiv.org/abs/1802.09477, eq. 10.

    Args:
        values: ``[E, B]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: the shape differs.
    """
    check_shapes("values E B", values=values)
    return ops.min(values, axis=0)


def clip_action(action: Tensor, bounds: ActionBounds | Array | None = None) -> Tensor:
    """Clip scaled actions to their bounds.

    Args:
        action: ``[B, A]``.
        bounds: the bounds, such as ``nets.bounds``; or a mask ``[A]`` of the dimensions in [-1, 1], where others have
            no bound; None if all are in [-1, 1].

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: a shape differs from these.
    """
    if bounds is None or (not isinstance(bounds, ActionBounds) and bounds.all()):
        return ops.clip(action, -1.0, 1.0)
    low, high = action_bounds(bounds)
    check_shapes("action B A, bounds A", action=action, bounds=low)
    return ops.minimum(ops.maximum(action, low), high)


def action_bounds(bounds: ActionBounds | Array) -> ActionBounds:
    """Return bounds; of a mask of the dimensions in [-1, 1], those two, and infinities elsewhere."""
    if isinstance(bounds, ActionBounds):
        return bounds
    one = np.where(bounds, np.float32(1), np.float32(np.inf))
    return ActionBounds(-one, one)


def target_policy_smoothing(
    action: Tensor,
    key: Tensor,
    noise: float,
    noise_clip: float,
    bounds: ActionBounds | Array | None = None,
) -> Tensor:
    """Add clipped noise to the target policy's action.

    ``clip(mu(s') + clip(eps, -c, c), low, high)`` with ``eps ~ N(0, noise)``; Fujimoto, van Hoof and Meger
    (2018), https://arxiv.org/abs/1802.09477, eq. 14 and algorithm 1.

    Args:
        action: ``[B, A]`` scaled actions of the target policy.
        key: key of the draw.
        noise: standard deviation of eps.
        noise_clip: c.
        bounds: low and high, as in `clip_action`.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("action B A", action=action)
    draw = random.normal(key, tuple(action.shape))
    return clip_action(action + ops.clip(noise * draw, -noise_clip, noise_clip), bounds)


def batched_index(values: Tensor, action: Tensor) -> Tensor:
    """Return the value of each row's action (rlax has this name).

    Args:
        values: ``[B, n]``, or ``[E, B, n]`` for an ensemble.
        action: ``[B]`` int32, counted from zero.

    Returns:
        ``[B]``, or ``[E, B]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes(
        "values B n, action B" if len(values.shape) == 2 else "values E B n, action B",
        values=values,
        action=action,
    )
    # Compilers handle this product and its dense gradient better than a gather.
    return ops.sum(values * ops.one_hot(action, values.shape[-1], dtype=values.dtype), axis=-1)


def double_q_learning(selecting: Tensor, evaluating: Tensor) -> Tensor:
    """Return the value of double Q-learning, ``Q_evaluating(s, argmax_a Q_selecting(s, a))``.

    van Hasselt, Guez and Silver (2016), https://arxiv.org/abs/1509.06461, eq. 4. With the same values twice
    this is the maximum of Q-learning.

    Args:
        selecting: ``[B, n]``.
        evaluating: ``[B, n]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("selecting B n, evaluating B n", selecting=selecting, evaluating=evaluating)
    return batched_index(evaluating, ops.argmax(selecting, axis=-1))
