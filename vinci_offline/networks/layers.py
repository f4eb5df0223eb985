"""The layers that every shipped network is made of."""

from __future__ import annotations

import random

import keras
import numpy as np

from vinci_offline.spec import BoxSpace, DiscreteSpace, Space
from vinci_offline.types import FloatArray, Tensor

STD_EPSILON = 1e-3
"""Added to the standard deviation before dividing by it (Fujimoto and Gu, 2021, section 5.1)."""


def dense(x: Tensor, units: int, name: str, dtype: str | None = None) -> Tensor:
    """A linear layer, weights and biases uniform within ``1 / sqrt(fan_in)``.

    Lillicrap et al. (2016), section 7; also what the authors' PyTorch code of TD3+BC and many others start
    from.

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
    """ReLU layers of the ``hidden`` widths, then a linear one: ``[B, …]`` to ``[B, outputs]`` float32.

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


def observation_input(space: Space) -> Tensor:
    """The Keras input for raw observations: float32 of a Box's shape, or an int32 for a Discrete space.

    Keras casts whatever the environment hands over (float64, uint8, int64) to the input's dtype.
    """
    if isinstance(space, DiscreteSpace):
        return keras.Input(shape=(), dtype="int32", name="observation")
    assert isinstance(space, BoxSpace)
    return keras.Input(shape=space.shape, dtype="float32", name="observation")


def prepare(observation: Tensor, space: Space, mean: FloatArray | None, std: FloatArray | None) -> Tensor:
    """What the first layer sees of a raw observation.

    One-hot for a Discrete space, pixels in [0, 1] for uint8, otherwise ``(x - mean) / (std + 1e-3)`` where
    the statistics are known.
    """
    if isinstance(space, DiscreteSpace):
        return keras.ops.one_hot(observation - space.start, space.n, dtype="float32")
    assert isinstance(space, BoxSpace)
    if space.dtype == "uint8":
        return keras.layers.Rescaling(1 / 255, name="pixels")(observation)
    if mean is None or std is None:
        return observation
    return keras.layers.Normalization(
        axis=tuple(range(1, 1 + len(space.shape))),
        mean=np.asarray(mean, np.float32).reshape(space.shape),
        variance=np.square(np.asarray(std, np.float64) + STD_EPSILON).astype(np.float32).reshape(space.shape),
        dtype="float32",
        name="normalize",
    )(observation)
