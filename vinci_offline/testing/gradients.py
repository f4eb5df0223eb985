"""Gradients by whichever backend runs: Keras has no word for them, and tests need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from vinci_offline.types import Array, Tensor


def gradient(loss: Callable[[], Tensor], variables: Sequence[Any]) -> list[Array | None]:
    """The gradient of a scalar to each Keras variable, as NumPy.

    Args:
        loss: computes the scalar from the variables' values.
        variables: Keras variables.

    Returns:
        An array a variable; where the loss does not depend on it, None from TensorFlow and zeros from JAX.
    """
    return (
        _by_tensorflow(loss, variables)
        if keras.backend.backend() == "tensorflow"
        else _by_jax(loss, variables)
    )


def _by_tensorflow(loss: Callable[[], Tensor], variables: Sequence[Any]) -> list[Array | None]:
    import tensorflow as tf

    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        for value in values:
            tape.watch(value)
        result = loss()
    return [None if found is None else np.asarray(found) for found in tape.gradient(result, values)]


def _by_jax(loss: Callable[[], Tensor], variables: Sequence[Any]) -> list[Array | None]:
    import jax

    def of(values: list[Tensor]) -> Tensor:
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return loss()

    return [np.asarray(found) for found in jax.grad(of)([variable.value for variable in variables])]
