"""The same random numbers on both sides, so that updates with draws can be compared.

Each draw takes the first rows of one fixed table. vinci-offline and d3rlpy keep the draws of a row in different orders;
number k of row b is the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import torch

from vinci_offline.functional import random
from vinci_offline.types import FloatArray

_WIDTH = 16


@contextmanager
def shared_draws(batch: int, *, samples: int = 16, samples_first: bool = False) -> Iterator[None]:
    """Replace the generators of both sides while losses are traced or computed.

    Args:
        batch: rows of a batch.
        samples: the most draws for a row.
        samples_first: `torch.randn` is asked for all first draws, then for all second ones, as d3rlpy's BEAR asks for
            latents.
    """
    rng = np.random.default_rng(1)
    normal = rng.normal(size=(batch * samples, _WIDTH)).astype(np.float32)
    uniform = rng.uniform(size=(batch * samples, _WIDTH)).astype(np.float32)

    def ours(table: FloatArray) -> Callable[[Any, tuple[int, ...]], FloatArray]:
        return lambda key, shape: table[: shape[0], : shape[1]]

    def standard_normal(shape: tuple[int, ...], **_: Any) -> torch.Tensor:
        """Return the draws of a distribution: ``[B, A]``, ``[B, K, A]`` or ``[K, B, A]``."""
        *rows, width = shape
        drawn = normal[: int(np.prod(rows)), :width]
        if len(rows) == 1:
            return torch.tensor(drawn)
        if rows[0] == batch:
            return torch.tensor(drawn.reshape(shape))
        return torch.tensor(drawn.reshape(batch, rows[0], width).transpose(1, 0, 2).copy())

    def randn(*shape: Any, **_: Any) -> torch.Tensor:
        rows, width = shape[0] if len(shape) == 1 else shape
        if not samples_first:
            return torch.tensor(normal[:rows, :width])
        return standard_normal((rows // batch, batch, width)).reshape(rows, width)

    def uniform_(tensor: torch.Tensor, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
        width = tensor.shape[-1]
        drawn = torch.tensor(uniform[: tensor.numel() // width, :width]).reshape(tensor.shape)
        return tensor.copy_(low + (high - low) * drawn)

    with (
        mock.patch.object(random, "normal", ours(normal)),
        mock.patch.object(random, "uniform", ours(uniform)),
        mock.patch(
            "torch.distributions.normal._standard_normal", standard_normal_of_distribution(standard_normal)
        ),
        mock.patch("torch.randn", randn),
        mock.patch.object(torch.Tensor, "uniform_", uniform_),
    ):
        yield


def standard_normal_of_distribution(draw: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Return a function with the arguments of PyTorch's own."""
    return lambda shape, dtype, device: draw(tuple(shape))
