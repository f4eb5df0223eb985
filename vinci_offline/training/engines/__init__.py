"""Engines: what compiles and runs a learner's global steps. Only here are TensorFlow and JAX named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import keras

from vinci_offline.errors import UsageError
from vinci_offline.types import Transitions

if TYPE_CHECKING:
    from vinci_offline.training.config import TrainingConfig
    from vinci_offline.training.learner import BoundUpdate, Learner


class Engine(Protocol):
    """Takes global steps of a learner, in place."""

    def run(self, updates: Sequence[BoundUpdate], start: int, count: int) -> dict[str, float]:
        """Take global steps ``start + 1 … start + count``; the mean of each metric over the steps it was made at."""
        ...


def make_engine(learner: Learner, transitions: Transitions, config: TrainingConfig) -> Engine:
    """The engine of the Keras backend in use.

    Raises:
        UsageError: there is none for it.
    """
    if keras.backend.backend() == "tensorflow":
        from vinci_offline.training.engines.tensorflow import TensorFlowEngine

        return TensorFlowEngine(
            learner, transitions, batch_size=config.batch_size, seed=config.seed, jit=choose_jit(config)
        )
    raise UsageError(
        f"training runs on Keras' tensorflow backend, and KERAS_BACKEND is {keras.backend.backend()!r}"
    )


def choose_jit(config: TrainingConfig) -> bool:
    """Whether to compile with XLA: ``auto`` does.

    Measured on two CPU cores, TD3+BC: at batch 256 and widths 256 XLA and TensorFlow's graph differ by a tenth, at
    batch 32 XLA takes 1.9 times the steps, with widths of 8 more than three times; it compiles 2 s longer.
    """
    return config.jit != "off"
