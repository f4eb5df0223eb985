"""Frames of a few episodes of a dataset whose observations hold images, as pictures inside the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.types import Array, FloatArray

MOST_FRAMES = 12
"""Frames of an episode, at equal distances."""
MOST_UNUSUAL = 3
MOST_BYTES = 2**20
"""Bytes of all frames of a dataset; strips that do not fit are left out."""
_SIDE = 128
"""The longer side of a frame, in pixels. Larger images are made smaller."""
_JPEG_QUALITY = 80


def strips(
    dataset: Dataset, returns: FloatArray, table: Mapping[str, Array], unusual: Array
) -> list[dict[str, Any]]:
    """Return the strips of frames of some episodes: the first, the best, the worst, and unusual ones.

    Args:
        dataset: the rows.
        returns: ``[E]`` returns; NaN where they are not known.
        table: a row for each episode.
        unusual: ``[E]`` True for those with an unusual return or length.

    Returns:
        For each its ``episode``, ``name`` and ``frames``; none where no observation is an image.
    """
    path = _images(dataset)
    if path is None:
        return []
    found, room = [], MOST_BYTES
    for episode, why in _chosen(returns, unusual).items():
        start, length = int(table[START][episode]), int(table[LENGTH][episode])
        steps = np.unique(np.linspace(0, length - 1, min(length, MOST_FRAMES)).round().astype(np.int64))
        images = dataset.columns.gather(path, start + steps)
        frames = [
            {"step": step, "address": _address(_pixels(image))}
            for step, image in zip(steps.tolist(), images, strict=True)
        ]
        room -= sum(len(frame["address"]) for frame in frames)
        if room < 0:
            break
        value = "return not known" if not np.isfinite(returns[episode]) else f"return {returns[episode]:.4g}"
        name = f"Episode {episode:,}, {', '.join(why)}: {value}, {length:,} rows"
        found.append({"episode": episode, "name": name, "frames": frames})
    return found


def _images(dataset: Dataset) -> str | None:
    """Return the first column of observations whose rows are images."""
    for path in dataset.columns:
        if path.partition("/")[0] == layout.OBSERVATIONS:
            shape = dataset.columns.shape(path)[1:]
            if layout.is_image(shape, dataset.columns.dtype(path)) and len(shape) <= 3 and min(shape) > 0:
                return path
    return None


def _chosen(returns: FloatArray, unusual: Array) -> dict[int, list[str]]:
    """Return why each chosen episode is chosen, by its number."""
    chosen: dict[int, list[str]] = {}
    known = np.flatnonzero(np.isfinite(returns))
    if len(returns):
        chosen[0] = ["the first"]
    if len(known) and np.ptp(returns[known]):
        chosen.setdefault(int(known[returns[known].argmax()]), []).append("the best")
        chosen.setdefault(int(known[returns[known].argmin()]), []).append("the worst")
    for episode in np.flatnonzero(unusual)[:MOST_UNUSUAL].tolist():
        chosen.setdefault(episode, []).append("unusual")
    return chosen


def _pixels(image: Array) -> Array:
    """Return ``[height, width]`` or ``[height, width, 3]`` bytes. Of stacked frames the last is shown."""
    if layout.frames_first(image.shape):
        image = np.moveaxis(image, 0, -1)
    if image.ndim == 3:
        image = image[..., :3] if image.shape[-1] == 3 else image[..., -1]
    return np.ascontiguousarray(image)


def _address(pixels: Array) -> str:
    """Return an address that holds the picture, as the shorter of PNG and JPEG."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    written: dict[str, bytes] = {}
    for kind, options in (("png", {"optimize": True}), ("jpeg", {"quality": _JPEG_QUALITY})):
        content = io.BytesIO()
        image.save(content, kind, **options)
        written[kind] = content.getvalue()
    kind = min(written, key=lambda name: len(written[name]))
    return f"data:image/{kind};base64,{base64.b64encode(written[kind]).decode()}"
