"""The compiled loop on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from vinci_offline.batches.source import Source
from vinci_offline.training.engines.engine import Engine, Loop, Moment
from vinci_offline.training.engines.tracing import traced_layers
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.types import Metrics, Tensor, Transitions


def barrier(value: Tensor) -> Tensor:
    """The identity, through which XLA moves no transposition; in functions that it compiles."""
    found: Tensor = gen_xla_ops.xla_optimization_barrier([value])[0]
    return found


class TensorFlowEngine(Engine):
    """Hundreds of gradient steps in one ``tf.function``.

    Args:
        learner: what to train, in place.
        transitions: leading axis N, copied to the device once; or a source of pools, copied one after the other.
        batch_size: rows a step.
        seed: keys every draw.
        jit: compile with XLA, or run TensorFlow's graph.
    """

    def __init__(
        self,
        learner: Learner,
        transitions: Transitions | Source,
        *,
        batch_size: int,
        seed: int,
        jit: bool = False,
    ) -> None:
        super().__init__(learner, transitions, batch_size=batch_size, seed=seed)
        self._jit = jit

    def _compile(self, updates: Sequence[BoundUpdate], widths: Sequence[int]) -> Loop:
        def loop(start: Tensor, count: Tensor, columns: Transitions) -> list[Tensor]:
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

    def _compile_pure(self, function: Callable[[Transitions, Tensor], Any]) -> Callable[..., Any]:
        compiled: Callable[..., Any] = tf.function(function, jit_compile=self._jit, autograph=False)
        return compiled

    def _gradients(
        self, loss: Callable[[], tuple[Tensor, Metrics]], bound: BoundUpdate
    ) -> tuple[Tensor, Metrics, list[Tensor]]:
        values = [variable.value for variable in bound.variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for value in values:
                tape.watch(value)
            with traced_layers(barrier) if self._jit else nullcontext():
                result, metrics = loss()
        gradients = tape.gradient(result, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return result, metrics, gradients

    def _cond(self, due: Tensor, run: Callable[[], Tensor], otherwise: Callable[[], Tensor]) -> Tensor:
        return tf.cond(due, run, otherwise)
