"""Losses, their weights, and metrics of values."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from vinci_offline.functional.shapes import check_shapes
from vinci_offline.types import Metrics, Tensor


def squared_error(values: Tensor, target: Tensor) -> Tensor:
    """Return ``(values - target)^2`` for each transition, of one critic or an ensemble.

    Args:
        values: ``[B]`` or ``[E, B]``.
        target: ``[B]``.

    Returns:
        The shape of ``values``.

    Raises:
        SpecError: a shape differs from these.
    """
    return ops.square(_error(values, target))


def huber_loss(values: Tensor, target: Tensor, delta: float) -> Tensor:
    """Return ``e^2 / 2`` where ``|e| <= delta``, and ``delta * (|e| - delta / 2)`` elsewhere; ``e = values - target``.

    Huber (1964); with delta 1 the error clipping of Mnih et al. (2015), https://doi.org/10.1038/nature14236.

    Args:
        values: ``[B]`` or ``[E, B]``.
        target: ``[B]``.
        delta: error at which the loss turns linear.

    Returns:
        The shape of ``values``.

    Raises:
        SpecError: a shape differs from these.
    """
    size = ops.abs(_error(values, target))
    inner = ops.minimum(size, delta)
    return 0.5 * ops.square(inner) + delta * (size - inner)


def ensemble_loss(
    values: Tensor, target: Tensor, huber_delta: float | None = None, *, weight: Tensor | None = None
) -> Tensor:
    """Return the regression loss of an ensemble to one target: mean over the batch, sum over members.

    Fujimoto, van Hoof and Meger (2018), https://arxiv.org/abs/1802.09477, algorithm 1. The members share the
    target. Because of the sum, each member gets the gradient that it would get alone.

    Args:
        values: ``[E, B]``.
        target: ``[B]``.
        huber_delta: ``delta`` of `huber_loss`; None uses `squared_error`.
        weight: ``[B]``: the mean over the batch is weighted; a row with 0 does not count. None weighs all alike.

    Returns:
        A scalar.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("values E B, target B", values=values, target=target)
    errors = squared_error(values, target) if huber_delta is None else huber_loss(values, target, huber_delta)
    if weight is None:
        return ops.sum(ops.mean(errors, axis=-1))
    check_shapes("weight B, target B", weight=weight, target=target)
    total = ops.maximum(ops.sum(weight), 1e-6)  # finite where no row counts
    return ops.sum(ops.sum(weight * errors, axis=-1) / total)


