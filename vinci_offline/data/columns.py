"""Columns that are read at their first access, and kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vinci_offline.data.layout import column_order
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array, Columns

BLOCK_BYTES = 2**22
_GAP_BYTES = 2**18
"""Bytes that cost about as much to read in vain as opening the file and one more read."""


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        shape: its shape, rows first.
        dtype: its dtype.
        load: reads rows ``start:stop``; it may cache other rows.
        part: reads rows ``start:stop`` and caches nothing; None where ``load`` caches nothing.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    load: Callable[[slice], Array]
    part: Callable[[slice], Array] | None = None

    @property
    def row_bytes(self) -> int:
        """The bytes of a row; at least one."""
        return max(1, math.prod(self.shape[1:]) * self.dtype.itemsize)


class LazyColumns(Mapping[str, Array]):
    """Read-only arrays by path. A column is loaded whole at its first access, in one read, and kept."""

    def __init__(self, columns: Mapping[str, Column]) -> None:
        self._columns = {path: columns[path] for path in sorted(columns, key=column_order)}
        self._loaded: dict[str, Array] = {}

    def __getitem__(self, path: str) -> Array:
        if path not in self._loaded:
            column = self._columns[path]
            self._loaded[path] = _frozen(column.load(slice(0, column.shape[0])))
        return self._loaded[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __contains__(self, path: object) -> bool:
        return path in self._columns

    def __repr__(self) -> str:
        return "\n".join(f"{path}: {c.dtype} {c.shape}" for path, c in self._columns.items())

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of a column without reading it."""
        return self._columns[path].shape

    def dtype(self, path: str) -> np.dtype[np.generic]:
        """Return the dtype of a column without reading it."""
        return self._columns[path].dtype

    def read(self, path: str, rows: slice) -> Array:
        """Read only rows ``start:stop`` of a column; cache nothing. A column that is loaded already is not read."""
        if path in self._loaded:
            return self._loaded[path][rows]
        column = self._columns[path]
        return _frozen((column.part or column.load)(rows))

    def gather(self, path: str, rows: Array) -> Array:
        """Read some rows of a column, in the order given. Neighbours are read together; memory stays bounded.

        Args:
            path: the column.
            rows: ``[M]`` row numbers from zero, in any order.
        """
        if path in self._loaded:
            return self._loaded[path][rows]
        row_bytes = self._columns[path].row_bytes
        gap, most = max(1, _GAP_BYTES // row_bytes), max(1, BLOCK_BYTES // row_bytes)
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        result = np.empty((len(rows), *self.shape(path)[1:]), self.dtype(path))
        first = 0
        while first < len(rows):
            start = int(ascending[first])
            last = int(np.searchsorted(ascending, start + most))
            apart = np.flatnonzero(np.diff(ascending[first:last]) > gap)
            last = first + int(apart[0]) + 1 if len(apart) else last
            span = self.read(path, slice(start, int(ascending[last - 1]) + 1))
            result[order[first:last]] = span[ascending[first:last] - start]
            first = last
        return result

    def blocks(self, path: str) -> Iterator[tuple[int, Array]]:
        """Yield a column in blocks of about 4 MiB, each with its first row; memory stays bounded."""
        count = self.shape(path)[0]
        step = max(1, BLOCK_BYTES // self._columns[path].row_bytes)
        for start in range(0, count, step):
            yield start, self.read(path, slice(start, min(start + step, count)))

    def together(self, paths: Sequence[str], block_bytes: int | None = None) -> Iterator[tuple[int, Columns]]:
        """Yield several columns side by side, in blocks of about 4 MiB in all, each with its first row.

        Args:
            paths: the columns.
            block_bytes: another size of a block.
        """
        count = self._rows()
        step = max(1, (block_bytes or BLOCK_BYTES) // sum(self._columns[path].row_bytes for path in paths))
        for start in range(0, count, step):
            rows = slice(start, min(start + step, count))
            yield start, {path: self.read(path, rows) for path in paths}

    def non_finite(self, path: str) -> tuple[int, int] | None:
        """Return the first row with NaN or infinite values and the number of such rows; None where there are none."""
        if self.dtype(path).kind != "f":
            return None
        first, count = -1, 0
        for start, block in self.blocks(path):
            wrong = non_finite_rows(block)
            if wrong.any():
                first = start + int(np.argmax(wrong)) if first < 0 else first
                count += int(wrong.sum())
        return (first, count) if count else None

    def _rows(self) -> int:
        return next(iter(self._columns.values())).shape[0]

    def replaced(self, path: str, column: Column) -> LazyColumns:
        """Return these columns with another one in place of the column at ``path``. Reads nothing."""

        def same(path: str, whole: Column) -> Column:
            def load(rows: slice) -> Array:
                return self[path][rows]

            def part(rows: slice) -> Array:
                return self.read(path, rows)

            return Column(whole.shape, whole.dtype, load, part)

        kept = {name: same(name, whole) for name, whole in self._columns.items()}
        return LazyColumns({**kept, path: column})

    def view(self, rows: slice | Array) -> LazyColumns:
        """Return these columns at some rows; a slice shares memory with them."""
        count = len(range(*rows.indices(self._rows()))) if isinstance(rows, slice) else len(rows)

        def column(path: str, whole: Column) -> Column:
            def load(wanted: slice) -> Array:
                # The parent caches the column, so many views of it cost one read.
                return self[path][rows][wanted] if isinstance(rows, slice) else self[path][rows[wanted]]

            def part(wanted: slice) -> Array:
                if isinstance(rows, slice):
                    mine = range(*rows.indices(whole.shape[0]))[wanted]
                    return self.read(path, slice(mine.start, mine.stop))
                return self.gather(path, rows[wanted])

            return Column((count, *whole.shape[1:]), whole.dtype, load, part)

        return LazyColumns({path: column(path, whole) for path, whole in self._columns.items()})


def non_finite_rows(block: Array) -> Array:
    """Return ``[B]``: whether each row holds NaN or an infinite value."""
    if block.dtype.kind != "f":
        return np.zeros(len(block), np.bool_)
    # One sum decides for the whole block, and almost all blocks are sound.
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(block.sum(dtype=np.float64)):
            return np.zeros(len(block), np.bool_)
    return np.asarray(~np.isfinite(block.reshape(len(block), -1)).all(axis=1))


def non_finite_error(where: str, path: str, first: int, count: int) -> DatasetError:
    """Return the error for a column in which ``count`` rows hold NaN or infinite values, the first at row ``first``."""
    return DatasetError(
        f"{where}: {path} has NaN or infinite values in {count} rows, the first is row {first}; leave them out "
        "(Dataset.rows) or record the data again"
    )


def in_memory(columns: Mapping[str, Array]) -> LazyColumns:
    """Return columns of arrays."""
    return LazyColumns(
        {path: Column(values.shape, values.dtype, values.__getitem__) for path, values in columns.items()}
    )


def chained(parts: list[LazyColumns]) -> LazyColumns:
    """Return the rows of several datasets one after the other, without columns that not all have in one shape."""
    shared = [path for path in parts[0] if all(_alike(path, parts[0], part) for part in parts)]

    def column(path: str) -> Column:
        count = sum(part.shape(path)[0] for part in parts)
        dtype = np.result_type(*(part.dtype(path) for part in parts))
        return Column(
            (count, *parts[0].shape(path)[1:]), dtype, lambda rows: _gather(parts, path, rows, dtype)
        )

    return LazyColumns({path: column(path) for path in shared})


def _alike(path: str, one: LazyColumns, other: LazyColumns) -> bool:
    return path in other and one.shape(path)[1:] == other.shape(path)[1:]


def _gather(parts: list[LazyColumns], path: str, rows: slice, dtype: np.dtype[np.generic]) -> Array:
    result = np.empty((rows.stop - rows.start, *parts[0].shape(path)[1:]), dtype)
    offset = 0
    for part in parts:
        count = part.shape(path)[0]
        first, last = max(rows.start - offset, 0), min(rows.stop - offset, count)
        if first < last:
            result[offset + first - rows.start : offset + last - rows.start] = part.read(
                path, slice(first, last)
            )
        offset += count
    return result


def _frozen(values: Array) -> Array:
    values = values.view()
    values.flags.writeable = False
    return values
