"""Signals that end a command: Ctrl-C, SIGTERM of schedulers, SIGHUP of terminals that close.

The first one ends the command as an exception would: files and workers are cleaned up, and a run in training saves.
While modules are imported there is nothing to save, and an exception in the middle of an import comes out as another
one. So the process ends there and then. A second signal ends it at once, also in the middle of a long computation: a
thread watches for it. Each way says one line, and the exit code is 128 plus the signal's number.

Everything that this module imports is light, so it listens from the first moment on.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from vinci_offline import interrupts
from vinci_offline.interrupts import SIGNALS, Interrupted

_RESUMABLE = ("collect", "train", "sweep")
_SAME_REQUEST = {signal.SIGINT: 0.1}
"""Seconds in which the same request may come again: shells and schedulers repeat the signals that they send."""
_SAME_REQUEST_OF_OTHERS = 2.0


class _State:
    """State of the command line's process.

    Attributes:
        arguments: the words of the command line; None where signals are not listened to.
        error: the descriptor of standard error. Imports of Keras send the usual one elsewhere.
        signum: the first signal.
        in_command: True while an exception would be caught and told.
        resumable: True where ``--resume`` goes on, though the command was told to overwrite.
        told: True after the line.
        simulated: signals that this module sends again.
    """

    arguments: Sequence[str] | None = None
    error = 2
    signum: int | None = None
    in_command = False
    resumable = False
    told = False
    simulated = 0


def listen(arguments: Sequence[str]) -> Callable[[], None]:
    """Handle the signals that are not ignored, as ``nohup`` ignores SIGHUP. Do nothing if they are handled already.

    Args:
        arguments: the words of the command line, for the line that says how to go on.

    Returns:
        A function that restores the earlier handlers.
    """
    if _State.arguments is not None or threading.current_thread() is not threading.main_thread():
        return lambda: None
    _State.arguments, _State.signum, _State.told, _State.resumable = list(arguments), None, False, False
    _State.error = os.dup(2)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    earlier_descriptor = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reading,), daemon=True).start()
    earlier_hook, sys.unraisablehook = sys.unraisablehook, _raise_again(sys.unraisablehook)
    earlier = {each: signal.getsignal(each) for each in SIGNALS}
    for signum, handler in earlier.items():
        if handler not in (signal.SIG_IGN, None):
            signal.signal(signum, _receive)

    def restore() -> None:
        """Put the earlier handlers back, and end the thread that watches."""
        for signum, handler in earlier.items():
            if handler not in (signal.SIG_IGN, None):
                signal.signal(signum, handler)
        signal.set_wakeup_fd(earlier_descriptor)
        sys.unraisablehook = earlier_hook
        os.close(writing)  # the watching thread ends
        os.close(_State.error)
        _State.arguments, _State.error, _State.signum = None, 2, None

    return restore


@contextmanager
def raising() -> Iterator[None]:
    """Let the first signal raise in this block, whose caller calls `ended` for the exception."""
    try:
        _State.in_command = True
        yield
    finally:
        _State.in_command = False


def resumable() -> None:
    """Note that ``--resume`` goes on with what this command has begun, in place of ``--overwrite``."""
    _State.resumable = True


def signal_of(error: BaseException) -> int | None:
    """Return the signal that ended a command with this exception; None where it failed by itself.

    An interruption that passes through other code may come out as another error.
    """
    if isinstance(error, Interrupted):
        return error.signum
    return signal.SIGINT if isinstance(error, KeyboardInterrupt) and not _State.signum else _State.signum


def tell() -> None:
    """Say in one line, once, that the command was interrupted and how it goes on."""
    if _State.arguments is None:
        print("interrupted", file=sys.stderr)
    elif not _State.told:
        _State.told = True
        # A bar may stand in the line, and its cursor may be hidden.
        clean = "\r\x1b[K\x1b[?25h" if os.isatty(_State.error) else ""
        with suppress(OSError):  # the terminal may be gone
            os.write(_State.error, f"{clean}{line(_State.arguments)}\n".encode(errors="replace"))


def line(arguments: Sequence[str]) -> str:
    """Return the line for an interrupted command."""
    again = _again(arguments)
    return f"interrupted: {again}" if again else "interrupted"


def go_on() -> str | None:
    """Say how to go on with the work of this command, which is on the disk; None where that is not known."""
    resumable()
    return _again(_State.arguments) if _State.arguments is not None else None


def _again(arguments: Sequence[str]) -> str | None:
    words = list(arguments)
    command = next((word for word in words if not word.startswith("-")), "")
    if {"-h", "--help"} & {*words} or command not in (*_RESUMABLE, "demo"):
        return None
    again = "go on"
    if command == "demo" or ("--overwrite" in words and _State.resumable):
        words = [word for word in words if word != "--overwrite"]
    if "--overwrite" in words:
        again = "start again"
    elif command in _RESUMABLE and "--resume" not in words:
        words.insert(words.index("--") if "--" in words else len(words), "--resume")
    return f"{again} with: {shlex.join(['vinci-offline', *words])}"


def _receive(signum: int, frame: Any) -> None:
    """Handle the first signal in the main thread; `_watch` judges the others."""
    if _State.signum is not None:
        return
    _State.signum = signum
    if signum == getattr(signal, "SIGHUP", None):
        _leave_terminal()
    if interrupts.awaited() or (_State.in_command and not _importing(frame)):
        interrupts.receive(signum)
    else:
        _end(signum)


def _importing(frame: Any) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _leave_terminal() -> None:
    """Write to nowhere in place of a terminal that has gone: each write would fail, and training would not save."""
    for descriptor in (1, 2, _State.error):
        try:
            os.write(descriptor, b"")
        except OSError:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)


def _watch(descriptor: int) -> None:
    """End the process at the second signal. The main thread may be in a long computation and not look."""
    first = None
    while content := os.read(descriptor, 1):
        signum, now = content[0], time.monotonic()
        if signum not in SIGNALS:
            continue
        if _State.simulated:
            _State.simulated -= 1
        elif first is None:
            first = now
        elif now - first > _SAME_REQUEST.get(signal.Signals(signum), _SAME_REQUEST_OF_OTHERS):
            _end(signum)
    os.close(descriptor)


def _end(signum: int) -> None:
    """End the process and its workers here and now. What others would clean up is removed first."""
    with suppress(Exception):
        for process in sys.modules["multiprocessing"].active_children():
            process.kill()
    with suppress(Exception):
        sys.modules["vinci_offline.files"].drop_own()
    tell()
    os._exit(128 + signum)


def _raise_again(otherwise: Callable[[Any], Any]) -> Callable[[Any], None]:
    """Return a hook for exceptions that cannot be raised, as in a finaliser: an interruption is tried again."""

    def hook(unraisable: Any) -> None:
        """Send an interruption again from another thread; leave other exceptions to the earlier hook."""
        error = unraisable.exc_value
        if not isinstance(error, Interrupted):
            otherwise(unraisable)
            return
        # Not here: the handler would raise in this hook.
        again = threading.Timer(0.05, _send_again, (error.signum,))
        again.daemon = True
        again.start()

    return hook


def _send_again(signum: int) -> None:
    import _thread

    _State.signum, _State.simulated = None, _State.simulated + 1
    _thread.interrupt_main(signal.Signals(signum))
