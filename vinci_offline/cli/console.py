"""Output, errors and JSON of every command."""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import typer

from vinci_offline.calls import command_line
from vinci_offline.cli import signals
from vinci_offline.errors import ResumableError, VinciError, VinciWarning
from vinci_offline.progress import line
from vinci_offline.text import one_line


def say(text: object = "") -> None:
    """Print one line of a result to standard output. It may hold a file's text: it has no control characters."""
    print(one_line(str(text)))


def tell(text: object) -> None:
    """Print one line of progress, or about an error, to standard error. It may hold a file's text."""
    line(str(text))


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Turn a VinciError into one line on standard error and its exit code, and a signal into 128 plus its number.

    A VinciWarning becomes one line too.
    """
    try:
        with command_line(), signals.raising(), warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, warnings.showwarning, set())
            yield
    except (Exception, KeyboardInterrupt) as error:
        code = _exit_code(error)
        if code is None:
            raise
        raise typer.Exit(code) from None


def _exit_code(error: BaseException) -> int | None:
    """Say what ended a command, and return its exit code; None where that is not known here."""
    if isinstance(error, typer.Exit):
        return None
    if (signum := signals.signal_of(error)) is not None:
        signals.tell()
        return 128 + signum
    if isinstance(error, VinciError):
        tell(f"error: {_told(error)}")
        return error.exit_code
    if isinstance(error, MemoryError):
        tell("error: not enough memory: use fewer --lanes or --workers, or a smaller batch")
        return 1
    if isinstance(error, BrokenPipeError):
        # The reader has closed the pipe, as `| head` does: nobody reads more output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        what = error.strerror or " ".join(str(error).split())
        tell(f"error: {where}{what}: choose another place, or repair this one")
        return 1
    return None


def _told(error: VinciError) -> str:
    """Return an error's message; where the work goes on after it, with the whole command for that."""
    again = signals.go_on() if isinstance(error, ResumableError) else None
    return f"{error.reason}: {again}" if isinstance(error, ResumableError) and again else str(error)


def _show_warning(
    otherwise: Any, told: set[str], message: Warning | str, category: type[Warning], *rest: Any
) -> None:
    if issubclass(category, VinciWarning):
        if str(message) not in told:  # a file is read more than once, and one line about it is enough
            tell(f"warning: {message}")
        told.add(str(message))
    else:
        otherwise(message, category, *rest)


def print_json(content: Any) -> None:
    """Print one JSON object to standard output. NaN and infinite numbers become null, because JSON has none."""
    print(json.dumps(_plain(content)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
