"""Datasets larger than memory: pools of shuffled rows. The next pool is read while one is trained on."""

from __future__ import annotations

import threading
import time
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor

import numpy as np

from vinci_offline.batches.names import DRAWN_ROW, FIRST_ROW, LAST_ROW
from vinci_offline.batches.reader import ColumnReader
from vinci_offline.batches.shuffle import Shuffle
from vinci_offline.batches.source import Pool, first_rows
from vinci_offline.data.hdf5.opening import files_kept_open
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.types import Array, Columns

_READ_BYTES = 2**22
_POOLS = 2
"""In memory at a time: one is trained on, one is read."""
_LARGEST_POOL = 2**31 - 1


class Stream:
    """Pools of randomly chosen blocks of rows. Each is in memory only while it is needed.

    Each row is in the pools once an epoch (`Shuffle`), and a pool is drawn from for as many steps as draw each of its
    rows once on average. So over an epoch a row is drawn a binomial number of times, as it is from memory. A pool
    depends on its number alone: a run that resumes at any step reads that step's pool anew, and there is no sampler
    state to keep. It does not depend on the run's seed, so runs of several seeds share what is read.

    A reader with trajectories needs whole runs. Blocks then end where runs end, so a pool cuts two runs at most, one at
    its beginning and one at its end. The columns hold the missing rows of these two besides the pool's own; only the
    pool's own are drawn, through the column `rows/drawn`.

    Args:
        reader: reads and prepares rows.
        budget: bytes that the pools may take together.
        batch_size: rows drawn a step.

    Raises:
        UsageError: the budget does not hold two batches, or not the longest run besides them.
    """

    def __init__(self, reader: ColumnReader, *, budget: int, batch_size: int) -> None:
        self._reader = reader
        rows = len(reader)
        self._like = reader.read(0, 1)
        self._runs = reader.runs if reader.trajectories else None
        self._row_bytes = sum(column.nbytes for column in self._like.values()) + 8 * reader.trajectories
        self._context = 0
        held = budget // _POOLS
        if self._runs is not None and rows * self._row_bytes > held:
            self._context = 2 * (self._runs.longest - 1)
            held -= self._context * self._row_bytes
        drawn_bytes = self._row_bytes + (4 if self._context else 0)
        self.pool_rows = min(rows, max(0, held) // drawn_bytes, _LARGEST_POOL - self._context)
        if self.pool_rows < (least := min(batch_size, rows)):
            needed = _POOLS * (least * drawn_bytes + self._context * self._row_bytes)
            runs = f" and the longest episode ({self._runs.longest:,} rows)" if self._runs is not None else ""
            raise UsageError(
                f"--memory-budget: {budget:,} bytes do not hold two batches of {batch_size}{runs}: "
                f"give at least {needed:,} bytes"
            )
        self.span = None if self.pool_rows == rows else max(1, round(self.pool_rows / batch_size))
        self.waited = 0.0
        self._shuffle = Shuffle(rows, self.pool_rows, None if self._runs is None else self._runs.first)
        self._closed = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="vinci-stream")
        self._next: tuple[int, Future[Columns]] | None = None

    def pool(self, generation: int) -> Pool:
        """Return the columns of a pool: the one that `prepare` began to read, or one read now.

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
                f"reading rows to train on failed: {describe(error)}. Check the file and the free memory, "
                "and go on with --resume"
            ) from error
        finally:
            self.waited += time.perf_counter() - began

    def prepare(self, generation: int) -> None:
        """Begin to read a pool. It replaces one that was begun before and that nobody took."""
        if self._next is not None:
            self._next[1].cancel()
        self._next = generation, self._thread.submit(self._read, generation)

    def dataset_rows(self, generation: int) -> Array:
        """Return the dataset's row behind each row of a pool's columns, int64; -1 where there is none."""
        rows = np.full(self.pool_rows + self._context, -1)
        found = np.concatenate([np.arange(*piece) for piece in self._pieces(generation).tolist()])
        rows[: len(found)] = found
        return rows

    def example(self, count: int) -> Pool:
        """Return the dataset's first rows."""
        count = min(count, len(self._reader))
        columns = self._reader.read(0, count)
        if self._runs is not None:
            first, last = self._runs.bounds(0, count)
            columns |= {FIRST_ROW: first.astype(np.int32), LAST_ROW: last.astype(np.int32)}
        return first_rows(columns, count)

    def close(self) -> None:
        """Stop reading at once, but for the few MiB at hand."""
        self._closed.set()
        self._thread.shutdown(cancel_futures=True)
        self._next = None

    def _pieces(self, generation: int) -> Array:
        """Return the pieces of the dataset that a pool's columns hold, one after the other: ``[K, 2]``."""
        own = self._shuffle.pieces(generation)
        return own if self._runs is None else self._runs.around(own)

    def _read(self, generation: int) -> Columns:
        size = self.pool_rows + self._context
        pool = {name: np.empty((size, *like.shape[1:]), like.dtype) for name, like in self._like.items()}
        most, place = max(1, _READ_BYTES // self._row_bytes), 0
        pieces = self._pieces(generation).tolist()
        with files_kept_open():
            for start, stop in (
                (at, min(at + most, last)) for first, last in pieces for at in range(first, last, most)
            ):
                if self._closed.is_set():
                    raise CancelledError
                for name, part in self._reader.read(start, stop).items():
                    pool[name][place : place + stop - start] = part
                place += stop - start
        for column in pool.values():
            column[place:] = 0
        return pool | self._run_columns(generation, size)

    def _run_columns(self, generation: int, size: int) -> Columns:
        """Return where each run begins and ends in a pool's columns, and which of their rows are drawn."""
        if self._runs is None:
            return {}
        own, pieces = self._shuffle.pieces(generation), self._pieces(generation)
        places = np.cumsum(pieces[:, 1] - pieces[:, 0]) - (pieces[:, 1] - pieces[:, 0])
        shift = places - pieces[:, 0]  # from a row of the dataset to its place in the columns
        columns = {name: np.zeros(size, np.int32) for name in (FIRST_ROW, LAST_ROW)}
        for (start, stop), place, moved in zip(pieces.tolist(), places.tolist(), shift.tolist(), strict=True):
            for name, bounds in zip(columns, self._runs.bounds(start, stop), strict=True):
                columns[name][place : place + stop - start] = bounds + moved
        if self._context:
            drawn = [
                np.arange(a, b) + moved for (a, b), moved in zip(own.tolist(), shift.tolist(), strict=True)
            ]
            columns[DRAWN_ROW] = np.concatenate(drawn).astype(np.int32)
        return columns
