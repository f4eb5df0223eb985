"""Log densities and entropies of policies."""

from __future__ import annotations

import math

from keras import ops

from vinci_offline.functional.shapes import check_shapes
from vinci_offline.functional.targets import batched_index
from vinci_offline.types import Tensor


def gaussian_log_prob(action: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """Return the log density of a Gaussian with a diagonal covariance.

    Bishop (2006), eq. 2.43: ``-1/2 * sum(((a - mean) / std)^2 + 2 log std + log 2 pi)``.

    Args:
        action: ``[B, A]``.
        mean: ``[B, A]``.
        log_std: ``[B, A]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("action B A, mean B A, log_std B A", action=action, mean=mean, log_std=log_std)
    normal = (action - mean) * ops.exp(-log_std)
    return -0.5 * ops.sum(ops.square(normal) + 2.0 * log_std + math.log(2.0 * math.pi), axis=-1)


def gaussian_entropy(log_std: Tensor) -> Tensor:
    """Return the entropy of a Gaussian with a diagonal covariance, in nats.

    ``sum(log std + 1/2 log(2 pi e))``; Bishop (2006), eq. 1.110.

    Args:
        log_std: ``[B, A]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: the shape differs.
    """
    check_shapes("log_std B A", log_std=log_std)
    return ops.sum(log_std + 0.5 * math.log(2.0 * math.pi * math.e), axis=-1)


def categorical_log_prob(logits: Tensor, action: Tensor) -> Tensor:
    """Return the log probability of each action: ``log softmax(logits)[a]``.

    Args:
        logits: ``[B, n]``.
        action: ``[B]`` int32, counted from zero.

    Returns:
        ``[B]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("logits B n, action B", logits=logits, action=action)
    return batched_index(ops.log_softmax(logits, axis=-1), action)


def categorical_entropy(logits: Tensor) -> Tensor:
    """Return the entropy of ``softmax(logits)``, in nats.

    Args:
        logits: ``[B, n]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: the shape differs.
    """
    check_shapes("logits B n", logits=logits)
    log_prob = ops.log_softmax(logits, axis=-1)
    return -ops.sum(ops.exp(log_prob) * log_prob, axis=-1)
