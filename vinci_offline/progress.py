"""Progress on standard error: a bar on a terminal and in a notebook, lines elsewhere, and never a minute of silence."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vinci_offline.text import one_line

if TYPE_CHECKING:
    from rich.console import Console

_QUIET = 50.0
"""Seconds of silence after which a line says what goes on."""
_OFTEN = 30.0
"""Seconds between lines of work that has a bar on a terminal."""
_LOOK = 5.0


class _State:
    """What was shown last.

    Attributes:
        heard: the time of it.
        doing: what goes on.
        since: the time at which that began.
        bars: bars that are shown now.
        watchers: blocks of `never_silent`.
        end: ends the thread that watches.
    """

    heard = 0.0
    doing = ""
    since = 0.0
    bars = 0
    watchers = 0
    end = threading.Event()


def live_console() -> Console | None:
    """Return the console of a bar: standard error if it is a terminal, or the output of a notebook's cell.

    Return None elsewhere. A notebook draws bars with ipywidgets.
    """
    in_notebook = "ipykernel" in sys.modules and find_spec("ipywidgets") is not None
    if not (in_notebook or sys.stderr.isatty()):
        return None
    from rich.console import Console  # not at the top: few commands show a bar

    console = Console(stderr=True)
    return console if console.is_jupyter or sys.stderr.isatty() else None


@contextmanager
def shown_bar() -> Iterator[None]:
    """Note that a bar is shown in this block: it is no silence."""
    _State.bars += 1
    try:
        yield
    finally:
        _State.bars -= 1
        _State.heard = time.monotonic()


def heard() -> None:
    """Note that something was shown now."""
    _State.heard = time.monotonic()


def doing(what: str) -> None:
    """Say what goes on from now on, for the lines that break a long silence."""
    _State.doing, _State.since = what, time.monotonic()


def line(text: str) -> None:
    """Show a line of progress. It may hold a file's text."""
    print(one_line(text), file=sys.stderr, flush=True)
    heard()


def line_if_due(text: str) -> None:
    """Show a line of progress if the last one is a while ago."""
    if time.monotonic() - _State.heard >= _OFTEN:
        line(text)


@contextmanager
def never_silent() -> Iterator[None]:
    """Break silences of about a minute in this block with a line that says what goes on."""
    _State.watchers += 1
    if _State.watchers == 1:
        heard()
        doing("at work")
        _State.end = threading.Event()
        threading.Thread(target=_watch, args=(_State.end,), daemon=True).start()
    try:
        yield
    finally:
        _State.watchers -= 1
        if not _State.watchers:
            _State.end.set()


def _watch(end: threading.Event) -> None:
    while not end.wait(_LOOK):
        now = time.monotonic()
        if not _State.bars and now - _State.heard >= _QUIET:
            line(f"{_State.doing}, since {duration(now - _State.since)}")


def duration(seconds: float) -> str:
    """Return a duration in a few words."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
