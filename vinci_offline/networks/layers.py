"""Layers of the default networks."""

from __future__ import annotations

import random
from typing import Literal, TypeAlias

import keras
import numpy as np

from vinci_offline.types import Tensor

LayerNorm: TypeAlias = bool | Literal["after"]
"""Layer normalisation of hidden layers: none, before each ReLU (True), or after each."""


NORM_EPSILON = 1e-6
"""Constant below the root of layer normalisation, from the ReBRAC authors' code (Flax's default).

Keras has 1e-3, as much as some percent of the variance of small activations: a new network would be normalised less.
"""


def dense(x: Tensor, units: int, name: str, dtype: str | None = None) -> Tensor:
    """Apply a linear layer. Its weights and biases are drawn uniformly within ``1 / sqrt(fan_in)``.

    Lillicrap et al. (2016), https://arxiv.org/abs/1509.02971, section 7. PyTorch has the same default.

    Args:
        x: ``[B, fan_in]``.
        units: width of the output.
        name: name of the layer.
        dtype: dtype that overrides Keras's policy. Last layers use float32.
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
    draw_weights(layer, limit)
    return output


def draw_weights(layer: keras.layers.Layer, limit: float) -> None:
    """Draw the trainable weights of a built layer uniformly within ``-limit`` and ``limit``.

    NumPy draws them: the backends' generators differ for the same seed.
    """
    generator = np.random.default_rng(random.getrandbits(64))
    for variable in layer.trainable_variables:
        variable.assign(generator.uniform(-limit, limit, tuple(variable.shape)))


def mlp(x: Tensor, hidden: tuple[int, ...], outputs: int, name: str, layer_norm: LayerNorm = False) -> Tensor:
    """Apply ReLU layers and a linear layer: ``[B, …]`` to ``[B, outputs]`` float32.

    Args:
        x: input; it is flattened first.
        hidden: widths of the ReLU layers.
        outputs: width of the linear layer.
        name: prefix of layer names.
        layer_norm: normalise before each ReLU, or ``"after"`` each. This limits the extrapolation of critics
            (Ball et al., 2023, https://arxiv.org/abs/2302.02948, section 4.2).
    """
    if len(x.shape) > 2:
        x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    for depth, units in enumerate(hidden, start=1):
        x = dense(x, units, f"{name}_dense_{depth}")
        if layer_norm is True:
            x = keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=f"{name}_norm_{depth}")(x)
        x = keras.layers.ReLU(name=f"{name}_relu_{depth}")(x)
        if layer_norm == "after":
            x = keras.layers.LayerNormalization(epsilon=NORM_EPSILON, name=f"{name}_norm_{depth}")(x)
    return dense(x, outputs, f"{name}_output", dtype="float32")
