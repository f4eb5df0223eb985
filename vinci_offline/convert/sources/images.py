"""JPEG and PNG images."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np

from vinci_offline.errors import DatasetError
from vinci_offline.types import Array


def frames(
    images: Iterable[bytes], shape: tuple[int, ...], where: str, kinds: Sequence[str] = ("JPEG",)
) -> Array:
    """Return images as ``[N, height, width]`` or ``[N, height, width, channels]`` bytes.

    Args:
        images: one a row.
        shape: of each image; one that says otherwise is not decoded.
        where: the array, for messages.
        kinds: formats of images that are accepted.

    Raises:
        DatasetError: a row is no such image.
    """
    from PIL import Image

    found = []
    for row, content in enumerate(images):
        try:
            with Image.open(io.BytesIO(content), formats=tuple(kinds)) as image:
                bands = len(image.getbands())
                size = (image.height, image.width, *((bands,) if bands > 1 else ()))
                if size != shape:
                    raise DatasetError(f"{where} row {row} is an image of shape {size}, not {shape}")
                found.append(np.asarray(image))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise DatasetError(
                f"{where} row {row} is no {' or '.join(kinds)} image: the dataset is damaged"
            ) from error
    return np.stack(found) if found else np.zeros((0, *shape), np.uint8)
