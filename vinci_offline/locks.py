"""Locks: one process writes a folder or a file, and a second one is refused.

The lock is the kernel's (``flock``) on a small file, so it ends with its process, however that ends. The file holds the
process's number and host for the message, and is removed at the end. A file that a killed process left is taken over.
Where the file system has no such locks, the number and host decide.
"""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from vinci_offline.errors import UsageError
from vinci_offline.files import make_folder

try:
    import fcntl
except ImportError:  # not on every system
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"
"""Name of the lock of a folder."""
_HOLDER = re.compile(rb"(\d{1,10}) ([\w.-]{1,255})\n")


class _Holder(NamedTuple):
    pid: int
    host: str


class Locks:
    """Locks of this process, as a context. All are released at its end."""

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}
        self._process = os.getpid()

    def __enter__(self) -> Locks:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process != os.getpid():
            return  # a forked child: the locks are its parent's
        for file, descriptor in self._held.items():
            # First the name, then the lock: whoever waits for neither finds no file, or locks one that has no name.
            with suppress(OSError):
                file.unlink()
            _descriptors.discard(descriptor)
            os.close(descriptor)
        self._held.clear()

    def take_folder(self, path: Path) -> None:
        """Lock a folder by a file in it; make the folder if it is missing.

        Raises:
            UsageError: another process has it.
        """
        if not path.exists():
            make_folder(path)
        self._take(path / LOCK, path)

    def take_file(self, path: Path) -> None:
        """Lock a file, which need not exist, by a hidden one beside it.

        Raises:
            UsageError: another process has it.
        """
        self._take(path.with_name(f".{path.name}{LOCK}"), path)

    def _take(self, file: Path, locked: Path) -> None:
        while file not in self._held:
            try:
                descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
            except OSError:
                return  # where no lock can be written, nothing else can: what follows says so
            holder = _holder(descriptor)
            if not _lock(descriptor, holder):
                os.close(descriptor)
                raise UsageError(_refusal(file, locked, holder))
            if _is_at(descriptor, file):
                with suppress(OSError):  # a full disk
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
                self._held[file] = descriptor
                _descriptors.add(descriptor)
            else:
                os.close(descriptor)  # its holder has just removed it


def refuse_used_folder(path: Path) -> None:
    """Refuse a folder that another process has locked.

    Raises:
        UsageError: another process has it.
    """
    if (path / LOCK).exists():
        with Locks() as probe:
            probe.take_folder(path)


_descriptors: set[int] = set()


def _drop_in_child() -> None:
    """Close the locks in a forked child: they would outlive their process there."""
    while _descriptors:
        with suppress(OSError):
            os.close(_descriptors.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_in_child)


def _lock(descriptor: int, holder: _Holder | None) -> bool:
    """Lock an open file; return False if another process has it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:
        pass  # the file system has no locks
    here = os.fstat(descriptor)
    own = any(os.path.samestat(here, os.fstat(each)) for each in _descriptors)
    return not own and (holder is None or not _may_live(holder))


def _may_live(holder: _Holder) -> bool:
    if holder.host != socket.gethostname():
        return True  # nobody can tell from here
    if holder.pid == os.getpid():
        return False  # an earlier process had the same number
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def _holder(descriptor: int) -> _Holder | None:
    """Read who has the lock, or had it last; None where the file does not say."""
    try:
        found = _HOLDER.fullmatch(os.pread(descriptor, 300, 0))
    except OSError:
        return None
    return found and _Holder(int(found[1]), found[2].decode())


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), file.stat(follow_symlinks=False))
    except OSError:
        return False


def _refusal(file: Path, locked: Path, holder: _Holder | None) -> str:
    if holder is None:
        return f"{locked} is in use by another process: wait until it ends, or choose another with -o"
    stop = f"stop it with kill {holder.pid}"
    if holder.host != socket.gethostname():
        stop += f" there (if it has ended, delete {file})"
    return (
        f"{locked} is in use by process {holder.pid} on {holder.host}: wait until it ends, {stop}, "
        "or choose another with -o"
    )
