"""Stock layers while a loop is traced: another way to the same values and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from vinci_offline.training.engines.tensorflow import barrier
from vinci_offline.training.engines.tracing import traced_layers

STOCK = keras.layers.Dense.call, keras.layers.Normalization.call


def gradients(layer, x):
    """The layer's output and the gradients of its square, to ``x`` and to what it trains, compiled as a loop is."""

    def compiled(x):
        values = [x, *(variable.value for variable in layer.trainable_variables)]
        with tf.GradientTape() as tape:
            tape.watch(values)
            output = layer(x)
            loss = ops.sum(ops.square(output))
        return [output, *tape.gradient(loss, values)]

    return tf.function(compiled, jit_compile=True)(ops.cast(x, "float32"))


def check_equal(layer, x):
    if not layer.built:
        layer.build(x.shape)
    expected = gradients(layer, x)
    with traced_layers(barrier):
        found = gradients(layer, x)
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("inputs", [3, 40])
@pytest.mark.parametrize("units", [1, 6, 8, 9])
@pytest.mark.parametrize("settings", [{}, {"use_bias": False}, {"activation": "tanh"}])
def test_dense_layers_have_their_outputs_and_gradients(inputs, units, settings):
    check_equal(keras.layers.Dense(units, **settings), np.random.default_rng(0).random((5, inputs)))


@pytest.mark.parametrize("invert", [False, True])
def test_normalizations_have_theirs(invert):
    rng = np.random.default_rng(1)
    # One variance is zero, and stands for the least that is divided by.
    layer = keras.layers.Normalization(mean=rng.random(3), variance=[0.0, 0.1, 4.0], invert=invert)
    check_equal(layer, rng.random((5, 3)))


def test_an_adapted_normalization_has_what_it_was_adapted_to():
    rng = np.random.default_rng(2)
    layer = keras.layers.Normalization()
    layer.adapt(rng.random((50, 3)))
    check_equal(layer, rng.random((5, 3)))


def test_inputs_of_more_axes_pass_as_they_did():
    layer, x = keras.layers.Dense(2), ops.ones((2, 3, 4))
    with traced_layers(barrier):
        assert layer(x).shape == (2, 3, 2)


def test_half_precision_is_kept():
    layer = keras.layers.Dense(2, dtype="mixed_bfloat16")
    normalization = keras.layers.Normalization(mean=1.0, variance=2.0, dtype="bfloat16")
    with traced_layers(barrier):
        assert layer(ops.ones((2, 3))).dtype == tf.bfloat16
        assert normalization(ops.ones((2, 3))).dtype == tf.bfloat16


def test_the_stock_layers_come_back_after_an_error():
    with pytest.raises(ZeroDivisionError), traced_layers(barrier):
        assert keras.layers.Dense.call is not STOCK[0]
        raise ZeroDivisionError
    assert (keras.layers.Dense.call, keras.layers.Normalization.call) == STOCK
