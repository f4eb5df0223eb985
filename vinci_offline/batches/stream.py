"""Datasets larger than memory: pools of shuffled rows, the next one read while one is trained on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import numpy as np

from vinci_offline.batches.shuffle import Shuffle
from vinci_offline.batches.source import Resident, Source
from vinci_offline.batches.transitions import TransitionReader, load_transitions
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.hdf5.opening import files_kept_open
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.training.config import TrainingConfig
from vinci_offline.types import Array, Transitions

_READ_BYTES = 2**22
_POOLS = 2
"""In memory at a time: one is trained on, one is read."""


class Stream:
    """Pools of randomly chosen blocks of rows, each in memory only while it is needed.

    Each row is in the pools once an epoch (`Shuffle`), and a pool is for as many steps as draw each of its rows once
    on average. So over an epoch a row is drawn a binomial number of times, as it is from memory. A pool depends on
    its number alone: a run that goes on at any step reads the pool of that step anew, and there is no sampler state
    to keep. Nor does it depend on the run's seed, so that runs of several seeds can share what is read.

    Args:
        reader: reads and prepares rows.
        budget: bytes that the pools may take together.
        batch_size: rows drawn a step.

    Raises:
        UsageError: the budget does not hold two batches.
    """

    def __init__(self, reader: TransitionReader, *, budget: int, batch_size: int) -> None:
        self._reader = reader
        self._like = reader.read(0, 1)
        self._row_bytes = _bytes(self._like)
        rows = len(reader)
        self.pool_rows = min(rows, budget // (_POOLS * self._row_bytes), 2**31 - 1)
        if self.pool_rows < min(batch_size, rows):
            raise UsageError(
                f"--memory-budget: {budget:,} bytes do not hold two batches of {batch_size}: "
                f"give at least {_POOLS * batch_size * self._row_bytes:,} bytes"
            )
        self.span = None if self.pool_rows == rows else max(1, round(self.pool_rows / batch_size))
        self.waited = 0.0
        self._shuffle = Shuffle(rows, self.pool_rows)
        self._closed = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vinci-stream")
        self._next: tuple[int, Future[Transitions]] | None = None

    def pool(self, generation: int) -> Transitions:
        """The rows of a pool: those that `prepare` began to read, or read now.

        Raises:
            VinciError: they cannot be read.
        """
        began = time.perf_counter()
        if self._next is None or self._next[0] != generation:
            self.prepare(generation)
        assert self._next is not None
        # Only the caller may hold the rows on: a future that is kept would keep them.
        future, self._next = self._next[1], None
        try:
            return future.result()
        except VinciError:
            raise
        except Exception as error:
            raise VinciError(
                f"reading rows to train on failed: {describe(error)}. Look after the file and the memory, "
                "and go on with --resume"
            ) from error
        finally:
            self.waited += time.perf_counter() - began

    def prepare(self, generation: int) -> None:
        """Begin to read a pool, in place of the one that was begun before if nobody took that."""
        if self._next is not None:
            self._next[1].cancel()
        self._next = generation, self._thread.submit(self._read, generation)

    def dataset_rows(self, generation: int) -> Array:
        """``[P]`` int64: the dataset's row behind each row of a pool."""
        return self._shuffle.pool(generation)

    def example(self, count: int) -> Transitions:
        """The dataset's first rows."""
        return self._reader.read(0, min(count, len(self._reader)))

    def close(self) -> None:
        """Stop reading; at once, but for the few MiB at hand."""
        self._closed.set()
        self._thread.shutdown(cancel_futures=True)
        self._next = None

    def _read(self, generation: int) -> Transitions:
        pool = Transitions(*(np.empty((self.pool_rows, *c.shape[1:]), c.dtype) for c in self._like))
        most, place = max(1, _READ_BYTES // self._row_bytes), 0
        pieces = self._shuffle.pieces(generation).tolist()
        with files_kept_open():
            for start, stop in (
                (at, min(at + most, last)) for first, last in pieces for at in range(first, last, most)
            ):
                if self._closed.is_set():
                    raise CancelledError
                for column, part in zip(pool, self._reader.read(start, stop), strict=True):
                    column[place : place + stop - start] = part
                place += stop - start
        return pool


def choose_memory(datasets: Sequence[Dataset], config: TrainingConfig) -> str:
    """``device`` or ``stream``: ``auto`` streams where the transitions would take more than the budget."""
    if config.memory != "auto":
        return config.memory
    # One row alone: sums over more steps take no more memory, and need to know where episodes end.
    row = TransitionReader(datasets[0]).read(0, 1)
    return "stream" if sum(map(len, datasets)) * _bytes(row) > config.budget() else "device"


def open_source(dataset: Dataset, config: TrainingConfig) -> Source:
    """The rows of a dataset for an engine: streamed where ``config.memory`` says so, otherwise all of them.

    Raises:
        VinciError: the rows cannot be trained on, or not within the budget.
    """
    if config.memory != "stream":
        return Resident(load_transitions(dataset, config.gamma, config.n_step))
    reader = TransitionReader(dataset, config.gamma, config.n_step)
    dataset.check_finite()
    return Stream(reader, budget=config.budget(), batch_size=config.batch_size)


def _bytes(row: Transitions) -> int:
    return sum(column.nbytes for column in row)
