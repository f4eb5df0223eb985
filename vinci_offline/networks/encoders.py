"""Image encoders: from ``[B, height, width, channels]`` pixels in [0, 1] to ``[B, F]`` features."""

from __future__ import annotations

import keras
from keras import ops

from vinci_offline.data.layout import frames_first
from vinci_offline.types import Tensor

_SMALLEST_NATURE, _SMALLEST_IMPALA = 36, 8


def encode_image(pixels: Tensor, name: str, kind: str = "auto") -> Tensor:
    """Encode images with a small convolutional network.

    Args:
        pixels: ``[B, height, width]`` or ``[B, height, width, channels]`` float32. The frames of
            ``[B, frames, height, width]`` become channels.
        name: prefix of layer names.
        kind: ``nature``, ``impala``, ``flat`` (no convolution), or ``auto``: by the shorter side, nature from 36
            pixels on, impala from 8 on, otherwise flat.

    Returns:
        ``[B, F]`` float32.

    Raises:
        ValueError: ``kind`` is unknown.
    """
    pixels = _channels_last(pixels)
    if kind == "auto":
        kind = _default_kind(min(pixels.shape[1:3]))
    if kind == "nature":
        return _nature(pixels, name)
    if kind == "impala":
        return _impala(pixels, name)
    if kind == "flat":
        return keras.layers.Flatten(name=f"{name}_flatten")(pixels)
    raise ValueError(f"the image encoder must be nature, impala, flat or auto, not {kind!r}")


def _default_kind(smallest_side: int) -> str:
    if smallest_side >= _SMALLEST_NATURE:
        return "nature"
    return "impala" if smallest_side >= _SMALLEST_IMPALA else "flat"


def _channels_last(pixels: Tensor) -> Tensor:
    shape = pixels.shape[1:]
    if len(shape) == 2:
        return ops.expand_dims(pixels, -1)
    if frames_first(shape):
        return ops.transpose(pixels, (0, 2, 3, 1))
    return pixels


def _nature(x: Tensor, name: str) -> Tensor:
    """Apply the convolutional network of Mnih et al. (2015), https://doi.org/10.1038/nature14236, Methods."""
    for place, (filters, size, stride) in enumerate(((32, 8, 4), (64, 4, 2), (64, 3, 1)), start=1):
        x = keras.layers.Conv2D(filters, size, stride, activation="relu", name=f"{name}_conv_{place}")(x)
    x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    return keras.layers.Dense(512, activation="relu", name=f"{name}_features")(x)


def _impala(x: Tensor, name: str) -> Tensor:
    """Apply a small residual network: Espeholt et al. (2018), https://arxiv.org/abs/1802.01561, figure 3.

    Each section has one residual block, as in ``impala_small`` of OGBench.
    """
    for section, filters in enumerate((16, 32, 32), start=1):
        prefix = f"{name}_section_{section}"
        x = keras.layers.Conv2D(filters, 3, padding="same", name=f"{prefix}_conv")(x)
        x = keras.layers.MaxPooling2D(3, 2, padding="same", name=f"{prefix}_pool")(x)
        inner = keras.layers.ReLU(name=f"{prefix}_relu_1")(x)
        inner = keras.layers.Conv2D(filters, 3, padding="same", name=f"{prefix}_residual_1")(inner)
        inner = keras.layers.ReLU(name=f"{prefix}_relu_2")(inner)
        inner = keras.layers.Conv2D(filters, 3, padding="same", name=f"{prefix}_residual_2")(inner)
        x = keras.layers.Add(name=f"{prefix}_add")([x, inner])
    x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    return keras.layers.Dense(256, activation="relu", name=f"{name}_features")(x)
