"""A temporary store of rows: appended piece by piece, read back in any block. Many rows lie in a file."""

from __future__ import annotations

import errno
import math
import os
import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, VinciError
from vinci_offline.types import Array

HELD_BYTES = 2**25
"""Rows of fewer bytes stay in memory."""
PIECE_BYTES = 2**22


@dataclass
class _Piece:
    """Some rows: arrays by path, or their places in the file."""

    first: int
    count: int
    arrays: dict[str, Array]
    places: dict[str, tuple[int, np.dtype[np.generic]]] = field(default_factory=dict)


class Spool:
    """Columns that grow; `columns` returns them once all rows are there.

    The file has no name, so that it vanishes with the last column that reads it. It lies in ``TMPDIR``, else in
    ``/var/tmp``, since ``/tmp`` is memory on many machines.

    Args:
        where: the source, for messages.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self.rows = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._dtypes: dict[str, np.dtype[np.generic]] = {}
        self._pieces: list[_Piece] = []
        self._waiting: list[Mapping[str, Array]] = []
        self._waiting_bytes = self._held_bytes = self._end = 0
        self._file: int | None = None

    def append(self, rows: Mapping[str, Array]) -> None:
        """Add rows.

        Args:
            rows: as many of each column, at least one; the columns are those of the first call.

        Raises:
            DatasetError: a column is missing or new, or its rows have another shape than before.
            VinciError: there is no room for the file.
        """
        count = len(next(iter(rows.values())))
        if not self._shapes:
            self._shapes = {path: values.shape[1:] for path, values in rows.items()}
            self._dtypes = {path: values.dtype for path, values in rows.items()}
        for path in {**self._shapes, **rows}:
            if path not in rows or path not in self._shapes or rows[path].shape[1:] != self._shapes[path]:
                raise DatasetError(f"{self.where}: {path} is not alike in all rows: convert such rows apart")
            if len(rows[path]) != count:
                raise DatasetError(f"{self.where}: {path} has {len(rows[path])} rows, not {count}")
            if rows[path].dtype != self._dtypes[path]:
                self._dtypes[path] = self._common(path, rows[path].dtype)
        self._waiting.append(rows)
        self._waiting_bytes += sum(values.nbytes for values in rows.values())
        self.rows += count
        if self._waiting_bytes >= PIECE_BYTES:
            self._settle()

    def _common(self, path: str, dtype: np.dtype[np.generic]) -> np.dtype[np.generic]:
        """Return a dtype that holds a column's rows so far and those of another dtype."""
        try:
            return np.result_type(self._dtypes[path], dtype)
        except TypeError:
            raise DatasetError(
                f"{self.where}: {path} is {dtype} in some rows and {self._dtypes[path]} in others: write all alike"
            ) from None

    def drop(self, path: str) -> None:
        """Forget a column; rows appended later must not have it."""
        self._shapes.pop(path, None)
        self._dtypes.pop(path, None)
        self._waiting = [{key: each[key] for key in each if key != path} for each in self._waiting]

    def columns(self) -> dict[str, Column]:
        """Return the columns of all rows; numbers of several dtypes have one that holds them all."""
        self._settle()
        return {
            path: Column((self.rows, *shape), self._dtypes[path], partial(self._read, path))
            for path, shape in self._shapes.items()
        }

    def _settle(self) -> None:
        """Join the waiting rows to a piece, in memory or in the file."""
        if not self._waiting:
            return
        joined = {path: np.concatenate([each[path] for each in self._waiting]) for path in self._shapes}
        count = len(next(iter(joined.values())))
        done = sum(piece.count for piece in self._pieces[-1:]) + (
            self._pieces[-1].first if self._pieces else 0
        )
        self._pieces.append(_Piece(done, count, joined))
        self._held_bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        if self._held_bytes > HELD_BYTES:
            for piece in self._pieces:
                self._write(piece)
            self._held_bytes = 0

    def _write(self, piece: _Piece) -> None:
        """Move the arrays of a piece to the file."""
        for path, values in piece.arrays.items():
            piece.places[path] = self._end, values.dtype
            rest = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
            while rest:
                written = self._into_file(rest)
                self._end, rest = self._end + written, rest[written:]
        piece.arrays = {}

    def _into_file(self, content: memoryview) -> int:
        folder = _folder()
        try:
            if self._file is None:
                self._file, name = tempfile.mkstemp(prefix="vinci-offline-", dir=folder)
                weakref.finalize(self, os.close, self._file)
                Path(name).unlink()
            return os.pwrite(self._file, content, self._end)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise VinciError(
                    f"{self.where}: no room for its rows in {folder}: set TMPDIR to a folder with more"
                ) from error
            raise VinciError(f"{self.where}: its rows cannot be kept in {folder}: {error}") from error

    def _read(self, path: str, rows: slice) -> Array:
        start, stop, _ = rows.indices(self.rows)
        shape = self._shapes[path]
        result = np.empty((max(0, stop - start), *shape), self._dtypes[path])
        number = max(0, bisect_right(self._pieces, start, key=lambda piece: piece.first) - 1)
        for piece in self._pieces[number:]:
            first, last = max(start, piece.first), min(stop, piece.first + piece.count)
            if first >= last:
                break
            result[first - start : last - start] = self._part(
                piece, path, first - piece.first, last - piece.first
            )
        return result

    def _part(self, piece: _Piece, path: str, first: int, last: int) -> Array:
        """Return rows of a piece."""
        if not piece.places:
            return piece.arrays[path][first:last]
        place, dtype = piece.places[path]
        shape = self._shapes[path]
        row_bytes = math.prod(shape) * dtype.itemsize
        values = np.empty((last - first, *shape), dtype)
        rest, place = values.reshape(-1).view(np.uint8).data, place + first * row_bytes
        assert self._file is not None
        while rest:
            count = os.preadv(self._file, [rest], place)
            if not count:
                raise DatasetError(f"{self.where}: its rows are gone from {_folder()}: convert it again")
            rest, place = rest[count:], place + count
        return values


def _folder() -> str:
    """Return the folder of temporary files that are large."""
    chosen = os.environ.get("TMPDIR")
    return chosen or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else tempfile.gettempdir())  # noqa: S108
