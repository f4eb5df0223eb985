"""TensorFlow engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from vinci_offline.batches.source import Pool
from vinci_offline.training.engines.engine import Data, Engine, Look, Loop, Moment
from vinci_offline.training.engines.tracing import FastLayers
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.types import Metrics, Tensor


def barrier(value: Tensor) -> Tensor:
    """Return ``value``. XLA moves no transposition through this; it works only in functions that XLA compiles."""
    found: Tensor = gen_xla_ops.xla_optimization_barrier([value])[0]
    return found


class TensorFlowEngine(Engine):
    """Engine that runs hundreds of steps in one ``tf.function``.

    Args:
        learner: the learner, trained in place.
        data: the rows to draw from.
        batch_size: rows of a step.
        seed: key of every draw.
        jit: compile with XLA; otherwise run TensorFlow's graph.
    """

    def __init__(
        self,
        learner: Learner,
        data: Data,
        *,
        batch_size: int,
        seed: int,
        jit: bool = False,
    ) -> None:
        super().__init__(learner, data, batch_size=batch_size, seed=seed)
        self._jit = jit
        self._fast = FastLayers(learner.nets.models().values() if jit else (), barrier)

    def _compile(self, updates: Sequence[BoundUpdate], widths: Sequence[int]) -> Loop:
        def loop(start: Tensor, count: Tensor, columns: Pool) -> list[Tensor]:
            def body(step: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
                step = step + 1
                metrics = self._step(updates, widths, columns, Moment(step))
                return step, *(total + values for total, values in zip(sums, metrics, strict=True))

            zeros = [tf.zeros(width) for width in widths]
            sums: list[Tensor]
            _, *sums = tf.while_loop(
                lambda step, *_: step < start + count, body, [start, *zeros], parallel_iterations=1
            )
            return sums

        compiled = tf.function(loop, jit_compile=self._jit, autograph=False)

        def call(start: int, count: int) -> list[Tensor]:
            sums: list[Tensor] = compiled(tf.constant(start), tf.constant(count), self._columns)
            return sums

        return call

    def _compile_pure(self, function: Look) -> Look:
        compiled: Look = tf.function(function, jit_compile=self._jit, autograph=False)
        return compiled

    def _gradients(
        self, loss: Callable[[], tuple[Tensor, Metrics]], bound: BoundUpdate
    ) -> tuple[Tensor, Metrics, list[Tensor]]:
        values = [variable.value for variable in bound.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for value in values:
                tape.watch(value)
            with self._fast:
                result, metrics = loss()
        gradients = tape.gradient(result, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return result, metrics, gradients

    def _cond(self, due: Tensor, run: Callable[[], Tensor], otherwise: Callable[[], Tensor]) -> Tensor:
        return tf.cond(due, run, otherwise)
