"""Requests to end: Ctrl-C, SIGTERM of schedulers, and SIGHUP of terminals that close.

`receive` is the handler. A run in training gets a flag and ends after its chunk. A process that is about to start
starts first. All else is interrupted where it is. The command line installs the handler for every signal. Python users
keep their own handlers: training replaces only the default handler of Ctrl-C.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that ask a process to end."""


class Interrupted(KeyboardInterrupt):
    """Request to end, as an exception.

    Args:
        signum: the signal.
    """

    def __init__(self, signum: int = signal.SIGINT) -> None:
        super().__init__(f"ended by signal {signum}")
        self.signum = signum


class _State:
    """What a signal meets in this process."""

    flag: threading.Event | None = None
    holding = 0
    held: int | None = None


def receive(signum: int, _frame: Any = None) -> None:
    """Handle a signal: keep it while `held`, or set the flag of a run, or raise.

    Raises:
        Interrupted: nothing waits for the signal, or the flag is set already.
    """
    if _State.holding:
        _State.held = signum
    elif _State.flag is not None and not _State.flag.is_set():
        _State.flag.set()
    else:
        raise Interrupted(signum)


def awaited() -> bool:
    """Return True where `receive` would not raise."""
    return bool(_State.holding) or (_State.flag is not None and not _State.flag.is_set())


@contextmanager
def interrupt_flag() -> Iterator[threading.Event]:
    """Turn the first signal into a flag: a run then stops between chunks. A second one stops at once."""
    flag, outer = threading.Event(), _State.flag
    if threading.current_thread() is not threading.main_thread():
        yield flag  # signals reach the main thread alone
        return
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, receive)
    _State.flag = flag
    try:
        yield flag
    finally:
        _State.flag = outer
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def held() -> Iterator[None]:
    """Hold signals until the block ends. A process that starts in it starts with them blocked: see `follow_parent`."""
    from multiprocessing import resource_tracker

    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    _State.holding += 1  # other threads may take the signal, and the handler runs in this one all the same
    try:
        # Python's helper process must not end with a terminal. Its start unblocks signals here.
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        yield
    finally:
        _State.holding -= 1
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    if not _State.holding and (signum := _State.held) is not None:
        _State.held = None
        receive(signum)


def follow_parent() -> None:
    """Let a worker end without a word: by each of the signals, and when its parent has ended."""
    import multiprocessing

    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    threading.Thread(target=_end_with, args=(multiprocessing.parent_process(),), daemon=True).start()


def _end_with(parent: Any) -> None:
    import os

    if parent is not None:
        parent.join()
        os._exit(1)
