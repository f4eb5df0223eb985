"""Tests of fast traces of stock layers: values and gradients equal those of the layers."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from vinci_offline import functional
from vinci_offline.training.engines.tensorflow import barrier
from vinci_offline.training.engines.tracing import FastLayers


def fast(*layers):
    return FastLayers([keras.Sequential(layers)], barrier)


def gradients(layer, x):
    """Return the layer's output, and the gradients of its square to ``x`` and to its variables; compiled with XLA."""

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
    with fast(layer):
        found = gradients(layer, x)
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("inputs", "units", "settings"),
    [
        *((inputs, units, {}) for inputs in (3, 40) for units in (1, 6, 8, 9)),
        *((40, units, {"use_bias": False}) for units in (1, 9)),
        *((3, units, {"activation": "tanh"}) for units in (1, 9)),
    ],
)
def test_dense_outputs_and_gradients_equal_stock(inputs, units, settings):
    check_equal(keras.layers.Dense(units, **settings), np.random.default_rng(0).random((5, inputs)))


@pytest.mark.parametrize("units", [1, 4])
@pytest.mark.parametrize("activation", [None, "tanh"])
def test_fast_ensemble_layer_equals_stock_layer(units, activation):
    layer = keras.layers.EinsumDense(
        "ebi,eio->ebo", output_shape=(None, units), bias_axes="eo", activation=activation
    )
    check_equal(layer, np.random.default_rng(4).random((6, 5, 3)))


@pytest.mark.parametrize("invert", [False, True])
def test_normalization_equals_stock(invert):
    rng = np.random.default_rng(1)
    # One variance is zero, so its deviation is the smallest divisor.
    layer = keras.layers.Normalization(mean=rng.random(3), variance=[0.0, 0.1, 4.0], invert=invert)
    check_equal(layer, rng.random((5, 3)))


def test_adapted_normalization_equals_stock():
    rng = np.random.default_rng(2)
    layer = keras.layers.Normalization()
    layer.adapt(rng.random((50, 3)))
    check_equal(layer, rng.random((5, 3)))


def test_inputs_of_rank_three_use_stock_call():
    layer, x = keras.layers.Dense(2), ops.ones((2, 3, 4))
    with fast(layer):
        assert layer(x).shape == (2, 3, 2)


def test_half_precision_is_kept():
    layer = keras.layers.Dense(2, dtype="mixed_bfloat16")
    normalization = keras.layers.Normalization(mean=1.0, variance=2.0, dtype="bfloat16")
    with fast(layer, normalization):
        assert layer(ops.ones((2, 3))).dtype == tf.bfloat16
        assert normalization(ops.ones((2, 3))).dtype == tf.bfloat16


def test_only_the_given_layers_change_and_come_back_after_an_error():
    layer, other = keras.layers.Dense(2), keras.layers.Dense(2)
    stock = keras.layers.Dense.call
    with pytest.raises(ZeroDivisionError), fast(layer):
        assert "call" in vars(layer)
        assert "call" not in vars(other)
        assert keras.layers.Dense.call is stock
        raise ZeroDivisionError
    assert "call" not in vars(layer)


def test_layers_of_nested_models_are_fast_too():
    inner = keras.Sequential([keras.layers.Dense(3)])
    model = keras.Sequential([keras.Input((4,)), inner, keras.layers.Dense(1)])
    with FastLayers([model], barrier):
        assert "call" in vars(inner.layers[0])


def test_fast_gradient_inside_a_loss_can_be_differentiated():
    layer = keras.layers.Dense(1, activation="tanh")
    model = keras.Sequential([keras.Input((3,)), layer])
    x = np.random.default_rng(3).random((5, 3)).astype("float32")

    def slope_gradient():
        values = [variable.value for variable in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(values)
            slope = functional.gradient(model, ops.convert_to_tensor(x))
            loss = ops.sum(ops.square(slope))
        return tape.gradient(loss, values)

    expected = slope_gradient()
    with FastLayers([model], barrier):
        found = tf.function(slope_gradient, jit_compile=True)()
    for left, right in zip(found, expected, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)
