"""What a critic regresses towards: bootstrapped targets, and the actions and values they are made of."""

from __future__ import annotations

from keras import ops

from vinci_offline.functional import random
from vinci_offline.functional.shapes import check_shapes
from vinci_offline.types import Array, Tensor


def td_target(reward: Tensor, discount: Tensor, next_value: Tensor) -> Tensor:
    """The temporal-difference target ``y = r + discount * V(s')``, through which no gradient flows.

    Sutton and Barto (2018), eq. 6.2 and 12.1. ``discount`` is gamma^n * (1 - terminated), so nothing is
    bootstrapped past a terminal state, and a truncated episode is bootstrapped like any other row.

    Args:
        reward: ``[B]``.
        discount: ``[B]``.
        next_value: ``[B]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: the shapes are not these.
    """
    check_shapes(
        "reward B, discount B, next_value B", reward=reward, discount=discount, next_value=next_value
    )
    return ops.stop_gradient(reward + discount * next_value)


def clipped_double(values: Tensor) -> Tensor:
    """The least of an ensemble's values: clipped double Q-learning.

    Fujimoto, van Hoof and Meger (2018), https://arxiv.org/abs/1802.09477, eq. 10.

    Args:
        values: ``[E, B]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: the shape is not this.
    """
    check_shapes("values E B", values=values)
    return ops.min(values, axis=0)


def clip_action(action: Tensor, bounded: Array | None = None) -> Tensor:
    """Scaled actions within [-1, 1].

    Args:
        action: ``[B, A]``.
        bounded: ``[A]`` mask of the dimensions that have bounds; None where all have.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: the shapes are not these.
    """
    clipped = ops.clip(action, -1.0, 1.0)
    if bounded is None or bounded.all():
        return clipped
    check_shapes("action B A, bounded A", action=action, bounded=bounded)
    return ops.where(ops.convert_to_tensor(bounded), clipped, action)


def smoothed_action(
    action: Tensor, key: Tensor, noise: float, noise_clip: float, bounded: Array | None = None
) -> Tensor:
    """The target policy's action with clipped noise: target policy smoothing.

    ``clip(mu(s') + clip(eps, -c, c), -1, 1)`` with ``eps ~ N(0, noise)``; Fujimoto, van Hoof and Meger
    (2018), https://arxiv.org/abs/1802.09477, eq. 14 and algorithm 1.

    Args:
        action: ``[B, A]`` the target policy's scaled actions.
        key: of the draw.
        noise: standard deviation.
        noise_clip: c.
        bounded: ``[A]`` mask of the dimensions that have bounds; None where all have.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: the shapes are not these.
    """
    check_shapes("action B A", action=action)
    draw = random.normal(key, tuple(action.shape))
    return clip_action(action + ops.clip(noise * draw, -noise_clip, noise_clip), bounded)


def chosen_value(values: Tensor, action: Tensor) -> Tensor:
    """The value of each transition's own choice.

    Args:
        values: ``[B, n]``, or ``[E, B, n]`` for an ensemble.
        action: ``[B]`` int32 choices from zero.

    Returns:
        ``[B]``, or ``[E, B]``.

    Raises:
        SpecError: the shapes are not these.
    """
    check_shapes(
        "values B n, action B" if len(values.shape) == 2 else "values E B n, action B",
        values=values,
        action=action,
    )
    # A product rather than a gather: its gradient is dense, and compilers do it well.
    return ops.sum(values * ops.one_hot(action, values.shape[-1], dtype=values.dtype), axis=-1)


def double_value(selecting: Tensor, evaluating: Tensor) -> Tensor:
    """``Q_evaluating(s, argmax_a Q_selecting(s, a))``: double Q-learning.

    van Hasselt, Guez and Silver (2016), https://arxiv.org/abs/1509.06461, eq. 4; with the same values twice
    it is the maximum of Q-learning.

    Args:
        selecting: ``[B, n]``.
        evaluating: ``[B, n]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: the shapes are not these.
    """
    check_shapes("selecting B n, evaluating B n", selecting=selecting, evaluating=evaluating)
    return chosen_value(evaluating, ops.argmax(selecting, axis=-1))
