"""TensorFlow engine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

import tensorflow as tf
from tensorflow.compiler.tf2xla.ops import gen_xla_ops

from vinci_offline.batches.source import Pool
from vinci_offline.functional import random
from vinci_offline.training.engines.engine import Data, Engine, Look, Loop, Moment
from vinci_offline.training.engines.programs import SHARED, Programs
from vinci_offline.training.engines.tracing import FastLayers
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.types import Metrics, Tensor


def barrier(value: Tensor) -> Tensor:
    """Return ``value``. XLA moves no transposition through this; it works only in functions that XLA compiles."""
    found: Tensor = gen_xla_ops.xla_optimization_barrier([value])[0]
    return found


class TensorFlowEngine(Engine):
    """Engine that runs hundreds of steps in one ``tf.function``.

    Like learners share the compiled functions: seed, initial weights and variables are inputs of these.

    Args:
        learner: the learner, trained in place.
        data: the rows to draw from.
        batch_size: rows of a step.
        seed: key of every draw.
        jit: compile with XLA; otherwise run TensorFlow's graph.
        like: value that is equal for learners that differ in variables, initial weights and seed alone; None shares
            with nobody.
    """

    def __init__(
        self,
        learner: Learner,
        data: Data,
        *,
        batch_size: int,
        seed: int,
        jit: bool = False,
        like: Hashable = None,
    ) -> None:
        super().__init__(learner, data, batch_size=batch_size, seed=seed)
        self._jit = jit
        self._fast = FastLayers(learner.nets.models().values() if jit else (), barrier)
        self._variables = list(learner.variables().values())
        values: list[Any] = [variable.value for variable in self._variables]
        layouts = tuple((str(value.dtype), tuple(value.shape), value.device) for value in values)
        self._like = (like, jit, batch_size, layouts)
        self._programs = Programs() if like is None else SHARED

    def _compile(self, updates: Sequence[BoundUpdate], widths: Sequence[int]) -> Loop:
        def loop(
            seed: Tensor, initial: list[list[Tensor]], start: Tensor, count: Tensor, columns: Pool
        ) -> list[Tensor]:
            keyed = self._keyed(seed)
            starts: list[Any] = [tuple(each) for each in initial]
            bounds = [replace(b, initial=start) for b, start in zip(updates, starts, strict=True)]

            def body(step: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
                step = step + 1
                metrics = keyed._step(bounds, widths, columns, Moment(step))
                return step, *(total + values for total, values in zip(sums, metrics, strict=True))

            zeros = [tf.zeros(width) for width in widths]
            sums: list[Tensor]
            _, *sums = tf.while_loop(
                lambda step, *_: step < start + count, body, [start, *zeros], parallel_iterations=1
            )
            return sums

        seed = random.words(int(self._seed))
        initial = [[tf.constant(value) for value in bound.initial] for bound in updates]
        program = self._program(("loop", *(bound.stream for bound in updates)), loop)

        def call(start: int, count: int) -> list[Tensor]:
            return program(seed, initial, tf.constant(start), tf.constant(count), self._columns)

        return call

    def _compile_pure(self, kind: Hashable, function: Look) -> Look:
        return self._program(("look", kind), function)

    def _program(self, kind: Hashable, function: Callable[..., list[Tensor]]) -> Callable[..., list[Tensor]]:
        def call(*args: Any) -> list[Tensor]:
            return self._programs.run((self._like, kind), function, self._jit, self._variables, args)

        return call

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
