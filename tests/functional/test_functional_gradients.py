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
