"""The layers that every shipped network is made of."""

from __future__ import annotations

import random

import keras
import numpy as np

from vinci_offline.types import Tensor


def dense(x: Tensor, units: int, name: str, dtype: str | None = None) -> Tensor:
    """Apply a linear layer whose weights and biases start uniform within ``1 / sqrt(fan_in)``.

    Lillicrap et al. (2016), https://arxiv.org/abs/1509.02971, section 7; PyTorch's default too.

    Args:
        x: ``[B, fan_in]``.
        units: the output's width.
        name: the layer's name.
        dtype: overrides Keras's dtype policy; outputs are float32 whatever the precision inside.
    """
    limit = float(x.shape[-1]) ** -0.5
    layer = keras.layers.Dense(
        units,
        kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
        bias_initializer=keras.initializers.RandomUniform(-limit, limit),
        dtype=dtype,
        name=name,
    )
    output = layer(x)
    # NumPy draws the weights: each backend's generator would make others of the same seed.
    generator = np.random.default_rng(random.getrandbits(64))
    for variable in layer.trainable_variables:
        variable.assign(generator.uniform(-limit, limit, tuple(variable.shape)))
    return output


def mlp(x: Tensor, hidden: tuple[int, ...], outputs: int, name: str, layer_norm: bool = False) -> Tensor:
    """Apply ReLU layers of the ``hidden`` widths and a linear one: ``[B, …]`` to ``[B, outputs]`` float32.

    Args:
        x: the input, flattened where it is not flat.
        hidden: widths.
        outputs: the last layer's width.
        name: prefix of the layers' names.
        layer_norm: normalise before each ReLU, which keeps critics from extrapolating wildly
            (Ball et al., 2023, https://arxiv.org/abs/2302.02948, section 4.2).
    """
    if len(x.shape) > 2:
        x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    for depth, units in enumerate(hidden, start=1):
        x = dense(x, units, f"{name}_dense_{depth}")
        if layer_norm:
            x = keras.layers.LayerNormalization(name=f"{name}_norm_{depth}")(x)
        x = keras.layers.ReLU(name=f"{name}_relu_{depth}")(x)
    return dense(x, outputs, f"{name}_output", dtype="float32")
