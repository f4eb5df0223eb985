"""JPEG and PNG images."""

from __future__ import annotations

import io
import math
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from vinci_offline.budget import afford
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array

_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    ArithmeticError,
    TypeError,
    struct.error,
    zlib.error,
)
"""What Pillow raises over damaged images."""


def frames(
    images: Sequence[bytes], shape: tuple[int, ...], where: str, kinds: Sequence[str] = ("JPEG",)
) -> Array:
    """Return images as ``[N, height, width]`` or ``[N, height, width, channels]`` bytes.

    Args:
        images: one a row.
        shape: of each image; one that says otherwise is not decoded.
        where: the array, for messages.
        kinds: formats of images that are accepted.

    Raises:
        DatasetError: a row is no such image, or all of them unfold to more than the budget.
    """
    from PIL import Image

    asked, present = len(images) * math.prod(shape), sum(map(len, images))
    afford(where, f"the array of {len(images):,} images of shape {shape}", asked=asked, present=present)
    found = np.zeros((len(images), *shape), np.uint8)
    for row, content in enumerate(images):
        try:
            with Image.open(io.BytesIO(content), formats=tuple(kinds)) as image:
                bands = len(image.getbands())
                size = (image.height, image.width, *((bands,) if bands > 1 else ()))
                if size != shape:
                    raise DatasetError(f"{where} row {row} is an image of shape {size}, not {shape}")
                pixels = np.asarray(image)
            if pixels.dtype != np.uint8:
                raise DatasetError(f"{where} row {row} is an image of {pixels.dtype}, not of bytes")
            found[row] = pixels
        except _ERRORS as error:
            raise DatasetError(
                f"{where} row {row} is no {' or '.join(kinds)} image: the dataset is damaged"
            ) from error
    return found
