"""Base class of engines: a global step, written once over Keras variables.

A subclass adds the parts that differ between backends: the gradient, the conditional, and the compiled loop.
"""

from __future__ import annotations

import copy
import functools
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeAlias

from keras import ops

from vinci_offline.batches.batch import Batch, MissingColumnError
from vinci_offline.batches.rows import Rows, draw
from vinci_offline.batches.source import Pool, Resident, Source
from vinci_offline.errors import VinciError
from vinci_offline.functional import random
from vinci_offline.loading import describe
from vinci_offline.networks.nets import Networks
from vinci_offline.training.engines.metrics import global_norm, mean_metrics, norm_period, own_metrics
from vinci_offline.training.learner import BoundTarget, BoundUpdate, Learner
from vinci_offline.types import Array, Metrics, Tensor, Transitions

# Streams of random draws. Those of the updates count from zero.
_ROWS_STREAM = 1 << 16  # the rows of a step
_LOOK_STREAM = 1 << 17  # draws of `losses`
_BATCH_STREAM = 1 << 18  # draws of an agent's `batch`
_IMAGE_STREAM = 1 << 19  # moves of the images in a batch

Data: TypeAlias = Transitions | Mapping[str, Any] | Source
"""Data of an engine: transitions or a pool's columns, with leading axis N, or a source of pools."""

Loop: TypeAlias = Callable[[int, int], list[Any]]
"""Function of (start, count): take the steps and return the sums of each update's metrics."""

Look: TypeAlias = Callable[[Tensor, Pool, Tensor, Tensor, Tensor], list[Tensor]]
"""Function of (seed, pool, rows, draw, step): return the losses. ``seed`` and ``draw`` key the random draws."""


@dataclass(frozen=True)
class Moment:
    """Number of a global step, with its remainder that is known while the loop is traced.

    Attributes:
        step: scalar integer tensor, the step's number, counted from one.
        span: number of steps in one turn of the loop.
        place: ``step % span``.
    """

    step: Tensor
    span: int = 1
    place: int = 0

    def due(self, period: int) -> bool | Tensor:
        """Return True if ``period`` divides the step's number; a plain bool if ``place`` decides."""
        if self.span % period == 0:
            return self.place % period == 0
        return ops.equal(self.step % period, 0)


