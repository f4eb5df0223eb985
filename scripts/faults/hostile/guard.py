"""Run one attack in processes of its own, with limits, and see that nothing else happens."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hostile.frame import ARTIFACT, SECRET, Attack, Reading, Refused
from vinci_offline.errors import VinciError

MEMORY = 2**30
"""Limit in bytes beyond the memory of the imports."""
_fork = multiprocessing.get_context("fork")

Outcome = tuple[str, str]
"""``refused`` or ``read right``, or else the fault; and what is to say about it."""


class Result:
    """What an attack came to.

    Attributes:
        outcome: ``refused``, ``read right``, or the fault.
        what: the message or the fault's account.
        seconds: the time of the reading.
        memory: the bytes it took beyond the imports.
    """

    def __init__(self, outcome: str, what: str, seconds: float = 0.0, memory: int = 0) -> None:
        self.outcome, self.what, self.seconds, self.memory = outcome, what, seconds, memory

    @property
    def fine(self) -> bool:
        """True where the promise held."""
        return self.outcome in ("refused", "read right")


def run_attack(attack: Attack, root: Path, seconds: float) -> Result:
    """Write the file and read it, each in a fork of this process, which has done the imports."""
    folder = root / "inside"
    folder.mkdir()
    make_outside(root / "outside")
    before = tree_of(root / "outside")
    reading, fault = _forked(_write, 600.0, attack, folder)
    if fault:
        return Result("the attack failed", fault)
    began = time.monotonic()
    found, fault = _forked(_read, seconds, reading, folder)
    taken = time.monotonic() - began
    if fault:
        return Result("ended without an answer", fault, taken)
    (outcome, what), memory = found
    if tree_of(root / "outside") != before or {path.name for path in root.iterdir()} != {"inside", "outside"}:
        outcome = "wrote outside its folder"
    if any(path.name == ARTIFACT for path in root.rglob("*")):
        outcome = "ran a payload"
    return Result(outcome, what, taken, memory)


def make_outside(folder: Path) -> None:
    """Write the secret files that no reading may reach."""
    folder.mkdir()
    with h5py.File(folder / "secret.h5", "w") as file:
        for name in ("rewards", "observations"):
            file[name] = np.full((1000, 3) if name == "observations" else 1000, SECRET, "f4")
    np.full(3000, SECRET, "f4").tofile(folder / "secret.bin")
    np.save(folder / "secret.npy", np.full((1000, 3), SECRET, "f4"))


def tree_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _forked(work: Callable[..., None], seconds: float, *arguments: Any) -> tuple[Any, str]:
    """Return what a function sends from a fork of this process, and a fault that kept it from sending."""
    ours, theirs = _fork.Pipe()
    process = _fork.Process(target=_enter, args=(work, theirs, *arguments))
    process.start()
    theirs.close()
    try:
        if not ours.poll(seconds):
            return None, f"nothing after {seconds:.0f} s"
        return ours.recv(), ""
    except EOFError:
        process.join()
        return None, f"exit code {process.exitcode}"
    finally:
        assert process.pid is not None
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()


def _enter(work: Callable[..., None], connection: Connection, *arguments: Any) -> None:
    os.setsid()  # workers that it starts end with it
    try:
        work(connection, *arguments)
    except BaseException:  # noqa: BLE001 - printed
        traceback.print_exc()
        os._exit(99)
    os._exit(0)


def _write(connection: Connection, attack: Attack, folder: Path) -> None:
    connection.send(attack(folder))


def _read(connection: Connection, reading: Reading, folder: Path) -> None:
    os.chdir(folder)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))  # where a payload's module would be found
    _warm()
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    used, held = _memory("VmSize"), _memory("VmRSS")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    watch = Watch(folder, unpickles=reading.unpickles)
    outcome, what = outcome_of(reading)
    if watch.seen:
        outcome, what = "did what it must not", "; ".join(dict.fromkeys(watch.seen))
    connection.send(((outcome, what), max(0, _memory("VmHWM") - held)))


def _warm() -> None:
    """Start the threads and pools of libraries, which are counted among the imports."""
    import keras

    keras.ops.convert_to_numpy(keras.ops.matmul(np.ones((2, 2), "f4"), np.ones((2, 2), "f4")))


def _memory(name: str) -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def outcome_of(reading: Reading) -> Outcome:
    """Run a reading, and tell what it came to."""
    try:
        result = reading.run()
    except (VinciError, Refused) as error:
        text = str(error).strip()
        if isinstance(error, VinciError) and not text.isprintable():
            return "a message of several lines", repr(text)
        if "Traceback" in text or not text:
            return "a traceback", text
        if "not enough memory" in text or "nable to allocate" in text:
            return "out of memory", text
        return "refused", text
    except BaseException as error:  # noqa: BLE001 - every exception is reported
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return "another exception", f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"[:500]
    if reading.right is None:
        return "taken for sound", repr(result)[:300]
    return ("read right", "") if reading.right(result) else ("read wrong", repr(result)[:300])


_STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "socket.connect")
_CHANGES = {
    "os.remove": 1,
    "os.rename": 2,
    "os.mkdir": 1,
    "os.rmdir": 1,
    "os.link": 2,
    "os.symlink": 2,
    "os.chmod": 1,
}


class Watch:
    """Notes of payloads that are imported, pickles that are opened, processes, and changes outside the folder.

    Attributes:
        seen: what happened.
    """

    def __init__(self, folder: Path, *, unpickles: bool) -> None:
        self.seen: list[str] = []
        self._inside = f"{folder.resolve()}{os.sep}"
        self._unpickles = unpickles
        sys.addaudithook(self._look)

    def _look(self, event: str, arguments: tuple[Any, ...]) -> None:
        # An import by importlib raises no event of its own, but its code is executed.
        if event == "exec" and ARTIFACT in str(getattr(arguments[0], "co_filename", "")):
            self.seen.append(f"executed {arguments[0].co_filename}")
        elif event == "pickle.find_class" and not self._unpickles:
            self.seen.append(f"unpickled {arguments[0]}.{arguments[1]}")
        elif event == "open" and self._writes(*arguments[1:]) and self._outside(arguments[0]):
            self.seen.append(f"opened {arguments[0]!r} for writing")
        elif event in _STARTS or any(map(self._outside, arguments[: _CHANGES.get(event, 0)])):
            self.seen.append(f"{event} {arguments!r}"[:200])

    @staticmethod
    def _writes(mode: str | None, flags: int) -> bool:
        if mode is None:
            return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        return bool(set(mode) & set("wax+"))

    def _outside(self, path: Any) -> bool:
        if not isinstance(path, str | bytes | os.PathLike):
            return False  # a file that is open already
        full = os.path.realpath(os.fsdecode(path))
        return not full.startswith((self._inside, "/dev/", "/proc/")) and f"{full}{os.sep}" != self._inside
