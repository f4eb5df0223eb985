"""NumPy archives that this package wrote, read strictly.

`np.savez` writes an uncompressed member ``NAME.npy`` for each array. Anything else is refused, and every size is
compared with the bytes that are there before memory is taken. Nothing is unpickled or evaluated.
"""

from __future__ import annotations

import math
import re
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vinci_offline.types import Array

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '(?P<descr>[<>|][biufU]\d{1,9})', 'fortran_order': (?P<fortran>True|False), "
    rb"'shape': \((?P<shape>(?:\d{1,19}, )*\d{0,19},?)\), \} *\n"
)
_SUFFIX = ".npy"


class ArrayLayout(NamedTuple):
    """Type and shape of an array."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Member:
    info: zipfile.ZipInfo
    layout: ArrayLayout
    start: int
    order: str


class Archive:
    """The arrays of an open file.

    Args:
        file: the file, open as a zip archive.
        size: its bytes.

    Raises:
        ValueError: `np.savez` writes no such file. `zipfile` raises errors of many kinds besides.
    """

    def __init__(self, file: zipfile.ZipFile, size: int) -> None:
        self._file = file
        infos = file.infolist()
        if sum(info.file_size for info in infos) > size:
            raise ValueError("its members claim more bytes than the file has")
        self._members: dict[str, _Member] = {}
        for info in infos:
            name = info.filename.removesuffix(_SUFFIX)
            if name in self._members or name == info.filename:
                raise ValueError(f"the member {info.filename[:80]!r} is there twice, or is no array")
            self._members[name] = self._member(info)

    @property
    def layouts(self) -> dict[str, ArrayLayout]:
        """Type and shape of each array by its name."""
        return {name: member.layout for name, member in self._members.items()}

    def read(self, name: str) -> Array:
        """Read an array. It cannot be written to.

        Raises:
            KeyError: there is none of that name.
        """
        member = self._members[name]
        with self._file.open(member.info) as stream:
            content = stream.read()
        layout = member.layout
        values = np.frombuffer(content, layout.dtype, math.prod(layout.shape), member.start)
        return values.reshape(layout.shape, order="F" if member.order == "F" else "C")

    def _member(self, info: zipfile.ZipInfo) -> _Member:
        told = repr(info.filename[:80])
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size:
            raise ValueError(f"the member {told} is compressed")
        with self._file.open(info) as stream:
            prefix = stream.read(len(_MAGIC) + 2)
            length = int.from_bytes(prefix[len(_MAGIC) :], "little")
            header = _HEADER.fullmatch(stream.read(length))
        if not prefix.startswith(_MAGIC) or header is None:
            raise ValueError(f"the member {told} has no header of a plain array")
        dtype = np.dtype(header["descr"].decode("ascii"))
        shape = tuple(int(size) for size in header["shape"].split(b",") if size.strip())
        start = len(prefix) + length
        if start + math.prod(shape) * dtype.itemsize != info.file_size:
            raise ValueError(f"the member {told} of shape {shape} has {info.file_size - start:,} bytes")
        return _Member(info, ArrayLayout(dtype, shape), start, "F" if header["fortran"] == b"True" else "C")


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open an archive for reading. A damaged one raises errors of many kinds."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a regular file")  # opening a pipe would wait for its writer
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        yield Archive(archive, status.st_size)
