"""The compiled loop on TensorFlow: hundreds of gradient steps in one call over device-resident transitions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from keras import ops

from vinci_offline.agents.agent import Networks
from vinci_offline.functional import random
from vinci_offline.training.learner import BoundUpdate, Learner
from vinci_offline.types import Metrics, Tensor, Transitions

_BATCH_STREAM = 1 << 16  # apart from the updates' own streams, which count from zero


class TensorFlowEngine:
    """Runs global steps of a learner.

    Step ``t`` draws one batch, with replacement, and gives it to every selected update in turn. Whatever is drawn
    is keyed by (seed, t), so K steps in one call equal K calls of one step, bit for bit.

    Args:
        learner: what to train, in place.
        transitions: NumPy arrays with leading axis N; copied to the device once.
        batch_size: rows a step.
        seed: keys every draw.
        jit: compile with XLA, or run TensorFlow's graph.
    """

    def __init__(
        self, learner: Learner, transitions: Transitions, *, batch_size: int, seed: int, jit: bool = False
    ) -> None:
        self._learner = learner
        # Tensors, never NumPy: a constant closed over by the trace would be copied into the graph.
        self._columns = Transitions(*(tf.convert_to_tensor(column) for column in transitions))
        self._rows = len(transitions.reward)
        self._batch_size = batch_size
        self._seed = seed
        self._jit = jit
        self._compiled: dict[tuple[int, ...], tuple[Any, list[list[str]]]] = {}

    def run(self, updates: Sequence[BoundUpdate], start: int, count: int) -> dict[str, float]:
        """Take global steps ``start + 1 … start + count`` with these updates.

        Returns:
            The mean of each metric over the steps at which its update ran.
        """
        selection = tuple(bound.stream for bound in updates)
        if selection not in self._compiled:
            self._compiled[selection] = self._compile(updates)
        loop, names = self._compiled[selection]
        sums = loop(tf.constant(start, tf.int32), tf.constant(count, tf.int32), self._columns)
        means: dict[str, float] = {}
        for bound, update_names, total in zip(updates, names, sums, strict=True):
            ran = (start + count) // bound.update.every - start // bound.update.every
            if ran:
                means.update(zip(update_names, (total.numpy() / ran).tolist(), strict=True))
        return means

    def _compile(self, updates: Sequence[BoundUpdate]) -> tuple[Any, list[list[str]]]:
        # The loop's carry must have its shape before the body is traced, so one uncompiled look at the losses
        # finds their metrics; it moves nothing, and a mistake in a user's loss shows here with its own line.
        batch = self._batch(self._columns, tf.constant(0))
        names = [_metric_names(bound, self._learner.nets, batch) for bound in updates]

        def loop(start: Tensor, count: Tensor, columns: Transitions) -> list[Tensor]:
            def body(step: Tensor, *sums: Tensor) -> tuple[Tensor, ...]:
                step = step + 1
                batch = self._batch(columns, step)
                return step, *(
                    total + self._apply(bound, batch, step, total.shape[0])
                    for bound, total in zip(updates, sums, strict=True)
                )

            zeros = [tf.zeros(len(update_names)) for update_names in names]
            sums: list[Tensor]
            _, *sums = tf.while_loop(
                lambda step, *_: step < start + count, body, [start, *zeros], parallel_iterations=1
            )
            return sums

        return tf.function(loop, jit_compile=self._jit, autograph=False), names

    def _batch(self, columns: Transitions, step: Tensor) -> Transitions:
        key = random.key(self._seed, step, _BATCH_STREAM)
        rows = random.integers(key, (self._batch_size,), self._rows)
        return Transitions(*(tf.gather(column, rows) for column in columns))

    def _apply(self, bound: BoundUpdate, batch: Transitions, step: Tensor, width: int) -> Tensor:
        """Run one update where its period divides the step; its metrics as a vector, zeros where it did not run."""

        def run() -> Tensor:
            metrics = self._update(bound, batch, step)
            if bound.tracked:
                # Where the two periods agree, the update's own test has passed already.
                period = 1 if bound.update.track_every == bound.update.every else bound.update.track_every
                _when(step, period, lambda: _track(bound), lambda: tf.constant(0))
            return tf.stack([tf.cast(value, tf.float32) for value in metrics.values()])

        return _when(step, bound.update.every, run, lambda: tf.zeros(width))

    def _update(self, bound: BoundUpdate, batch: Transitions, step: Tensor) -> Metrics:
        update, variables = bound.update, list(bound.variables)
        key = random.key(self._seed, step, bound.stream)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable.value)
            loss, metrics = update.loss(self._learner.nets, batch, key)
        gradients = tape.gradient(loss, [variable.value for variable in variables])
        norm = tf.linalg.global_norm(gradients)
        bound.optimizer.apply(gradients, variables)
        if update.reset_below is not None:
            _reset_where(norm < update.reset_below, bound)
        return {f"loss/{update.trains}": loss, f"gradient_norm/{update.trains}": norm, **metrics}


def _metric_names(bound: BoundUpdate, nets: Networks, batch: Transitions) -> list[str]:
    _, metrics = bound.update.loss(nets, batch, random.key(0, tf.constant(0), bound.stream))
    return [f"loss/{bound.update.trains}", f"gradient_norm/{bound.update.trains}", *metrics]


def _when(step: Tensor, period: int, run: Callable[[], Tensor], otherwise: Callable[[], Tensor]) -> Tensor:
    return run() if period == 1 else tf.cond(step % period == 0, run, otherwise)


def _track(bound: BoundUpdate) -> Tensor:
    """``target += tau * (online - target)`` (Lillicrap et al., 2016, algorithm 1); a copy where tau is one."""
    for target, online in bound.tracked:
        if bound.update.tau == 1.0 or not target.dtype.startswith("float"):
            target.assign(online)
        else:
            target.assign(target + bound.update.tau * (online - target))
    return tf.constant(0)


def _reset_where(flat: Tensor, bound: BoundUpdate) -> None:
    """Return to the initial weights where the gradient is flat: a saturated actor does not recover by itself."""
    for variable, initial in zip(bound.variables, bound.initial, strict=True):
        variable.assign(ops.where(flat, initial, variable))
    trainable = [target for target, online in bound.tracked if any(online is v for v in bound.variables)]
    for target, initial in zip(trainable, bound.initial, strict=bool(bound.tracked)):
        target.assign(ops.where(flat, initial, target))
    for slot in bound.optimizer.variables:
        if slot is not bound.optimizer.learning_rate:
            slot.assign(ops.where(flat, ops.zeros_like(slot), slot))
