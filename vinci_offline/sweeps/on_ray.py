"""Workers of a Ray cluster that train cells, each in one thread."""

from __future__ import annotations

from typing import Any

from vinci_offline.envs.ray_pool import ray_pool
from vinci_offline.errors import VinciError
from vinci_offline.sweeps.cell import Cell
from vinci_offline.sweeps.local import Listener
from vinci_offline.sweeps.queue import Queue
from vinci_offline.sweeps.work import Order, failure_of, one_thread, outcome_of, train_cell


def train_on_ray(queue: Queue, order: Order, workers: int, listener: Listener) -> None:
    """Train every cell in Ray's workers. One that fails does not stop the others.

    Ray restarts a worker that dies, and its cell goes on from its last checkpoint. The folder of the sweep, the
    datasets and the user's own files must lie under the same paths on every machine of the cluster.

    Raises:
        VinciError: Ray cannot be reached, or a worker was lost for good.
    """
    with ray_pool(_Worker, order, workers, _failed, _lost) as pool:
        busy = 0
        while queue or busy:
            while pool.idle and (cell := queue.take()) is not None:
                pool.start(cell, "train", cell)
                busy += 1
            cell, (kind, content) = pool.receive()
            busy -= 1
            if kind == "finished":
                listener.finished(cell, content)
            else:
                listener.failed(cell, content)


class _Worker:
    """Trainer in a process of the cluster."""

    def __init__(self, order: Order) -> None:
        one_thread()
        self._order = order

    def train(self, cell: Cell) -> tuple[str, Any]:
        """Train a cell. Return ``finished`` and its result, or ``failed`` and the reason."""
        try:
            return "finished", outcome_of(cell, train_cell(cell, self._order))
        except Exception as error:  # noqa: BLE001 - the sweep tells it
            return "failed", failure_of(error)


def _failed(reason: str) -> VinciError:
    return VinciError(f"a Ray worker failed: {reason}; finished cells are kept, go on with --resume")


def _lost(reason: str) -> VinciError:
    return VinciError(f"a Ray worker was lost ({reason}): finished cells are kept, go on with --resume")
