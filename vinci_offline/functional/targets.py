"""Targets of critics, and the actions and values in them."""

from __future__ import annotations

from keras import ops

from vinci_offline.functional import random
from vinci_offline.functional.shapes import check_shapes
from vinci_offline.types import Array, Tensor


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


def clip_action(action: Tensor, bounded: Array | None = None) -> Tensor:
    """Clip scaled actions to [-1, 1].

    Args:
        action: ``[B, A]``.
        bounded: ``[A]`` mask of the dimensions with bounds; None if all have bounds.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: a shape differs from these.
    """
    clipped = ops.clip(action, -1.0, 1.0)
    if bounded is None or bounded.all():
        return clipped
    check_shapes("action B A, bounded A", action=action, bounded=bounded)
    return ops.where(ops.convert_to_tensor(bounded), clipped, action)


def target_policy_smoothing(
    action: Tensor, key: Tensor, noise: float, noise_clip: float, bounded: Array | None = None
) -> Tensor:
    """Add clipped noise to the target policy's action.

    ``clip(mu(s') + clip(eps, -c, c), -1, 1)`` with ``eps ~ N(0, noise)``; Fujimoto, van Hoof and Meger
    (2018), https://arxiv.org/abs/1802.09477, eq. 14 and algorithm 1.

    Args:
        action: ``[B, A]`` scaled actions of the target policy.
        key: key of the draw.
        noise: standard deviation of eps.
        noise_clip: c.
        bounded: ``[A]`` mask of the dimensions with bounds; None if all have bounds.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("action B A", action=action)
    draw = random.normal(key, tuple(action.shape))
    return clip_action(action + ops.clip(noise * draw, -noise_clip, noise_clip), bounded)


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
