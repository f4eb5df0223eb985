"""How stock layers are traced into a compiled loop: the same values, from what XLA is fast at on a CPU.

Networks stay stock layers, the user's own among them: only the tracing of a gradient sees this. Figures are of two
cores of an EPYC with AVX-512.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from vinci_offline.types import Tensor

_NARROW = 8
"""Outputs up to which a kernel's gradient is worked out for them alone."""

Barrier = Callable[[Tensor], Tensor]
"""The identity, through which XLA moves no transposition."""


@contextmanager
def traced_layers(barrier: Barrier) -> Iterator[None]:
    """Within, calls of `keras.layers.Dense` and `keras.layers.Normalization` are those below.

    Args:
        barrier: the backend's own.
    """
    dense, normalization = keras.layers.Dense.call, keras.layers.Normalization.call

    def dense_call(layer: keras.layers.Dense, inputs: Tensor, training: bool | None = None) -> Tensor:
        plain = layer.quantization_mode is None and not layer.lora_enabled
        if not plain or len(inputs.shape) != 2:
            return dense(layer, inputs, training)
        output = _product(barrier)(inputs, ops.cast(layer.kernel, layer.compute_dtype))
        output = output if layer.bias is None else ops.add(output, layer.bias)
        return output if layer.activation is None else layer.activation(output)

    def normalization_call(layer: keras.layers.Normalization, inputs: Tensor) -> Tensor:
        if layer.invert or layer.mean is None:
            return normalization(layer, inputs)
        return _normalized(layer, inputs)

    keras.layers.Dense.call, keras.layers.Normalization.call = dense_call, normalization_call
    try:
        yield
    finally:
        keras.layers.Dense.call, keras.layers.Normalization.call = dense, normalization


def _normalized(layer: keras.layers.Normalization, inputs: Tensor) -> Tensor:
    """With constants, so that XLA sees that two calls on the same inputs are one.

    The stock layer's square roots leave the loop as values of their own, which nothing then knows to be equal: IQL,
    whose two losses ask the target critics the same, took 16% longer.
    """
    mean, variance = ops.convert_to_numpy(layer.mean), ops.convert_to_numpy(layer.variance)
    deviation = np.maximum(np.sqrt(variance), np.asarray(keras.backend.epsilon(), variance.dtype))
    return (ops.convert_to_tensor(inputs, dtype=layer.compute_dtype) - mean) / deviation


def _product(barrier: Barrier) -> Callable[[Tensor, Tensor], Tensor]:
    """``x @ kernel``, ``[B, I]`` by ``[I, O]``, with gradients for which no large operand is transposed."""

    @ops.custom_gradient  # type: ignore[untyped-decorator]
    def product(x: Tensor, kernel: Tensor) -> tuple[Tensor, Any]:
        def gradient(*args: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor]:
            if upstream is None:
                (upstream,) = args
            return _inputs_gradient(kernel, upstream, barrier), _kernel_gradient(x, upstream, barrier)

        return ops.matmul(x, kernel), gradient

    return product  # type: ignore[no-any-return]


def _inputs_gradient(kernel: Tensor, upstream: Tensor, barrier: Barrier) -> Tensor:
    """``upstream @ kernel.T``: in a small batch, the batch is what is transposed.

    For 32 x 256 by a transposed 256 x 256, 25 microseconds become 20 of two cores, and 45 of one become 24. With 64
    rows, or 128, TD3+BC took 13% and 10% fewer steps so.
    """
    if upstream.shape[1] > _NARROW and 8 * upstream.shape[0] <= kernel.shape[0]:
        return ops.transpose(barrier(ops.matmul(kernel, ops.transpose(upstream))))
    return ops.matmul(upstream, ops.transpose(kernel))


def _kernel_gradient(x: Tensor, upstream: Tensor, barrier: Barrier) -> Tensor:
    """``x.T @ upstream``: where outputs are few, they are what is transposed.

    For 256 x 256 by 256 x 6, 65 microseconds become 5. A single output has sums, 6 microseconds for 57: XLA would take
    the product of a vector apart and work out ``x`` again for each of its numbers.
    """
    if upstream.shape[1] == 1:
        return ops.sum(x * upstream, axis=0)[:, None]
    if upstream.shape[1] <= _NARROW:
        return ops.transpose(barrier(ops.matmul(ops.transpose(upstream), x)))
    return ops.matmul(ops.transpose(x), upstream)
