"""Recording shards until the dataset is complete, in this process or in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.envs.collect.job import Job
from vinci_offline.envs.collect.meter import Report
from vinci_offline.envs.collect.recorder import Recorder
from vinci_offline.envs.collect.shards import ShardFolder
from vinci_offline.envs.processes import GUARD, exit_code_of, start_worker, stop_workers
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.files import drop_unfinished
from vinci_offline.loading import describe

if TYPE_CHECKING:
    import gymnasium

_MOST_WORKERS = 64


def check_workers(workers: int) -> None:
    """Refuse too many processes for the machine, and workers that would start workers.

    Raises:
        UsageError: there are many more workers than cores, or this is a worker that runs its script again.
    """
    if workers > 1 and getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UsageError(f"each worker imports the script that starts it: {GUARD}")
    most = max(_MOST_WORKERS, 4 * (os.cpu_count() or 1))
    if workers > most:
        raise UsageError(f"--workers {workers}: this machine has {os.cpu_count()} cores; give at most {most}")


class Ledger:
    """Account of finished, taken and missing shards.

    Attributes:
        rows: the rows of each finished shard.

    Args:
        job: the collection.
        finished: the rows of the shards that are finished already.
    """

    def __init__(self, job: Job, finished: dict[int, int]) -> None:
        self._plan = job.plan
        self.rows = finished
        self._taken = set(finished)

    def rows_before(self, index: int) -> int:
        """Return the rows of all shards before this one, as far as they are known."""
        return sum(rows for shard, rows in self.rows.items() if shard < index)

    def needed(self, index: int) -> int | None:
        """Return the most rows of a shard that the dataset may need; None for all."""
        return None if self._plan.steps is None else self._plan.steps - self.rows_before(index)

    def complete(self) -> bool:
        """Return True where the finished shards, without a gap, make the whole dataset."""
        index, rows = 0, 0
        while index in self.rows:
            rows += self.rows[index]
            if self._plan.steps is not None and rows >= self._plan.steps:
                return True
            index += 1
        return self._plan.shard(index) is None

    def take(self) -> int | None:
        """Take the next free shard; None where no more are needed."""
        index = next(number for number in range(len(self._taken) + 1) if number not in self._taken)
        needed = self.needed(index)
        if self._plan.shard(index) is None or (needed is not None and needed <= 0):
            return None
        self._taken.add(index)
        return index


def record_here(
    job: Job, folder: ShardFolder, ledger: Ledger, env: gymnasium.Env[Any, Any], report: Report
) -> None:
    """Record the missing shards in this process."""
    recorder = Recorder(job, env, report, lambda index: (folder.read(index), folder.lengths(index)))
    while not ledger.complete():
        index = ledger.take()
        assert index is not None
        try:
            columns, lengths = recorder.record(index, ledger.rows_before(index), ledger.needed(index))
        except (VinciError, OSError, MemoryError):
            raise
        except Exception as error:
            raise failed(describe(error)) from error
        ledger.rows[index] = folder.publish(index, columns, lengths)


def record_elsewhere(job: Job, folder: ShardFolder, ledger: Ledger, workers: int, report: Report) -> None:
    """Record the missing shards in worker processes. A worker that ends a shard takes the next one.

    Earlier shards may turn out to be long enough. Then later shards are thrown away.

    Raises:
        UsageError: the job cannot be sent to another process.
        VinciError: a worker failed. Finished shards stay.
    """
    try:
        message = pickle.dumps((job, str(folder.path)))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"the policy or the environment cannot be sent to a worker process ({error}): "
            "use --workers 1, or a function at the top level of a module"
        ) from error
    pool = Pool(ledger, message, report)
    try:
        pool.start(workers)
        while not ledger.complete():
            pool.receive()
    finally:
        pool.stop()
        # A worker that was stopped while it wrote a shard has left it under a temporary name.
        drop_unfinished(folder.path)


def failed(reason: str) -> VinciError:
    """Return the error for an exception of the policy or the environment."""
    return VinciError(
        f"recording failed: {reason}. Finished shards are kept: correct it and go on with --resume"
    )


class Pool:
    """Worker processes and their shards.

    Args:
        ledger: the account of shards.
        message: the job and the folder of shards, pickled.
        report: called with the steps and episodes recorded since the last call.
    """

    def __init__(self, ledger: Ledger, message: bytes, report: Report) -> None:
        self._ledger, self._message, self._report = ledger, message, report
        self._processes: dict[Connection, Any] = {}
        self._busy: dict[Connection, int] = {}

    def start(self, workers: int) -> None:
        """Start the workers, but no more than there are shards."""
        while len(self._processes) < workers and (index := self._ledger.take()) is not None:
            self._send(start_worker(self._processes, _work, self._message), index)

    def receive(self) -> None:
        """Wait for messages of the workers, and handle them."""
        for worker in wait(list(self._processes)):
            assert isinstance(worker, Connection)
            try:
                kind, content = worker.recv()
            except (EOFError, ConnectionResetError):
                code = exit_code_of(self._processes.pop(worker))
                raise VinciError(
                    f"a worker process died (exit code {code}): finished shards are kept, go on with "
                    f"--resume. If memory ran out, take fewer workers or lanes; in a script, {GUARD}"
                ) from None
            if kind == "recorded":
                self._report(*content)
            elif kind == "finished":
                self._finished(worker, *content)
            elif kind == "refused":
                raise content
            else:
                raise failed(content)

    def stop(self) -> None:
        """End the workers. The dataset is complete, or the collection failed."""
        stop_workers(self._processes.values())

    def _finished(self, worker: Connection, index: int, rows: int) -> None:
        ledger = self._ledger
        ledger.rows[index] = rows
        del self._busy[worker]
        # The rows of this shard are known now: fewer rows of later shards may be needed.
        for other, under_way in self._busy.items():
            needed = ledger.needed(under_way)
            if under_way > index and needed is not None and needed > 0:
                other.send(("needed", (under_way, needed)))
        following = ledger.take()
        if following is not None:
            self._send(worker, following)

    def _send(self, worker: Connection, index: int) -> None:
        self._busy[worker] = index
        worker.send(("shard", (index, self._ledger.rows_before(index), self._ledger.needed(index))))


def _work(connection: Connection, message: bytes) -> None:
    """Record shards on the parent's orders until the pipe closes."""
    try:
        job, path = pickle.loads(message)  # noqa: S301 - sent by our own parent
        folder = ShardFolder(Path(path).with_suffix(""))
        recorder = Recorder(job, report=lambda *counts: _report(connection, recorder, counts))
        while True:
            kind, content = connection.recv()
            if kind == "shard":
                columns, lengths = recorder.record(*content)
                rows = folder.publish(content[0], columns, lengths)
                connection.send(("finished", (content[0], rows)))
    except (EOFError, BrokenPipeError):
        return
    except VinciError as error:
        connection.send(("refused", error))
    except Exception as error:  # noqa: BLE001 - the parent raises it
        connection.send(("failed", describe(error)))


def _report(connection: Connection, recorder: Recorder, counts: tuple[int, ...]) -> None:
    """Tell the parent the progress, and ask whether fewer rows are needed by now."""
    connection.send(("recorded", counts))
    while connection.poll():
        _, (index, needed) = connection.recv()
        if index == recorder.index:
            recorder.needed = needed
