"""Engines: what compiles and runs a learner's global steps. Only here are TensorFlow and JAX named."""

from __future__ import annotations

import keras

from vinci_offline.errors import UsageError
from vinci_offline.training.engines.engine import Data, Engine
from vinci_offline.training.learner import Learner


def make_engine(learner: Learner, data: Data, *, batch_size: int, seed: int, jit: str = "auto") -> Engine:
    """Make the engine of the Keras backend in use.

    Raises:
        UsageError: there is none for it.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from vinci_offline.training.engines.tensorflow import TensorFlowEngine

        return TensorFlowEngine(learner, data, batch_size=batch_size, seed=seed, jit=choose_jit(jit))
    if backend == "jax":
        from vinci_offline.training.engines.jax import JaxEngine

        return JaxEngine(learner, data, batch_size=batch_size, seed=seed)
    raise UsageError(f"training runs on Keras' tensorflow and jax backends, and KERAS_BACKEND is {backend!r}")


def choose_jit(jit: str) -> bool:
    """Return whether TensorFlow compiles with XLA: ``auto`` does. JAX always compiles with it.

    Measured on two CPU cores, TD3+BC: at batch 256 and widths 256 XLA and TensorFlow's graph differ by a tenth, at
    batch 32 XLA takes 1.9 times the steps, with widths of 8 more than three times; it compiles longer, 4 s in all.
    A run too short to win that back loses 2 s; a choice by its length would be worse, since the two compilers differ
    in the last bits, and a run that goes on with more steps must go on with the same one.
    """
    return jit != "off"


def compiler(jit: str) -> str:
    """Return what compiles the steps: ``XLA`` or ``TensorFlow graph``."""
    return "XLA" if keras.backend.backend() != "tensorflow" or choose_jit(jit) else "TensorFlow graph"
