"""Text files, plain or compressed by gzip or bzip2. Reading is bounded; a file is written whole or not at all."""

from __future__ import annotations

import bz2
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, TextIO

from vinci_offline.budget import RATIO, trusted
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError
from vinci_offline.files import disk_errors, make_folder, published, refuse_existing

_FREE_BYTES = 2**22
"""A packed file of any size may unfold to so many bytes. They are read line by line, but each line takes time."""
_LINE_CHARACTERS = 2**24
_BLOCK_CHARACTERS = 2**23
_LINES_AT_ONCE = 16
_LINE_ENDS = ("\n", "\r")


@contextmanager
def text_lines(path: Path, context: ImportContext | None = None) -> Iterator[Iterator[str]]:
    """Yield the lines of a file with their ends. Its first bytes tell how it is compressed.

    Args:
        path: the file.
        context: the import; that the last line has no end is noted there.

    Raises:
        DatasetError: it is missing, damaged, no text in UTF-8, or unfolds without end; in iterating too.
    """
    if not path.is_file():
        raise DatasetError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    try:
        with (
            path.open("rb") as raw,
            _unfolded(raw, path) as stream,
            io.TextIOWrapper(stream, "utf-8-sig", newline="") as text,
        ):
            yield _lines(text, path, context)
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = printable(" ".join(str(error).split()))[:120]
        raise DatasetError(
            f"{path} is damaged, or no text in UTF-8 ({reason}): copy or write it again"
        ) from error


@contextmanager
def new_text(path: Path, *, overwrite: bool) -> Iterator[TextIO]:
    """Open a new text file, compressed if its name ends in ``.gz`` or ``.bz2``. The same text gives the same bytes.

    Raises:
        UsageError: it exists and ``overwrite`` is not set.
        VinciError: the disk is full.
    """
    refuse_existing(path, overwrite=overwrite)
    with disk_errors(path):
        make_folder(path.parent)
        with published(path) as temporary, temporary.open("wb") as raw:
            stream: IO[bytes] = raw
            if path.suffix == ".gz":
                stream = gzip.GzipFile("", "wb", fileobj=raw, mtime=0)  # type: ignore[assignment]
            elif path.suffix == ".bz2":
                stream = bz2.BZ2File(raw, "wb")
            with io.TextIOWrapper(stream, "utf-8", newline="") as text:
                yield text


def first_lines(path: Path, count: int) -> list[str]:
    """Return the first lines of a file, fewer if it has fewer or is no text. Never raises."""
    try:
        with text_lines(path) as lines:
            found = [line for _, line in zip(range(count), lines, strict=False)]
    except DatasetError:
        return []
    return found if not any("\0" in line for line in found) else []


def next_lines(lines: Iterator[str], count: int) -> list[str]:
    """Return the next lines: ``count``, or fewer if they are long."""
    found: list[str] = []
    characters = 0
    while len(found) < count and characters < _BLOCK_CHARACTERS:
        some = list(islice(lines, min(_LINES_AT_ONCE, count - len(found))))
        if not some:
            break
        found += some
        characters += sum(map(len, some))
    return found


class _Bounded(io.RawIOBase):
    """Stream of an unfolded file; what it unfolds to is bounded as `vinci_offline.budget` says."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self._present, self._read = path.stat().st_size, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        self._read += len(block)
        if self._read > max(_FREE_BYTES, RATIO * self._present) and not trusted():
            raise DatasetError(
                f"{self._path} unfolds to more than {RATIO} times its size, as no table does: unpack it first if you "
                "trust it"
            )
        return len(block)


@contextmanager
def _unfolded(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    magic = raw.read(3)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        yield io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=raw), path))  # type: ignore[arg-type]
    elif magic == b"BZh":
        yield io.BufferedReader(_Bounded(bz2.BZ2File(raw), path))
    else:
        yield raw


def _lines(text: TextIO, path: Path, context: ImportContext | None) -> Iterator[str]:
    number = 0
    while line := text.readline(_LINE_CHARACTERS):
        number += 1
        if not line.endswith(_LINE_ENDS):
            if len(line) >= _LINE_CHARACTERS:
                raise DatasetError(f"{path}: line {number} has more than {_LINE_CHARACTERS:,} characters")
            if context is not None:
                context.decide("the last line has no end, as where a file was cut short")
        yield line
