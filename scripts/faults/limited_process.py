"""A process that looks at files one after the other, within limits on memory and time."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any


class LimitedProcess:
    """Process that answers a question about each file. A new one replaces it after a crash or hang.

    Args:
        serve: what the process runs: it takes a connection and the arguments. It sends "ready" when its imports are
            done, and then an outcome and its explanation for each thing that it receives.
        arguments: further arguments of ``serve``.
        seconds: the time that an answer may take.
    """

    def __init__(self, serve: Callable[..., None], *arguments: Any, seconds: float) -> None:
        self._serve, self._arguments, self._seconds = serve, arguments, seconds
        self._process: Any = None
        self._connection: Connection | None = None

    def ask(self, about: Any) -> tuple[str, str]:
        """Return the outcome and its explanation."""
        if self._connection is None:
            self._connection, theirs = multiprocessing.Pipe()
            # Spawned: the limit on memory is counted from the imports.
            context = multiprocessing.get_context("spawn")
            self._process = context.Process(target=self._serve, args=(theirs, *self._arguments), daemon=True)
            self._process.start()
            theirs.close()
            self._connection.recv()
        self._connection.send(about)
        try:
            if self._connection.poll(self._seconds):
                outcome, what = self._connection.recv()
                return outcome, what
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            self.stop()
            return "crashed", f"exit code {code}"
        self.stop()
        return "hung", f"more than {self._seconds:.0f} s"

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        self._process = self._connection = None


def limit_memory(more: int) -> None:
    """Limit the memory of this process to what it has now and ``more`` bytes."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, used + more))
