"""Engines compile and run a learner's global steps. Only this room imports TensorFlow and JAX for training."""

from __future__ import annotations

from collections.abc import Hashable

import keras

from vinci_offline.errors import UsageError
from vinci_offline.training.engines.engine import Data, Engine
from vinci_offline.training.learner import Learner


def make_engine(
    learner: Learner,
    data: Data,
    *,
    batch_size: int,
    seed: int,
    jit: str = "auto",
    like: Hashable = None,
) -> Engine:
    """Make the engine of the Keras backend in use.

    Args:
        learner: the learner, trained in place.
        data: the rows to draw from.
        batch_size: rows of a step.
        seed: key of every draw.
        jit: ``auto``, ``on`` or ``off``.
        like: value that is equal for learners that differ in variables, initial weights and seed alone. On TensorFlow
            they share compiled functions; on JAX those of one call of `train` run side by side.

    Raises:
        UsageError: no engine exists for the backend.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        from vinci_offline.training.engines.tensorflow import TensorFlowEngine

        return TensorFlowEngine(
            learner, data, batch_size=batch_size, seed=seed, jit=choose_jit(jit), like=like
        )
    if backend == "jax":
        from vinci_offline.training.engines.jax import JaxEngine

        return JaxEngine(learner, data, batch_size=batch_size, seed=seed)
    raise UsageError(
        f"training needs Keras on tensorflow or jax, and its backend is {backend!r}: set KERAS_BACKEND"
    )


def choose_jit(jit: str) -> bool:
    """Return True if TensorFlow compiles with XLA, as ``auto`` and ``on`` do. JAX always compiles with XLA.

    Measured with TD3+BC on two CPU cores: with batch 256 and widths 256 the speeds differ by a tenth. With batch 32
    XLA takes 1.9 times as many steps a second, and with widths 8 more than three times as many. XLA compiles in 4 s,
    so a very short run loses 2 s. ``auto`` still ignores the length of the run: the compilers differ in the last bits,
    and a run that is resumed with more steps must keep its compiler.
    """
    return jit != "off"


def compiler(jit: str) -> str:
    """Return the name of the compiler: ``XLA`` or ``TensorFlow graph``."""
    return "XLA" if keras.backend.backend() != "tensorflow" or choose_jit(jit) else "TensorFlow graph"
