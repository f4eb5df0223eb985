"""Open HDF5 files for reading, and turn what HDF5 stumbles over into one line."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from vinci_offline.data.hdf5.chunks import StoredArray
from vinci_offline.data.hdf5.heaps import check_heaps
from vinci_offline.errors import DatasetError
from vinci_offline.text import convert_command, printable
from vinci_offline.types import Array

Stamp = tuple[int, int, int]
"""Inode, size and time of change: they tell a file from one that replaced it later."""

_LARGEST_KEPT = 2**22
_SUFFIXES = (".h5", ".hdf5")
_thread = threading.local()


@contextmanager
def open_hdf5(path: Path, stamp: Stamp | None = None) -> Iterator[h5py.File]:
    """Open a file for reading; an error of HDF5 inside the block becomes a DatasetError.

    Raises:
        DatasetError: the file is missing, is no HDF5 file, is damaged, or is not the one that had ``stamp``.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist")
    if not path.is_file():
        raise DatasetError(_folder(path) if path.is_dir() else f"{path} is not a file: give an HDF5 file")
    if stamp is not None and file_stamp(path) != stamp:
        raise DatasetError(f"{path} was changed since it was opened: open it again")
    kept: _KeptFile | None = getattr(_thread, "kept", None)
    try:
        if stamp is None:
            check_heaps(path)
        if kept is None:
            with _open(path) as file:
                yield file
        else:
            yield kept.file(path)
    except PermissionError as error:
        raise DatasetError(f"{path} cannot be read: permission denied") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise DatasetError(_damage(path, error)) from error


@contextmanager
def files_kept_open() -> Iterator[None]:
    """Keep the file of this thread's reads open between them, for many reads that follow each other.

    The current chunk of each compressed column stays in memory, so that ascending reads decompress it once.
    """
    _thread.kept = kept = _KeptFile()
    try:
        yield
    finally:
        _thread.kept = None
        kept.close()


def column_of(file: h5py.File, path: str) -> StoredArray:
    """Return an array of a file that `open_hdf5` gave; within `files_kept_open` it is kept open too."""
    kept: _KeptFile | None = getattr(_thread, "kept", None)
    return StoredArray(file[path]) if kept is None else kept.column(path)


def read_rows(path: Path, stamp: Stamp, place: str, rows: slice, *, turned: bool = False) -> Array:
    """Read rows of one array of a file that was looked at before, in native byte order.

    Args:
        path: the file.
        stamp: the stamp of the file that was looked at.
        place: the path of the array.
        rows: the rows.
        turned: the array's axes lie the other way round: its last one counts the rows.

    Raises:
        DatasetError: the file is damaged or was changed since.
    """
    with open_hdf5(path, stamp) as file:
        column = column_of(file, place)
        values: Array = column[..., rows].T if turned else column[rows]
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def file_stamp(path: Path) -> Stamp:
    """Return what tells a file from another of the same name."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


class _KeptFile:
    """The file read last, and its columns. Only one is kept, so that the chunks of many files do not pile up."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: h5py.File | None = None
        self._columns: dict[str, StoredArray] = {}

    def file(self, path: Path) -> h5py.File:
        if self._file is None or path != self._path:
            self.close()
            self._file, self._path = _open(path), path
        return self._file

    def column(self, path: str) -> StoredArray:
        if path not in self._columns:
            assert self._file is not None
            dataset = self._file[path]
            size = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
            filtered = dataset.id.get_create_plist().get_nfilters() > 0
            del dataset  # while it is open, its cache cannot be changed
            access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
            access.set_chunk_cache(11, size if filtered and size <= _LARGEST_KEPT else 0, 1.0)
            self._columns[path] = StoredArray(
                h5py.Dataset(h5py.h5d.open(self._file.id, path.encode(), access))
            )
        return self._columns[path]

    def close(self) -> None:
        self._columns.clear()
        if self._file is not None:
            self._file.close()
        self._path, self._file = None, None


def _open(path: Path) -> h5py.File:
    # A read visits each chunk once: a cache of chunks would only copy them, and read more than was asked for.
    return h5py.File(path, "r", rdcc_nbytes=0)


def _damage(path: Path, error: Exception) -> str:
    """Return what an error of HDF5 means for the user."""
    text = printable(" ".join(str(error).split()))
    if not _has_signature(path):
        if path.suffix.lower() not in _SUFFIXES:
            return f"{path} is not an HDF5 file: convert it first with: {convert_command(path)}"
        return f"{path} is not an HDF5 file: give a dataset that `vinci-offline collect` wrote"
    if "truncated" in text:
        return f"{path} is truncated ({path.stat().st_size:,} bytes are left): copy or record it again"
    return f"{path} is damaged and cannot be read ({text}): copy or record it again"


def _folder(path: Path) -> str:
    """Return what a folder is, and what to give in its place."""
    if (path / "config.json").is_file() and (path / "dataset.json").is_file():
        return f"{path} is a run directory, not a dataset: give the file that it learned from"
    inside = sorted(each for each in path.iterdir() if each.suffix.lower() in _SUFFIXES)
    if inside:
        return f"{path} is a folder: give a file in it, such as {inside[0]}"
    if not any(path.iterdir()):
        return f"{path} is an empty folder: give an HDF5 file"
    return f"{path} is a folder, not an HDF5 file: convert a dataset of another tool with: {convert_command(path)}"


def _has_signature(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n" or bool(h5py.is_hdf5(path))
    except OSError:
        return False