class Engine(ABC):
    """Compiled global steps of a learner over rows on the device.

    Step ``t`` draws rows with replacement. The agent makes one batch of them, and each selected update gets it in
    turn. Each draw is keyed by (seed, t), so K steps in one call equal K calls of one step, bit for bit.

    Args:
        learner: the learner, trained in place.
        data: the rows to draw from; engines may share a source.
        batch_size: rows of a step.
        seed: key of every draw.

    Attributes:
        side_by_side: True if `run_members` steps all members in one call.
    """

    side_by_side: ClassVar[bool] = False

    def __init__(self, learner: Learner, data: Data, *, batch_size: int, seed: int) -> None:
        self._learner = learner
        self._source = Resident(data) if isinstance(data, Transitions | Mapping) else data
        self._generation: int | None = None
        self._columns: Pool = {}
        self._batch_size = batch_size
        self._seed: int | Tensor = seed
        self._loops: dict[tuple[int, ...], tuple[Loop, list[list[str]]]] = {}
        self._looks: dict[tuple[bool, tuple[int, ...]], Look] = {}

    def run(self, updates: Sequence[BoundUpdate], start: int, count: int) -> dict[str, float]:
        """Take global steps ``start + 1 … start + count`` with these updates.

        Returns:
            The mean of each metric over the steps at which its update ran; of the gradient norm, over every
            sixteenth of these. A stream adds ``stream/wait``: the share of the time spent waiting for rows.

        Raises:
            VinciError: rows cannot be read.
        """
        selection = tuple(bound.stream for bound in updates)
        if selection not in self._loops:
            names = self._metric_names(updates)
            self._loops[selection] = self._compile(updates, [len(each) for each in names]), names
        loop, names = self._loops[selection]
        totals, told = self._totals(loop, start, count)
        return mean_metrics(updates, names, totals, start, count) | told

    def run_members(
        self, members: Sequence[Engine], updates: Sequence[BoundUpdate], start: int, count: int
    ) -> list[dict[str, float]]:
        """Run several engines of like learners on the same data, here one after another.

        Args:
            members: engines with a learner each; this engine may be one of them.
            updates: updates of this engine's learner; each member runs those with the same stream.
            start: the global step before the first.
            count: number of steps.

        Returns:
            The result of `run` for each member.
        """
        places = [bound.stream for bound in updates]
        return [
            member.run([member._learner.updates[place] for place in places], start, count)
            for member in members
        ]

    def varies(self, name: str) -> bool:
        """Return True where members of `run_members` may differ in a number of their agents, here in any.

        Args:
            name: the setting.
        """
        return True

    def check(self) -> None:
        """Compute every loss once, uncompiled, with the validation losses.

        Raises:
            VinciError: a loss fails or is no scalar; the message names the line.
        """
        self._metric_names(self._learner.updates)
        batch, step = self._example()
        for bound in self._learner.updates:
            if bound.update.validation_loss is not None:
                key = random.key(0, step, bound.stream)
                _metrics(bound.update.name, bound.update.validate, self._learner.nets, batch, key, step)

    def _totals(self, loop: Loop, start: int, count: int) -> tuple[list[Any], dict[str, float]]:
        """Run the loop; return the sums of each update's metrics, and the metrics of the source."""
        began, waited = time.perf_counter(), self._source.waited
        totals: list[Any] = []
        for first, steps in self._parts(start, count):
            # The conversion waits for the steps, so the next pool does not replace this one too early.
            sums = [ops.convert_to_numpy(each) for each in loop(first, steps)]
            totals = [total + each for total, each in zip(totals, sums, strict=True)] if totals else sums
        if not count or self._source.span is None:
            return totals, {}
        waited = self._source.waited - waited
        return totals, {"stream/wait": waited / (time.perf_counter() - began)}

    def _parts(self, start: int, count: int) -> Iterator[tuple[int, int]]:
        """Cut ``count`` steps after ``start`` at changes of the pool; load each part's pool into ``_columns``.

        Yields:
            The step before the part, and its number of steps. A count of 0 gives one part.
        """
        span, stop = self._source.span, start + count
        while True:
            end = stop if span is None else min(stop, (start // span + 1) * span)
            self._load(start)
            yield start, end - start
            if end == stop:
                return
            start = end

    def _load(self, start: int) -> None:
        """Load the pool of step ``start + 1`` onto the device."""
        span = self._source.span
        generation = 0 if span is None else start // span
        if generation == self._generation:
            return
        pool = self._source.pool(generation)
        self._columns = {}  # free the last pool before the copy: at most two are in memory
        # Tensors, not NumPy: the trace would copy NumPy arrays into the graph as constants.
        self._columns = _tensors(pool)
        self._generation = generation
        del pool
        if span is not None:
            self._source.prepare(generation + 1)

    def drawn(self, step: int) -> tuple[Array, Array]:
        """Return the rows that a global step draws, as ``[B]`` dataset rows and as ``[B]`` rows of its pool."""
        self._load(step - 1)
        rows = ops.convert_to_numpy(self._draw(self._columns, ops.convert_to_tensor(step)).index)
        return self._source.dataset_rows(self._generation or 0)[rows], rows

    def losses(
        self,
        updates: Sequence[BoundUpdate],
        batches: Iterable[Array],
        pool: Mapping[str, Tensor] | None = None,
        *,
        step: int,
        validation: bool = False,
    ) -> dict[str, float]:
        """Return each update's mean loss over batches, by the update's name. No variable changes.

        Draws are keyed by the index of the batch alone. Two calls differ only if the variables changed between them,
        or if a loss depends on the step.

        Args:
            updates: the updates.
            batches: rows of the pool, ``[B]`` int32 each.
            pool: tensors by name; None takes the pool on the device.
            step: the global step, for losses that ask for it.
            validation: compute the validation losses of the updates that have one.
        """
        kind = (validation, tuple(bound.stream for bound in updates))
        if kind not in self._looks:
            self._looks[kind] = self._compile_pure(kind, functools.partial(self._look, updates, validation))
        look, at = self._looks[kind], ops.convert_to_tensor(step)
        seed = random.words(self._seed) if isinstance(self._seed, int) else self._seed
        columns = dict(self._columns if pool is None else pool)
        each = [
            [
                float(loss)
                for loss in look(
                    seed,
                    columns,
                    ops.convert_to_tensor(index, dtype="int32"),
                    ops.convert_to_tensor(place),
                    at,
                )
            ]
            for place, index in enumerate(batches)
        ]
        means = (sum(values) / len(each) for values in zip(*each, strict=True))
        return {bound.update.name: mean for bound, mean in zip(updates, means, strict=True)}

    @abstractmethod
    def _compile(self, updates: Sequence[BoundUpdate], widths: Sequence[int]) -> Loop:
        """Compile the loop of `_step`. It sums the metrics; ``widths`` are their numbers, by update."""

    @abstractmethod
    def _compile_pure(self, kind: Hashable, function: Look) -> Look:
        """Compile a function that reads the learner's variables and assigns none; ``kind`` is its name."""

    @abstractmethod
    def _gradients(
        self, loss: Callable[[], tuple[Tensor, Metrics]], bound: BoundUpdate
    ) -> tuple[Tensor, Metrics, list[Tensor]]:
        """Return the loss, its metrics, and its gradients with respect to the update's variables alone."""

    @abstractmethod
    def _cond(self, due: Tensor, run: Callable[[], Tensor], otherwise: Callable[[], Tensor]) -> Tensor:
        """Return ``run()`` if ``due``, otherwise ``otherwise()``. Both may assign variables."""

    def _step(self, updates: Sequence[BoundUpdate], widths: Sequence[int], columns: Pool, now: Moment) -> Any:
        """Take one global step; return each update's metrics as a vector."""
        batch = self._batch(self._draw(columns, now.step), now.step)
        if self._learner.image_shift is not None:
            batch = self._learner.image_shift(batch, random.key(self._seed, now.step, _IMAGE_STREAM))
        return [self._apply(bound, batch, now, width) for bound, width in zip(updates, widths, strict=True)]

    def _draw(self, columns: Pool, step: Tensor) -> Rows:
        """Draw the rows of one step, with replacement."""
        return draw(columns, random.key(self._seed, step, _ROWS_STREAM), self._batch_size)

    def _batch(self, rows: Rows, step: Tensor) -> Batch:
        return self._learner.agent.batch(rows, random.key(self._seed, step, _BATCH_STREAM))

    def _keyed(self, seed: Tensor) -> Self:
        """Return a copy of this engine whose seed is an input of the compiled function."""
        one = copy.copy(self)
        one._seed = seed
        return one

    def _look(
        self,
        updates: Sequence[BoundUpdate],
        validation: bool,
        seed: Tensor,
        pool: Pool,
        index: Tensor,
        draw: Tensor,
        step: Tensor,
    ) -> list[Tensor]:
        batch = self._keyed(seed)._batch(Rows(pool, index), draw)
        losses = []
        for bound in updates:
            key = random.key(seed, draw, _LOOK_STREAM + bound.stream)
            call = bound.update.validate if validation else bound.update.call
            losses.append(call(self._learner.nets, batch, key, step)[0])
        return losses

    def _apply(self, bound: BoundUpdate, batch: Batch, now: Moment, width: int) -> Tensor:
        """Run an update if its period divides the step; otherwise return zeros."""
        every = bound.update.every

        def run() -> Tensor:
            metrics = self._update(bound, batch, now.step)
            for each in bound.targets:
                # With equal periods the target is due whenever the update is.
                due = each.target.every == every or now.due(each.target.every)
                self._when(due, functools.partial(_track, each), lambda: ops.zeros(()))
            _follow(bound.averaged, bound.average_rate)
            return ops.stack([ops.cast(value, "float32") for value in metrics.values()])

        return self._when(now.due(every), run, lambda: ops.zeros((width,)))

    def _when(self, due: bool | Tensor, run: Callable[[], Tensor], otherwise: Callable[[], Tensor]) -> Tensor:
        if isinstance(due, bool):
            return run() if due else otherwise()
        return self._cond(due, run, otherwise)

    def _update(self, bound: BoundUpdate, batch: Batch, step: Tensor) -> Metrics:
        update = bound.update
        key = random.key(self._seed, step, bound.stream)
        loss, metrics, gradients = self._gradients(
            lambda: _penalised(bound, *update.call(self._learner.nets, batch, key, step)), bound
        )
        # The branches assign no variable, so `ops.cond` serves.
        seen = ops.equal(step % norm_period(bound), 0)
        norm = ops.cond(seen, lambda: global_norm(gradients), lambda: ops.zeros(()))
        own = [loss, norm, *([bound.optimizer.learning_rate] if bound.scheduled else [])]
        bound.optimizer.apply(gradients, list(bound.variables))
        if update.reset_below is not None:
            _reset_where(norm < update.reset_below, bound)
        return {**dict(zip(own_metrics(bound), own, strict=True)), **metrics}

    def _metric_names(self, updates: Sequence[BoundUpdate]) -> list[list[str]]:
        # The loop needs the number of metrics before its body is traced. One uncompiled call of each loss gives
        # their names. It changes no variable, and an error in a user's loss shows here with its line.
        batch, step = self._example()
        names = []
        for bound in updates:
            key = random.key(0, step, bound.stream)
            metrics = _metrics(bound.update.name, bound.update.call, self._learner.nets, batch, key, step)
            names.append([*own_metrics(bound), *metrics])
        return names

    def _example(self) -> tuple[Batch, Tensor]:
        """Return a batch of the first rows, and the step 0 that it is drawn at."""
        pool = _tensors(self._source.example(self._batch_size))
        step = ops.convert_to_tensor(0)
        try:
            batch = self._batch(draw(pool, random.key(0, step, _ROWS_STREAM), self._batch_size), step)
        except VinciError:
            raise
        except Exception as error:
            raise VinciError(
                f"agent {self._learner.agent.name!r}: batch() failed: {describe(error)}"
            ) from error
        return batch, step


def _tensors(columns: Mapping[str, Any]) -> Pool:
    return {name: ops.convert_to_tensor(column) for name, column in columns.items()}


def _metrics(
    name: str,
    call: Callable[[Networks, Batch, Tensor, Tensor], tuple[Tensor, Metrics]],
    nets: Networks,
    batch: Batch,
    key: Tensor,
    step: Tensor,
) -> Metrics:
    try:
        loss, metrics = call(nets, batch, key, step)
    except Exception as error:
        if isinstance(error, VinciError) and not isinstance(error, MissingColumnError):
            raise
        raise VinciError(f"the loss of {name!r} failed: {describe(error)}") from error
    if tuple(loss.shape) != ():
        raise VinciError(
            f"the loss of {name!r} has shape {tuple(loss.shape)}: return a scalar, such as ops.mean(...)"
        )
    return metrics


def _penalised(bound: BoundUpdate, loss: Tensor, metrics: Metrics) -> tuple[Tensor, Metrics]:
    """Add the penalties of the regularizers of the weights that the update trains."""
    for variable in bound.variables:
        if variable.regularizer is not None:
            loss = loss + variable.regularizer(ops.convert_to_tensor(variable))
    return loss, metrics


def _track(bound: BoundTarget) -> Tensor:
    _follow(bound.pairs, bound.target.tau)
    return ops.zeros(())


def _follow(pairs: Sequence[tuple[Any, Any]], rate: float) -> None:
    """Move ``target += rate * (online - target)`` (Lillicrap et al., 2016, algorithm 1); with rate 1 copy."""
    copied = isinstance(rate, int | float) and rate == 1.0  # a traced rate is no number yet
    for target, online in pairs:
        if copied or not target.dtype.startswith("float"):
            target.assign(online)
        else:
            target.assign(target + rate * (online - target))


def _reset_where(flat: Tensor, bound: BoundUpdate) -> None:
    """Reset an update to its initial weights if ``flat``: a saturated actor does not recover by itself."""
    initial = {id(variable): value for variable, value in zip(bound.variables, bound.initial, strict=True)}
    followers = [pair for each in bound.targets for pair in each.pairs]
    own = [(variable, variable) for variable in bound.variables]
    for follower, online in [*own, *followers]:
        if id(online) in initial:
            follower.assign(ops.where(flat, initial[id(online)], follower.value))
    rate = bound.optimizer.learning_rate  # no variable if it is scheduled
    for slot in bound.optimizer.variables:
        if slot is not rate:
            slot.assign(ops.where(flat, ops.zeros_like(slot.value), slot.value))
