"""New files whose failed writes cannot be overlooked, for libraries that swallow errors of the disk, or crash."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar


class RecordedFile(io.RawIOBase):
    """New file whose writes always succeed. The first error is kept, and whatever is written after it stays in memory.

    HDF5 swallows errors of the disk as it lets go of a dataset, and crashes the process as it closes a file after an
    error. Writing through this class, it meets none: it closes its file in order, and `recorded` raises the error then.

    Attributes:
        error: the first error, or None.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.error: OSError | None = None
        self._descriptor = os.open(
            path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666
        )
        self._place = self._end = 0
        self._is_sink = False
        self._sunk: list[tuple[int, bytes]] = []

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        self._place = start + offset
        return self._place

    def tell(self) -> int:
        """Return the place."""
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Read back what was written, from memory too."""
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._end - self._place))
        content = bytearray(count)
        if not self.closed:
            try:
                found = os.pread(self._descriptor, count, self._place)
                content[: len(found)] = found
            except OSError as error:
                self._fail(error)
        for place, part in self._sunk:
            first, last = max(place, self._place), min(place + len(part), self._place + count)
            if first < last:
                content[first - self._place : last - self._place] = part[first - place : last - place]
        view[:count] = content
        self._place += count
        return count

    def write(self, content: Any) -> int:
        """Write all of ``content``."""
        view = memoryview(content).cast("B")
        written = 0
        while written < len(view) and not self._is_sink:
            try:
                written += os.pwrite(self._descriptor, view[written:], self._place + written)
            except OSError as error:
                self._fail(error)
        if written < len(view):
            self._sunk.append((self._place + written, bytes(view[written:])))
        self._place += len(view)
        self._end = max(self._end, self._place)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Set the length of the file."""
        self._end = self._place if size is None else size
        if not self._is_sink:
            try:
                os.ftruncate(self._descriptor, self._end)
            except OSError as error:
                self._fail(error)
        return self._end

    def sink(self) -> None:
        """Keep all that is written from now on in memory: the file is not wanted any more."""
        self._is_sink = True

    def check(self) -> None:
        """Raise the first error, so that a writer ends soon after it.

        Raises:
            OSError: a write has failed.
        """
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """Close the file. What is written later goes to memory."""
        if not self.closed:
            self._is_sink = True
            descriptor, self._descriptor = self._descriptor, -1
            super().close()
            try:
                os.close(descriptor)
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        self.error = self.error or error
        self._is_sink = True


Recorded = TypeVar("Recorded", bound=RecordedFile)


@contextmanager
def recorded(file: Recorded) -> Iterator[Recorded]:
    """Close a file as the block ends, and raise the first error of it, also in place of what that led to.

    Raises:
        OSError: a write failed, or closing did.
    """
    try:
        yield file
    except BaseException as error:
        file.close()
        if isinstance(error, Exception) and file.error is not None:
            raise file.error from error
        raise
    file.close()
    file.check()
