"""Worker processes: each has a pipe, and none outlives the process that started it."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any

from vinci_offline.interrupts import SIGNALS, follow_parent, held

GUARD = "put the script's work under if __name__ == '__main__':"
"""Advice for scripts that use workers."""

_PATIENCE = 0.2


def start_worker(started: dict[Connection, Any], work: Callable[..., None], *arguments: Any) -> Connection:
    """Start a process that calls ``work(connection, *arguments)``.

    Args:
        started: where the process is entered under our end of its pipe, before a signal can come between.
        work: a function at the top level of a module.
        arguments: what is sent to it.

    Returns:
        Our end of the pipe.
    """
    # Spawn, because TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_enter, args=(work, theirs, *arguments), daemon=True)
    with held():
        process.start()
        started[ours] = process
    theirs.close()
    return ours


def stop_workers(processes: Iterable[Any]) -> None:
    """End workers at once."""
    stopped = list(processes)
    for process in stopped:
        process.kill()  # SIGTERM would wait until a worker has started
    for process in stopped:
        process.join()


def exit_code_of(process: Any) -> int:
    """Return the exit code of a worker that has closed its pipe."""
    process.join()
    if -process.exitcode in SIGNALS:
        # A closed terminal or a scheduler ends all processes of a job: ours is the next, and says so better.
        time.sleep(_PATIENCE)
    return int(process.exitcode)


def _enter(work: Callable[..., None], connection: Connection, *arguments: Any) -> None:
    follow_parent()
    work(connection, *arguments)
