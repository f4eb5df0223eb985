"""Gradients by the running backend, for tests: Keras has no function for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from vinci_offline.types import Array, Tensor


def gradient(loss: Callable[[], Tensor], variables: Sequence[Any]) -> list[Array | None]:
    """Return the gradient of a scalar with respect to each Keras variable, as NumPy arrays.

    Args:
        loss: computes the scalar.
        variables: Keras variables.

    Returns:
        One array for each variable. If the loss does not depend on a variable: None from TensorFlow, zeros from JAX.
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
