"""What an Arrow file asks for in memory, read from its headers alone.

They are described at https://arrow.apache.org/docs/format/Columnar.html#serialization-and-interprocess-communication-ipc.

A packed buffer says itself how many bytes it unfolds to, several may lie at one place, and pyarrow believes all of it.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vinci_offline.budget import Tally, limit
from vinci_offline.errors import DatasetError

_MAGIC = b"ARROW1"
_LARGEST_FOOTER = 2**24
_LARGEST_HEADER = 2**22
_MOST_BUFFERS = 2**18
_DICTIONARY, _RECORDS = 2, 3


class _Table:
    """A table of Google's FlatBuffers: fields by number."""

    def __init__(self, content: bytes, place: int) -> None:
        self.content, self.place = content, place
        self._fields = place - self.number("<i", place)

    @classmethod
    def root(cls, content: bytes) -> _Table:
        """Return the table that a buffer holds."""
        return cls(content, struct.unpack_from("<I", content)[0])

    def number(self, form: str, place: int) -> int:
        """Return a number at a place.

        Raises:
            IndexError: the place is outside.
        """
        if place < 0 or place + struct.calcsize(form) > len(self.content):
            raise IndexError("a place outside of the header")
        found: int = struct.unpack_from(form, self.content, place)[0]
        return found

    def field(self, number: int) -> int:
        """Return the place of a field; 0 if it is not there."""
        entry = 4 + 2 * number
        if entry >= self.number("<H", self._fields):
            return 0
        offset = self.number("<H", self._fields + entry)
        return self.place + offset if offset else 0

    def table(self, number: int) -> _Table | None:
        """Return the table in a field."""
        place = self.field(number)
        return _Table(self.content, place + self.number("<I", place)) if place else None

    def structs(self, number: int, size: int) -> Iterator[int]:
        """Yield the places of the structures in a field."""
        if place := self.field(number):
            place += self.number("<I", place)
            for index in range(self.number("<I", place)):
                yield place + 4 + size * index


def check_arrow(path: Path) -> None:
    """Refuse an Arrow file that asks for more memory than its bytes can honestly hold.

    Raises:
        DatasetError: it asks for too much, or its headers are damaged.
    """
    try:
        with path.open("rb") as file:
            present = os.fstat(file.fileno()).st_size
            tally = Tally(str(path), present)
            for count, asked in enumerate(_buffers(path, file, present), start=1):
                tally.add("the table", asked)
                limit(str(path), "buffers or more", count, _MOST_BUFFERS)
    except (IndexError, ValueError, struct.error, OSError) as error:
        raise DatasetError(
            f"{path} is no Arrow file, or damaged ({error}): copy or write it again"
        ) from error


def _buffers(path: Path, file: Any, present: int) -> Iterator[int]:
    """Yield the bytes in memory of each buffer of each block."""
    end = os.pread(file.fileno(), 10, max(0, present - 10))
    size = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or size > present - 10:
        raise ValueError("it does not end as such a file does")
    limit(str(path), "bytes of description at its end", size, _LARGEST_FOOTER)
    footer = _Table.root(os.pread(file.fileno(), size, present - 10 - size))
    for field in (_DICTIONARY, _RECORDS):
        for block in footer.structs(field, 24):
            place, length = footer.number("<q", block), footer.number("<i", block + 8)
            if not 0 <= place <= present or not 8 <= length <= _LARGEST_HEADER:
                raise ValueError("a block outside of the file")
            yield from _buffers_of(file, place, length)


def _buffers_of(file: Any, place: int, length: int) -> Iterator[int]:
    header = os.pread(file.fileno(), length, place)
    begin = 8 if header[:4] == b"\xff\xff\xff\xff" else 4  # files before 0.15 have no such mark
    message = _Table.root(header[begin:])
    batch = message.table(2)
    if batch is not None and message.number("<B", message.field(1)) == _DICTIONARY:
        batch = batch.table(1)
    if batch is None:
        raise ValueError("a block without a batch")
    packed = batch.field(3) != 0
    for buffer in batch.structs(2, 16):
        start, size = batch.number("<q", buffer), batch.number("<q", buffer + 8)
        if start < 0 or size < 0:
            raise ValueError("a buffer outside of the file")
        unfolded = size
        if packed and size >= 8:
            said = os.pread(file.fileno(), 8, place + length + start)
            unfolded = max(size, int.from_bytes(said, "little", signed=True))
        yield unfolded
