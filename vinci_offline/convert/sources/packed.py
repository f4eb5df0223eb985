"""Packed files as streams of their content: gzip, bzip2, xz, Zstandard, and a zip of one file. Reading is bounded."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from vinci_offline.budget import RATIO, trusted
from vinci_offline.convert.sources.zips import untrusted_zip
from vinci_offline.errors import DatasetError, UsageError

FREE_BYTES = 2**22
"""A packed file of any size may unfold to so many bytes. They are read line by line, but each line takes time."""
ERRORS = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""Errors of a damaged file."""

_MAGIC_BYTES = 6
_TABLES = (".csv", ".tsv", ".txt", ".tab", ".dat", ".jsonl", ".ndjson")
"""Endings of texts in a zip. An archive of one file may be anything else, such as an office document."""
_READ_BYTES = 2**16
_XZ_MEMORY = 2**27
"""Bytes for the dictionary of an xz file: what ``xz -9`` needs, and twice as much."""


@contextmanager
def unfolded(raw: IO[bytes], path: Path) -> Iterator[IO[bytes]]:
    """Yield the content of a file, which its first bytes say how to unfold; a plain one as it is.

    Raises:
        DatasetError: it unfolds without end, or is a zip of several files; in reading too.
        UsageError: Zstandard's files need pyarrow.
    """
    magic = raw.read(_MAGIC_BYTES)
    raw.seek(0)
    if magic[:2] == b"\x1f\x8b":
        yield _bounded(gzip.GzipFile(fileobj=raw), path)
    elif magic[:3] == b"BZh":
        yield _bounded(bz2.BZ2File(raw), path)
    elif magic == b"\xfd7zXZ\0":
        yield _bounded(_Xz(raw), path)
    elif magic[:4] == b"\x28\xb5\x2f\xfd":
        yield _bounded(_zstandard(raw), path)
    elif magic[:4] == b"PK\x03\x04":
        with untrusted_zip(path) as archive:
            members = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
            if len(members) != 1 or not members[0].lower().endswith(_TABLES):
                raise DatasetError(
                    f"{path} holds {len(members)} files, and not one text table alone: unpack it, and convert one"
                )
            with archive.open(members[0]) as member:
                yield _bounded(member, path)
    else:
        yield raw


def _bounded(stream: Any, path: Path) -> IO[bytes]:
    return cast("IO[bytes]", io.BufferedReader(_Bounded(stream, path)))


class _Bounded(io.RawIOBase):
    """Stream of an unfolded file; what it unfolds to is bounded as `vinci_offline.budget` says."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self._present, self._read = path.stat().st_size, 0

    def readable(self) -> bool:
        """Return True: `io.BufferedReader` asks."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer with the next bytes. Return how many there were; 0 at the end."""
        block = self._stream.read(len(buffer))
        buffer[: len(block)] = block
        self._read += len(block)
        if self._read > max(FREE_BYTES, RATIO * self._present) and not trusted():
            raise DatasetError(
                f"{self._path} unfolds to more than {RATIO} times its size, as no table does: unpack it first if you "
                "trust it"
            )
        return len(block)


class _Xz:
    """Stream of an xz file whose dictionary has bounded memory, which Python's own one has not."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw, self._decoder = raw, lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, size: int) -> bytes:
        """Return up to ``size`` bytes; none at the end."""
        rest = b""
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data.lstrip(b"\0") or self._raw.read(_READ_BYTES).lstrip(b"\0")
                if not rest:
                    return b""
                self._decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
            elif self._decoder.needs_input and not (rest := self._raw.read(_READ_BYTES)):
                raise EOFError("it ends in the middle")
            if block := self._decoder.decompress(rest, size):
                return block
            rest = b""


def _zstandard(raw: IO[bytes]) -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise UsageError(
            "files of Zstandard need pyarrow: pip install 'vinci-offline[arrow]', or unpack them"
        ) from None
    return pa.CompressedInputStream(pa.PythonFile(raw, "r"), "zstd")
