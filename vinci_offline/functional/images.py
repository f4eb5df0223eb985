"""Augmentation of images."""

from __future__ import annotations

from keras import ops

from vinci_offline.functional import random
from vinci_offline.types import Tensor


def random_shift(images: Tensor, key: Tensor, pixels: int) -> Tensor:
    """Move each image by up to ``pixels`` to each side; its border fills what is left free.

    This is a random crop of the image after its border was repeated ``pixels`` times (Kostrikov, Yarats and Fergus,
    2021, https://arxiv.org/abs/2004.13649, who take 4).

    Args:
        images: ``[B, height, width, ...]`` of any dtype.
        key: key of the draws.
        pixels: the greatest move in each direction.

    Returns:
        Images of the same shape and dtype.
    """
    count, height, width = images.shape[:3]
    moves = random.integers(key, (2, count, 1), 2 * pixels + 1) - pixels
    rows = ops.clip(ops.arange(height, dtype="int32") + moves[0], 0, height - 1)
    columns = ops.clip(ops.arange(width, dtype="int32") + moves[1], 0, width - 1)
    first = ops.arange(count, dtype="int32")[:, None] * height
    places = (first + rows)[:, :, None] * width + columns[:, None, :]
    flat = ops.reshape(images, (count * height * width, -1))
    return ops.reshape(ops.take(flat, places, axis=0), images.shape)
