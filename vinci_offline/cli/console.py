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
from rich.console import Console

from vinci_offline.errors import VinciError, VinciWarning

err = Console(stderr=True, highlight=False)
"""Progress, tables and logs; results go to standard output."""


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """Turn a VinciError into one line on standard error and its exit code, and Ctrl-C into 130.

    A VinciWarning becomes one line too.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, warnings.showwarning, set())
            yield
    except VinciError as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    except MemoryError:
        print("error: not enough memory: use fewer --lanes or --workers, or a smaller batch", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise typer.Exit(130) from None
    except BrokenPipeError:
        # The reader has closed the pipe, as `| head` does: nobody reads more output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        what = error.strerror or " ".join(str(error).split())
        print(f"error: {where}{what}: choose another place, or repair this one", file=sys.stderr)
        raise typer.Exit(1) from None


def _show_warning(
    otherwise: Any, told: set[str], message: Warning | str, category: type[Warning], *rest: Any
) -> None:
    if issubclass(category, VinciWarning):
        if str(message) not in told:  # a file is read more than once, and one line about it is enough
            print(f"warning: {message}", file=sys.stderr)
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
