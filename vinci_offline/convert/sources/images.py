"""Images that others keep as JPEG or PNG."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np

from vinci_offline.errors import DatasetError
from vinci_offline.types import Array


def frames(
    images: Iterable[bytes], shape: tuple[int, ...], where: str, kinds: Sequence[str] = ("JPEG",)
) -> Array:
    """Images as ``[N, height, width]`` or ``[N, height, width, channels]`` bytes.

    Args:
        images: one a row.
        shape: what each must have; none is unfolded before it says so.
        where: the array, for messages.
        kinds: what they may be kept as.

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