def quantile_huber_loss(
    quantiles: Tensor, target: Tensor, delta: float, *, weight: Tensor | None = None
) -> Tensor:
    """Return the loss of quantile regression of every quantile to every target quantile.

    ``|tau_i - 1(u < 0)| * huber(u) / delta`` with ``u = target_j - quantile_i`` and ``tau_i = (i + 1/2) / N``, summed
    over i and averaged over j; Dabney et al. (2018), https://arxiv.org/abs/1710.10044, eq. 10 and algorithm 1.

    Args:
        quantiles: ``[N, B]``, of rising probability.
        target: ``[M, B]``.
        delta: kappa, where the loss turns linear.
        weight: ``[M, B]``, the probability of each target quantile; None counts all alike.

    Returns:
        ``[B]``. Its gradient flows to ``quantiles`` alone.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("quantiles N B, target M B", quantiles=quantiles, target=target)
    count = quantiles.shape[0]
    probability = (np.arange(count, dtype=np.float32) + 0.5)[:, None, None] / count
    # The pairs are by far the largest arrays. So the slopes are written out, and no gradient runs back through pairs:
    # without XLA, which fuses them, each operation on pairs reads and writes them all.
    error = ops.stop_gradient(target[None] - quantiles[:, None])  # [N, M, B]
    clipped = ops.clip(error, -delta, delta)
    slope = ops.where(error < 0, 1.0 - probability, probability) / delta * clipped
    loss = slope * (error - 0.5 * clipped)
    if weight is None:
        loss, slope = ops.mean(loss, axis=1), ops.mean(slope, axis=1)
    else:
        check_shapes("weight M B, target M B", weight=weight, target=target)
        weight = ops.stop_gradient(weight)[None]
        loss, slope = ops.sum(weight * loss, axis=1), ops.sum(weight * slope, axis=1)
    return ops.sum(loss - slope * (quantiles - ops.stop_gradient(quantiles)), axis=0)


def gumbel_loss(exponent: Tensor, clip: float) -> Tensor:
    """Return the loss of Gumbel regression, ``exp(z) - z - 1``, scaled so that it stays finite.

    Its minimum over V with ``z = (Q - V) / beta`` is ``beta * log E[exp(Q / beta)]``; Garg et al. (2023),
    https://arxiv.org/abs/2301.02328. As in the authors' code z is clipped from above and the loss is multiplied by
    ``exp(-m)``, with m the greatest z of the batch and at least -1: the minimum stays where it is.

    Args:
        exponent: ``[B]``: z.
        clip: greatest z.

    Returns:
        ``[B]``.
    """
    clipped = ops.minimum(exponent, clip)
    shift = exponent_shift(clipped)
    scale = ops.exp(-shift)
    return ops.exp(clipped - shift) - clipped * scale - scale


def exponent_shift(exponent: Tensor) -> Tensor:
    """Return the greatest of ``[B]`` exponents, at least -1, as a constant: less it, their exponentials are finite."""
    return ops.stop_gradient(ops.maximum(ops.max(exponent), -1.0))


def expectile_loss(error: Tensor, expectile: float) -> Tensor:
    """Return the asymmetric squared loss ``|expectile - 1(error < 0)| * error^2``.

    Kostrikov, Nair and Levine (2022), https://arxiv.org/abs/2110.06169, eq. 5, with ``error = Q(s, a) -
    V(s)``.

    Args:
        error: any shape.
        expectile: 0.5 gives half the squared error; near 1 the fit approaches the greatest values.

    Returns:
        The shape of ``error``.
    """
    weight = ops.where(error < 0, 1.0 - expectile, expectile)
    return weight * ops.square(error)


def advantage_weight(advantage: Tensor, temperature: float, clip: float) -> Tensor:
    """Return the weight of advantage-weighted regression, ``min(exp(temperature * advantage), clip)``.

    No gradient flows through it. Kostrikov, Nair and Levine (2022),
    https://arxiv.org/abs/2110.06169, eq. 7, clipped as in the authors' code.

    Args:
        advantage: ``[B]``.
        temperature: beta, an inverse temperature.
        clip: greatest weight.

    Returns:
        ``[B]``.

    Raises:
        SpecError: the shape differs.
    """
    check_shapes("advantage B", advantage=advantage)
    return ops.stop_gradient(ops.minimum(ops.exp(temperature * advantage), clip))


def imitation_loss(predicted: Tensor, recorded: Tensor) -> Tensor:
    """Return the squared error of imitation, ``(predicted - recorded)^2``, for each action dimension.

    Args:
        predicted: ``[B, A]`` scaled actions.
        recorded: ``[B, A]``.

    Returns:
        ``[B, A]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("predicted B A, recorded B A", predicted=predicted, recorded=recorded)
    return ops.square(predicted - recorded)


def l2_penalty(network: Any) -> Tensor:
    """Return the sum of a network's squared trainable kernels. Biases and other vectors do not count.

    Args:
        network: a Keras model.

    Returns:
        A scalar.
    """
    kernels = [variable for variable in network.trainable_variables if len(variable.shape) > 1]
    return sum((ops.sum(ops.square(kernel)) for kernel in kernels), start=ops.zeros(()))


def value_metrics(values: Tensor, target: Tensor) -> Metrics:
    """Return metrics of a critic. Values that diverge from their targets are the first sign of trouble.

    Args:
        values: ``[E, B]``.
        target: ``[B]``.

    Returns:
        Scalars ``q/mean``, ``q/min``, ``q/max`` and ``target/mean``.
    """
    return {
        "q/mean": ops.mean(values),
        "q/min": ops.min(values),
        "q/max": ops.max(values),
        "target/mean": ops.mean(target),
    }


def _error(values: Tensor, target: Tensor) -> Tensor:
    check_shapes(
        "values E B, target B" if len(values.shape) == 2 else "values B, target B",
        values=values,
        target=target,
    )
    return values - target


def soft_maximum(values: Tensor, temperature: float = 1.0) -> Tensor:
    """Return ``T * log sum exp(values / T)`` over the last axis: the maximum, for a small temperature T."""
    return temperature * ops.logsumexp(values / temperature, axis=-1)


def pairwise_likeness(slopes: Tensor) -> Tensor:
    """Return how alike the directions of an ensemble's slopes are: ``sum_{i != j} <g_i, g_j> / (E - 1)``.

    The vectors are divided by their lengths. An et al. (2021), https://arxiv.org/abs/2110.01548.

    Args:
        slopes: ``[E, B, A]``, such as `Networks.action_slopes` returns.

    Returns:
        ``[B]``: E where all point the same way.

    Raises:
        SpecError: the shape differs.
    """
    check_shapes("slopes E B A", slopes=slopes)
    # The derivative of a length is not finite at zero, so that the small number stands below the root.
    length = ops.sqrt(ops.sum(ops.square(slopes), axis=-1, keepdims=True) + 1e-20)
    unit = slopes / length
    total = ops.sum(ops.square(ops.sum(unit, axis=0)), axis=-1)
    own = ops.sum(ops.square(unit), axis=(0, 2))
    likeness: Tensor = (total - own) / (slopes.shape[0] - 1)
    return likeness
