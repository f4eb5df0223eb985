"""What a worker of a sweep does: train cells one after another, in one thread.

This module imports nothing heavy: a worker sets its number of threads before NumPy and a backend are loaded.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from vinci_offline.calls import command_line
from vinci_offline.errors import VinciError, VinciWarning
from vinci_offline.interrupts import SIGNALS, receive
from vinci_offline.loading import describe
from vinci_offline.sweeps.cell import Cell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vinci_offline.hooks.hook import Hook
    from vinci_offline.training.result import TrainResult

_ONE = {
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NPROC": "1",  # XLA's client for CPUs, on JAX
}


class Trainer(Protocol):
    """What a worker trains cells with. It is sent to the worker's process."""

    def train(self, cell: Cell, hooks: Sequence[Hook], claim: Callable[[], None]) -> TrainResult:
        """Train a cell, or go on with it.

        Args:
            cell: the cell.
            hooks: listeners.
            claim: asks the parent before anything is written, and waits for the answer.
        """

    def outcome(self, cell: Cell, result: TrainResult) -> Any:
        """Return what the parent is told of a finished cell."""

    def failure(self, error: Exception) -> Any:
        """Return what the parent is told of a cell that failed."""


class Order(NamedTuple):
    """What every cell of a sweep is trained with.

    Attributes:
        folder: the folder of run directories.
        env: the environment of evaluations, or None.
        env_kwargs: its arguments, or None.
        networks: the user's networks, or None.
        told_in_shell: True where a command of the command line asks: messages then have its spellings.
    """

    folder: str
    env: str | None
    env_kwargs: Mapping[str, Any] | None
    networks: str | None
    told_in_shell: bool

    def train(self, cell: Cell, hooks: Sequence[Hook], claim: Callable[[], None]) -> TrainResult:
        """Train a cell, or go on with it. The sweep's folder is claimed already."""
        return train_cell(cell, self, hooks)

    def outcome(self, cell: Cell, result: TrainResult) -> dict[str, Any]:
        """Return the content of ``result.json``."""
        return outcome_of(cell, result)

    def failure(self, error: Exception) -> str:
        """Return one line."""
        return failure_of(error)


def one_thread() -> None:
    """Make this process compute in one thread. Nothing heavy may be imported yet. The user's own numbers stay."""
    for name, value in _ONE.items():
        os.environ.setdefault(name, value)


def train_cell(cell: Cell, order: Order, hooks: Sequence[Hook] = ()) -> TrainResult:
    """Train a cell, or go on with it.

    Raises:
        VinciError: it fails.
    """
    from vinci_offline.training.trainer import train

    with command_line() if order.told_in_shell else nullcontext():
        return train(
            cell.dataset,
            cell.agent,
            settings=dict(cell.settings),
            output=Path(order.folder) / cell.name,
            seed=cell.seed,
            env=order.env,
            env_kwargs=order.env_kwargs,
            networks=order.networks,
            hooks=list(hooks),
            resume=True,
            progress=False,
            **cell.options,
        )


def outcome_of(cell: Cell, result: TrainResult) -> dict[str, Any]:
    """Return what ``result.json`` says of a finished cell. NaN and infinite numbers become None."""
    from vinci_offline.deviation import finite
    from vinci_offline.runs.run_directory import RunDirectory
    from vinci_offline.training.seeds_record import final_metrics

    # From the tables: a run that was killed after its last step takes none now.
    metrics = final_metrics(RunDirectory(result.run))
    return {
        "planned": cell.steps,
        "steps": result.steps,
        "steps_per_second": finite(result.steps_per_second),
        "compile_seconds": finite(result.compile_seconds),
        "final_metrics": {name: finite(value) for name, value in metrics.items()},
        "stopped_early": result.stopped_early,
        "best_step": result.best_step,
        "notes": list(result.notes),
    }


def failure_of(error: Exception) -> str:
    """Return one line about what ended a cell."""
    return str(error) if isinstance(error, VinciError) else describe(error)


def work(connection: Connection, trainer: Trainer) -> None:
    """Train the cells that come through a pipe, until ``stop`` comes. The last run then saves and ends.

    Signals are the parent's matter: it is told of them too, and its end ends this process.
    """
    one_thread()
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)

    def send(*message: Any) -> None:
        connection.send(message)

    send("ready")
    try:
        with _warnings_to(lambda text: send("warning", text)):
            while (message := connection.recv())[0] == "cell":
                _train(message[1], trainer, connection, send)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        sys.exit(0)  # the parent has closed the pipe


def _train(cell: Cell, trainer: Trainer, connection: Connection, send: Callable[..., None]) -> None:
    from vinci_offline.sweeps.listening import Reporter

    def claim() -> None:
        send("claim")
        if connection.recv()[0] == "stop":
            raise KeyboardInterrupt

    try:
        result = trainer.train(cell, [Reporter(send, lambda: _stopped(connection))], claim)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except KeyboardInterrupt:
        send("interrupted")
    except Exception as error:  # noqa: BLE001 - the parent tells it
        send("failed", trainer.failure(error))
    else:
        send("interrupted") if result.interrupted else send("finished", trainer.outcome(cell, result))


def _stopped(connection: Connection) -> None:
    """End the present run after its chunk if the parent asks for that."""
    if connection.poll() and connection.recv()[0] == "stop":
        receive(signal.SIGINT)


@contextmanager
def _warnings_to(tell: Callable[[str], None]) -> Iterator[None]:
    """Pass the package's warnings on."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", VinciWarning)
        warnings.showwarning = partial(_show, warnings.showwarning, tell)
        yield


def _show(
    otherwise: Any, tell: Callable[[str], None], message: Warning | str, category: type[Warning], *rest: Any
) -> None:
    if issubclass(category, VinciWarning):
        tell(str(message))
    else:
        otherwise(message, category, *rest)
