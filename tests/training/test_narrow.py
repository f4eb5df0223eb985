"""Narrow layers: another way to the same gradient, in the same stock layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from vinci_offline.training.engines.narrow import narrow_layers

STOCK = keras.layers.Dense.call


def gradients(layer, x):
    values = [x, *(variable.value for variable in layer.trainable_variables)]
    with tf.GradientTape() as tape:
        tape.watch(values)
        output = layer(x)
        loss = ops.sum(ops.square(output))
    return [output, *tape.gradient(loss, values)]


@pytest.mark.parametrize("units", [1, 6, 8, 9])
@pytest.mark.parametrize("settings", [{}, {"use_bias": False}, {"activation": "tanh"}])
def test_outputs_and_gradients_are_those_of_the_stock_layer(units, settings):
    layer, x = (
        keras.layers.Dense(units, **settings),
        ops.convert_to_tensor(np.random.default_rng(0).random((5, 3))),
    )
    layer.build(x.shape)
    expected = gradients(layer, ops.cast(x, "float32"))
    with narrow_layers():
        found = gradients(layer, ops.cast(x, "float32"))
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


def test_inputs_of_more_axes_pass_as_they_did():
    layer, x = keras.layers.Dense(2), ops.ones((2, 3, 4))
    with narrow_layers():
        assert layer(x).shape == (2, 3, 2)


def test_half_precision_is_kept():
    layer = keras.layers.Dense(2, dtype="mixed_bfloat16")
    with narrow_layers():
        assert layer(ops.ones((2, 3))).dtype == tf.bfloat16


def test_the_stock_layer_comes_back_after_an_error():
    with pytest.raises(ZeroDivisionError), narrow_layers():
        assert keras.layers.Dense.call is not STOCK
        raise ZeroDivisionError
    assert keras.layers.Dense.call is STOCK
