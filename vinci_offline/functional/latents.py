"""Variational autoencoders of actions, and the distance between two sets of actions."""

from __future__ import annotations

from keras import ops

from vinci_offline.functional.shapes import check_shapes
from vinci_offline.types import Tensor

LATENT_LOG_STD_RANGE = (-4.0, 15.0)
"""Bounds of a latent's log deviation, from the BCQ authors' code."""


def latent_distribution(output: Tensor) -> tuple[Tensor, Tensor]:
    """Split an encoder's output ``[B, 2 L]`` into mean and log deviation of the latent, each ``[B, L]``.

    The log deviation is clipped to [-4, 15], as in the authors' code of BCQ (Fujimoto, Meger and Precup, 2019,
    https://arxiv.org/abs/1812.02900).
    """
    width = output.shape[-1] // 2
    return output[:, :width], ops.clip(output[:, width:], *LATENT_LOG_STD_RANGE)


def latent_divergence(mean: Tensor, log_std: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of a latent to the standard normal, the mean over its dimensions.

    ``-1/2 (1 + 2 log std - mean^2 - std^2)``; Kingma and Welling (2014), https://arxiv.org/abs/1312.6114, appendix B.

    Args:
        mean: ``[B, L]``.
        log_std: ``[B, L]``.

    Returns:
        ``[B]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("mean B L, log_std B L", mean=mean, log_std=log_std)
    return ops.mean(-0.5 * (1.0 + 2.0 * log_std - ops.square(mean) - ops.exp(2.0 * log_std)), axis=-1)


def maximum_mean_discrepancy(x: Tensor, y: Tensor, width: float, *, gaussian: bool = False) -> Tensor:
    """Return the maximum mean discrepancy between two sets of actions, one pair of sets for each observation.

    ``sqrt(E k(x, x') - 2 E k(x, y) + E k(y, y') + 1e-6)``; Kumar et al. (2019), https://arxiv.org/abs/1906.00949,
    section 4, with the small number of the authors' code. The kernels are ``exp(-|x - y|_1 / (2 width))`` and
    ``exp(-|x - y|^2 / (2 width))``.

    Args:
        x: ``[B, N, A]``.
        y: ``[B, M, A]``.
        width: width of the kernel.
        gaussian: take the second kernel instead of the first.

    Returns:
        ``[B]``.

    Raises:
        SpecError: a shape differs from these.
    """
    check_shapes("x B N A, y B M A", x=x, y=y)

    def likeness(a: Tensor, b: Tensor) -> Tensor:
        difference = a[:, :, None] - b[:, None]
        size = ops.square(difference) if gaussian else ops.abs(difference)
        return ops.mean(ops.exp(-ops.sum(size, axis=-1) / (2.0 * width)), axis=(1, 2))

    squared = likeness(x, x) - 2.0 * likeness(x, y) + likeness(y, y)
    # Rounding can leave it a little below zero.
    return ops.sqrt(ops.maximum(squared, 0.0) + 1e-6)
