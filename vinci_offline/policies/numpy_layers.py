"""Layers and operations of Keras as functions of NumPy arrays: a closed list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from vinci_offline.types import Array

Written: TypeAlias = "tuple[Callable[..., Any], Sequence[Any]]"
"""A layer as a function of its inputs, and the weights that follow them."""


def written(operation: Any) -> Written:
    """Return a layer as a function of its inputs and its weights.

    Raises:
        NotImplementedError: the layer, or a setting of it, is not known here.
    """
    import keras

    kind = type(operation)
    if not kind.__module__.startswith("keras.src."):
        raise NotImplementedError
    if isinstance(operation, keras.Layer) and operation.weights and operation.compute_dtype != "float32":
        raise NotImplementedError
    return _KINDS[kind.__name__](operation)


def _weight(variable: Any) -> Array:
    return np.asarray(variable).copy()  # a backend may lend its own memory


def _dense(layer: Any) -> Written:
    weights = [_weight(layer.kernel), *([_weight(layer.bias)] if layer.use_bias else [])]
    return partial(_apply_dense, activation=_activation(layer.activation)), weights


def _apply_dense(
    x: Array, kernel: Array, bias: Array | None = None, *, activation: Callable[[Array], Array] | None
) -> Array:
    values = x.astype(np.float32, copy=False) @ kernel
    if bias is not None:
        values += bias
    return values if activation is None else activation(values)


def _activation(function: Any) -> Callable[[Array], Array] | None:
    if not function.__module__.startswith("keras.src."):
        raise NotImplementedError
    return _ACTIVATIONS[function.__name__]


def _relu(x: Array) -> Array:
    return np.maximum(x, np.float32(0))


def _sigmoid(x: Array) -> Array:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), x.dtype)


def _softplus(x: Array) -> Array:
    return np.asarray(np.logaddexp(x.dtype.type(0), x))


_ACTIVATIONS: dict[str, Callable[[Array], Array] | None] = {
    "linear": None,
    "relu": _relu,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "softplus": _softplus,
}


def _plain_relu(layer: Any) -> Written:
    if layer.negative_slope or layer.threshold or layer.max_value is not None:
        raise NotImplementedError
    return _relu, ()


def _normalization(layer: Any) -> Written:
    import keras

    if layer.invert:
        raise NotImplementedError
    deviation = np.maximum(np.sqrt(_weight(layer.variance)), np.float32(keras.config.epsilon()))
    return _apply_normalization, (_weight(layer.mean), deviation)


def _apply_normalization(x: Array, mean: Array, deviation: Array) -> Array:
    return np.asarray((x.astype(np.float32, copy=False) - mean) / deviation)


def _layer_norm(layer: Any) -> Written:
    if list(layer.axis if isinstance(layer.axis, list | tuple) else [layer.axis]) != [-1]:
        raise NotImplementedError
    if not (layer.center and layer.scale) or getattr(layer, "rms_scaling", False):
        raise NotImplementedError
    return partial(_apply_layer_norm, epsilon=float(layer.epsilon)), (
        _weight(layer.gamma),
        _weight(layer.beta),
    )


def _apply_layer_norm(x: Array, gamma: Array, beta: Array, *, epsilon: float) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt(variance + np.float32(epsilon)) * gamma + beta)


def _activation_layer(layer: Any) -> Written:
    return _activation(layer.activation) or _same, ()


def _same(x: Array) -> Array:
    return x


def _flattened(x: Array) -> Array:
    return x.reshape(len(x), -1)


def _one_hot(operation: Any) -> Written:
    if operation.axis != -1 or operation.sparse:
        raise NotImplementedError
    return partial(_apply_one_hot, choices=operation.num_classes, dtype=str(operation.dtype or "float32")), ()


def _apply_one_hot(x: Array, *, choices: int, dtype: str) -> Array:
    return np.asarray(x[..., None] == np.arange(choices), dtype)


def _stacked(*parts: Array, axis: int) -> Array:
    return np.stack(parts, axis)


def _joined(*parts: Array, axis: int) -> Array:
    return np.concatenate(parts, axis)


def _item(x: Array, key: Any) -> Array:
    return np.asarray(x[tuple(key) if isinstance(key, list) else key])  # a file keeps a tuple as a list


def _cast(x: Array, *, dtype: str) -> Array:
    return x.astype(dtype)


def _reshaped(operation: Any) -> Written:
    """Translate the operation, which has a new shape, or the layer, which has one for each row."""
    shape = getattr(operation, "newshape", None) or (-1, *operation.target_shape)
    return partial(np.reshape, shape=tuple(-1 if size is None else int(size) for size in shape)), ()


def _reduced(function: Callable[..., Any]) -> Callable[[Any], Written]:
    def reduction(operation: Any) -> Written:
        axis = operation.axis
        axis = tuple(axis) if isinstance(axis, list) else axis
        return partial(function, axis=axis, keepdims=operation.keepdims), ()

    return reduction


def argmax(x: Array, *, axis: int, keepdims: bool) -> Array:
    """Return the places of the greatest entries in the dtype of Keras."""
    return np.asarray(np.argmax(x, axis, keepdims=keepdims), np.int32)


def _as(function: Callable[..., Any]) -> Callable[[Any], Written]:
    return lambda operation: (function, ())


_KINDS: dict[str, Callable[[Any], Written]] = {
    # layers
    "Dense": _dense,
    "ReLU": _plain_relu,
    "Activation": _activation_layer,
    "Normalization": _normalization,
    "LayerNormalization": _layer_norm,
    "Flatten": _as(_flattened),
    "Dropout": _as(_same),
    "Concatenate": lambda operation: (partial(_joined, axis=operation.axis), ()),
    # operations, and the layers of the same names
    "Identity": _as(_same),
    "Relu": _as(_relu),
    "Tanh": _as(np.tanh),
    "Sigmoid": _as(_sigmoid),
    "Softplus": _as(_softplus),
    "Exp": _as(np.exp),
    "Log": _as(np.log),
    "Add": _as(np.add),
    "Subtract": _as(np.subtract),
    "Multiply": _as(np.multiply),
    "TrueDivide": _as(np.true_divide),
    "Negative": _as(np.negative),
    "Maximum": _as(np.maximum),
    "Minimum": _as(np.minimum),
    "Round": _as(np.round),
    "Greater": _as(np.greater),
    "Where": _as(np.where),
    "OnesLike": _as(np.ones_like),
    "ZerosLike": _as(np.zeros_like),
    "GetItem": _as(_item),
    "Clip": lambda operation: (partial(np.clip, a_min=operation.x_min, a_max=operation.x_max), ()),
    "Cast": lambda operation: (partial(_cast, dtype=str(operation.dtype)), ()),
    "OneHot": _one_hot,
    "Reshape": _reshaped,
    "Stack": lambda operation: (partial(_stacked, axis=operation.axis), ()),
    "Repeat": lambda operation: (partial(np.repeat, repeats=operation.repeats, axis=operation.axis), ()),
    "Mean": _reduced(np.mean),
    "Argmax": _reduced(argmax),
}
"""The known layers and operations of Keras, by class."""
