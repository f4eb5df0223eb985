"""New HDF5 files: no failed write is overlooked, and none crashes the process.

HDF5 ignores an error of the disk where it lets go of a dataset, and may end the process by SIGSEGV as it closes a file
that it could not write. So it writes through a `RecordedFile`, which keeps the first error and goes on in memory. HDF5
closes its file in order, and the error is raised then. Sources: `H5FD_fileobj_write` in h5py's h5fd.pyx, and
https://docs.h5py.org/en/stable/high/file.html#python-file-like-objects.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import h5py

from vinci_offline.recorded import RecordedFile, recorded


class _Disk(RecordedFile):
    """File that HDF5 writes through.

    Attributes:
        late: the handlers of signals that came within a call from HDF5, to be called after it.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.late: list[Callable[[], Any]] = []

    def read(self, size: int = -1) -> bytes:
        """Return ``size`` bytes; zeros where nothing was written yet, as HDF5 expects."""
        content = bytearray(size)
        self.readinto(content)
        return bytes(content)


_CALLED_BY_HDF5 = {
    function.__code__
    for function in (
        _Disk.read,
        *(vars(RecordedFile)[name] for name in ("seek", "tell", "readinto", "write", "truncate", "_fail")),
    )
}
_Handler: TypeAlias = Callable[[int, FrameType | None], Any]
_disks: WeakValueDictionary[int, _Disk] = WeakValueDictionary()


@contextmanager
def new_file(path: Path, **options: Any) -> Iterator[h5py.File]:
    """Open a new HDF5 file for writing. It is closed when the block ends, and nothing is written to it later.

    Args:
        path: the file.
        **options: of `h5py.File`.

    Raises:
        OSError: a write has failed.
    """
    with recorded(_Disk(path)) as disk, _signals_kept_out(disk):
        file = h5py.File(disk, "w", **options)
        number = h5py.h5o.get_info(file.id).fileno
        _disks[number] = disk
        try:
            yield file
        except BaseException:
            disk.sink()
            raise
        finally:
            file.close()
            _disks.pop(number, None)


def check_disk(node: h5py.Group | h5py.Dataset) -> None:
    """End early where a write to the file of ``node`` has failed, or a signal came in the midst of one.

    Raises:
        OSError: the first error.
    """
    disk = _disks.get(h5py.h5o.get_info(node.id).fileno)
    if disk is not None:
        _deliver(disk)
        disk.check()


@contextmanager
def _signals_kept_out(disk: _Disk) -> Iterator[None]:
    """Run no signal handler within a call from HDF5: an exception there, such as KeyboardInterrupt, crashes it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in signal.valid_signals()}
    ours = {number: _late(handler, disk) for number, handler in before.items() if callable(handler)}
    for number, handler in ours.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in ours.items():
            if signal.getsignal(number) is handler:
                signal.signal(number, before[number])
        _deliver(disk)


def _late(handler: _Handler, disk: _Disk) -> _Handler:
    """Return a handler that calls ``handler``, unless HDF5 is being served: then it notes the signal."""

    def note_or_handle(number: int, frame: FrameType | None) -> None:
        above = frame
        while above is not None:
            if above.f_code in _CALLED_BY_HDF5:
                disk.late.append(partial(handler, number, None))
                return
            above = above.f_back
        handler(number, frame)

    return note_or_handle


def _deliver(disk: _Disk) -> None:
    while disk.late:
        disk.late.pop(0)()
