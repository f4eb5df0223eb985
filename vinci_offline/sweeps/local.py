"""Worker processes of this machine: each trains cells in one thread, so all cores learn."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from vinci_offline.envs.processes import GUARD, exit_code_of, start_worker, stop_workers
from vinci_offline.errors import VinciError
from vinci_offline.sweeps.cell import Cell
from vinci_offline.sweeps.queue import Queue
from vinci_offline.sweeps.work import Trainer, work

_MOST_CELLS = 24
"""Cells of one process. TensorFlow frees nothing of what it compiled before its process ends."""
_PATIENCE = 20.0
"""Seconds in which workers may save what they train when the sweep is interrupted."""
_ATTEMPTS = 2
"""How often a cell whose process dies is tried. It goes on from its last checkpoint."""


class Listener(Protocol):
    """Receiver of news about cells."""

    def at(self, cell: Cell, step: int, rate: float | None) -> None:
        """Receive a cell's step, and its steps a second."""

    def returned(self, cell: Cell, value: float) -> None:
        """Receive the mean return of an evaluation."""

    def finished(self, cell: Cell, result: Any) -> None:
        """Receive what the trainer says of a finished cell."""

    def failed(self, cell: Cell, reason: Any) -> None:
        """Receive what the trainer says of a cell that failed, or a line."""

    def note(self, text: str) -> None:
        """Receive a line for the user."""


class Pool:
    """Processes that train cells.

    Args:
        queue: the cells.
        trainer: what all cells are trained with.
        workers: number of processes.
        listener: receives the news.
        claim: called before a worker writes anything, if the trainer asks for that.
    """

    def __init__(
        self,
        queue: Queue,
        trainer: Trainer,
        workers: int,
        listener: Listener,
        claim: Callable[[], None] = lambda: None,
    ) -> None:
        self._queue, self._trainer, self._workers, self._listener = queue, trainer, workers, listener
        self._claim = claim
        self._processes: dict[Connection, Any] = {}
        self._busy: dict[Connection, Cell] = {}
        self._ready: set[Connection] = set()
        self._trained: Counter[Connection] = Counter()
        self._deaths: Counter[str] = Counter()

    def run(self) -> None:
        """Train every cell. One that fails does not stop the others. An interruption lets workers save first.

        Raises:
            VinciError: a process cannot start.
        """
        try:
            while self._queue or self._busy:
                self._fill()
                for worker in wait(list(self._processes)):
                    assert isinstance(worker, Connection)
                    self._receive(worker)
        except KeyboardInterrupt:
            self._wind_down()
            raise
        finally:
            stop_workers(self._processes.values())

    def _fill(self) -> None:
        """Start processes where cells wait and there are too few."""
        while self._queue and len(self._processes) < self._workers:
            self._give(start_worker(self._processes, work, self._trainer))

    def _give(self, worker: Connection, last: Cell | None = None) -> None:
        """Give a worker its next cell; end it if there is none, or if it has compiled much."""
        cell = self._queue.take(last) if self._trained[worker] < _MOST_CELLS else None
        if cell is None:
            self._end(worker)
            return
        self._trained[worker] += 1
        self._busy[worker] = cell
        worker.send(("cell", cell))

    def _end(self, worker: Connection) -> None:
        stop_workers([self._processes.pop(worker)])
        worker.close()

    def _receive(self, worker: Connection) -> None:
        try:
            kind, *content = worker.recv()
        except (EOFError, ConnectionResetError):
            self._died(worker)
            return
        if kind == "ready":
            self._ready.add(worker)
            return
        cell = self._busy[worker]
        if kind == "step":
            self._listener.at(cell, *content)
        elif kind == "return":
            self._listener.returned(cell, content[1])
        elif kind == "claim":
            self._claim()
            worker.send(("go",))
        elif kind == "warning":
            self._listener.note(f"warning: {content[0]}")
        else:
            del self._busy[worker]
            if kind == "finished":
                self._listener.finished(cell, content[0])
            else:
                reason = content[0] if content else "it was interrupted; --resume goes on with it"
                self._listener.failed(cell, reason)
            self._give(worker, cell)

    def _died(self, worker: Connection) -> None:
        """Try the cell of a dead process again, once."""
        code = exit_code_of(self._processes.pop(worker))
        cell = self._busy.pop(worker)
        if worker not in self._ready:
            raise VinciError(f"a worker process could not start (exit code {code}); in a script, {GUARD}")
        self._deaths[cell.name] += 1
        if self._deaths[cell.name] < _ATTEMPTS:
            self._listener.note(
                f"{cell.name}: its process died (exit code {code}); it goes on in another one"
            )
            self._queue.put_back(cell)
        else:
            self._listener.failed(
                cell, f"its process died twice (exit code {code}); if memory ran out, take fewer --workers"
            )

    def _wind_down(self) -> None:
        """Ask the workers to save and end, and wait a while for that."""
        self._listener.note("ending after the present steps; a second signal ends at once")
        for worker in self._busy:
            try:
                worker.send(("stop",))
            except OSError:  # it has died
                continue
        until = time.monotonic() + _PATIENCE
        while self._busy and (left := until - time.monotonic()) > 0:
            for heard in wait(list(self._busy), left):
                assert isinstance(heard, Connection)
                self._hear_last(heard)

    def _hear_last(self, worker: Connection) -> None:
        """Receive what a worker says that was asked to end."""
        try:
            kind, *content = worker.recv()
        except (EOFError, ConnectionResetError):
            kind, content = "died", []
        if kind == "finished":
            self._listener.finished(self._busy[worker], content[0])
        if kind not in ("ready", "step", "return", "warning", "claim"):
            del self._busy[worker]
