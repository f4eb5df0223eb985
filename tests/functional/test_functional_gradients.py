import math

import keras
import numpy as np
import pytest

from vinci_offline import functional
from vinci_offline.testing.gradients import gradient

# Hausknecht and Stone (2016), eq. 11, between -1 and 1. The loss is sum(weight * action), so its gradient is
# the weight: a negative one raises the action and is scaled by (1 - a) / 2, a positive one lowers it and is
# scaled by (a + 1) / 2.
ACTION = np.array([[0.5, 0.5, 1.0, -1.0, 1.2, 0.0]], "float32")
WEIGHT = np.array([[-1.0, 1.0, -1.0, 1.0, -1.0, 2.0]], "float32")
INVERTED = np.array([[-0.25, 0.75, 0.0, 0.0, 0.1, 1.0]], "float32")


def test_invert_gradients_by_hand():
    action = keras.Variable(ACTION)
    (found,) = gradient(lambda: keras.ops.sum(functional.invert_gradients(action * 1.0) * WEIGHT), [action])
    np.testing.assert_allclose(found, INVERTED, atol=1e-6)
    np.testing.assert_array_equal(functional.invert_gradients(keras.ops.convert_to_tensor(ACTION)), ACTION)


def test_invert_gradients_passes_unbounded_dimensions():
    action = keras.Variable(ACTION)
    bounded = np.array([True, False, True, False, True, True])
    (found,) = gradient(
        lambda: keras.ops.sum(functional.invert_gradients(action * 1.0, bounded) * WEIGHT), [action]
    )
    np.testing.assert_allclose(found, np.where(bounded, INVERTED, WEIGHT), atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="the TensorFlow loop")
@pytest.mark.parametrize("jit", [False, True])
def test_invert_gradients_inside_the_compiled_loop(jit):
    import tensorflow as tf

    action = keras.Variable(ACTION)

    @tf.function(jit_compile=jit, autograph=False)
    def two_steps():
        def body(step, total):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(action.value)
                loss = keras.ops.sum(functional.invert_gradients(action * 1.0) * WEIGHT)
            return step + 1, total + tape.gradient(loss, action.value)

        return tf.while_loop(lambda step, _: step < 2, body, [0, tf.zeros_like(ACTION)])[1]

    np.testing.assert_allclose(two_steps(), 2 * INVERTED, atol=1e-6)


@pytest.mark.parametrize(
    ("log_weight", "excess", "loss", "slope"),
    [
        (math.log(2.0), 3.0, -6.0, -6.0),
        (math.log(2.0), -3.0, 6.0, 6.0),
        # The greatest weight is 4: it stays there, or comes back.
        (math.log(5.0), 3.0, -12.0, 0.0),
        (math.log(5.0), -3.0, 12.0, 12.0),
        # The least weight is 1/2.
        (math.log(0.4), 3.0, -1.5, -1.5),
        (math.log(0.4), -3.0, 1.5, 0.0),
    ],
)
def test_learned_weight_returns_from_its_bounds(log_weight, excess, loss, slope):
    learned = keras.Variable(log_weight, dtype="float32")

    def of_weight():
        return functional.multiplier_loss(
            learned * 1.0, excess * keras.ops.ones(()), -math.log(2.0), math.log(4.0)
        )

    assert float(of_weight()) == pytest.approx(loss, rel=1e-5)
    (found,) = gradient(of_weight, [learned])
    assert float(found) == pytest.approx(slope, rel=1e-5)
