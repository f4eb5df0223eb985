"""Untrusted zip files of arrays: what the directory says is checked before anything is unfolded."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vinci_offline.budget import Tally, limit
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable

_END = b"PK\x05\x06"
_END_BYTES = 22
_LARGEST_REMARK = 2**16
_LARGEST_DIRECTORY = 2**20
_LOCATOR = b"PK\x06\x07"
_KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def is_zip(path: Path) -> bool:
    """Tell whether a file ends as a zip does. Never raises."""
    try:
        return path.is_file() and _END in _tail(path)
    except OSError:
        return False


@contextmanager
def untrusted_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip whose members may be unfolded one after the other.

    Raises:
        DatasetError: there are too many members, or two of one name, or one is encrypted, or packed as no array is, or
            all of them unfold to more than the budget.
        zipfile.BadZipFile: the directory is damaged.
    """
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
        tally, names = Tally(str(path), path.stat().st_size), set()
        for info in archive.infolist():
            name = printable(info.filename)[:100]
            if info.filename in names:
                raise DatasetError(f"{path} has two members named {name}: write it anew")
            if info.flag_bits & 1:
                raise DatasetError(f"{path}: {name} is encrypted: unpack it and write it anew")
            if info.compress_type not in _KNOWN:
                raise DatasetError(f"{path}: {name} is not packed as NumPy packs arrays: write it anew")
            names.add(info.filename)
            tally.add(f"the array {name}", info.file_size)
        yield archive


def _check_directory(path: Path) -> None:
    """Refuse a directory of many members before Python makes an object of each."""
    tail = _tail(path)
    end = tail.rfind(_END)
    if end < 0 or len(tail) - end < _END_BYTES:
        raise zipfile.BadZipFile("it does not end as a zip does")
    size = int.from_bytes(tail[end + 12 : end + 16], "little")
    if end >= 76 and tail[end - 20 : end - 16] == _LOCATOR:  # a record of 64 bits lies before it
        size = int.from_bytes(tail[end - 36 : end - 28], "little")
    limit(str(path), "bytes in its list of members", size, _LARGEST_DIRECTORY)


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(-min(file.tell(), _END_BYTES + _LARGEST_REMARK + 76), 2)
        return file.read()
