"""Tests on several Keras backends: the compilers of each, and a mark of tests for which one backend is enough."""

import keras
import pytest

TENSORFLOW = keras.backend.backend() == "tensorflow"

every_compiler = pytest.mark.parametrize("jit", ["off", "on"] if TENSORFLOW else ["on"])
"""Mark of tests that take ``jit``: TensorFlow compiles with and without XLA, JAX always with it."""

tensorflow_only = pytest.mark.skipif(not TENSORFLOW, reason="shows the same on every backend")
