"""Augmentation of the images in a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from keras import ops

from vinci_offline import functional
from vinci_offline.batches.batch import Batch
from vinci_offline.batches.names import NEXT_OBSERVATION, OBSERVATION
from vinci_offline.data.layout import frames_first, is_image
from vinci_offline.errors import UsageError
from vinci_offline.spec import BoxSpace, DictSpace, Space
from vinci_offline.types import Tensor


@dataclass(frozen=True)
class ImageShift:
    """Random shift of every image of a batch: observations and next observations move independently.

    Attributes:
        pixels: the greatest move.
        shapes: shapes of the images by column.
    """

    pixels: int
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, space: Space, pixels: int) -> Self:
        """Return the shift of a space's images.

        Raises:
            UsageError: the space has no image, or one that is smaller than the move.
        """
        parts = space.spaces if isinstance(space, DictSpace) else {"": space}
        images = {
            f"/{key}" if key else "": part.shape
            for key, part in parts.items()
            if isinstance(part, BoxSpace) and is_image(part.shape, np.dtype(part.dtype))
        }
        if not images:
            raise UsageError(
                "--random-shift moves images, and no observation of the dataset is one: leave it out"
            )
        smallest = min(min(_sides(shape)) for shape in images.values())
        if pixels >= smallest:
            raise UsageError(
                f"--random-shift {pixels} is more than images with a side of {smallest} pixels can take"
            )
        shapes = {
            root + key: shape for root in (OBSERVATION, NEXT_OBSERVATION) for key, shape in images.items()
        }
        return cls(pixels, shapes)

    def __call__(self, batch: Batch, key: Tensor) -> Batch:
        """Return the batch with moved images.

        Args:
            batch: leading axes ``[B]``, or ``[B, K]`` for windows; each image moves by itself.
            key: key of the draws.
        """
        moved = {
            name: self._moved(batch.columns[name], shape, functional.random.fold(key, place))
            for place, (name, shape) in enumerate(self.shapes.items())
            if name in batch.columns
        }
        return Batch({**batch.columns, **moved})

    def _moved(self, images: Tensor, shape: tuple[int, ...], key: Tensor) -> Tensor:
        flat = ops.reshape(images, (-1, *shape))
        if frames_first(shape):
            turned = functional.random_shift(ops.transpose(flat, (0, 2, 3, 1)), key, self.pixels)
            moved = ops.transpose(turned, (0, 3, 1, 2))
        else:
            moved = functional.random_shift(flat, key, self.pixels)
        return ops.reshape(moved, images.shape)


def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[1:] if frames_first(shape) else shape[:2]
