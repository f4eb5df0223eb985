"""Columns that are read when they are first looked at, and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vinci_offline.data.layout import column_order
from vinci_offline.types import Array

BLOCK_BYTES = 2**24


@dataclass(frozen=True)
class Column:
    """One column: its shape with the rows, its dtype, and how to get rows ``start:stop`` of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    load: Callable[[slice], Array]


class LazyColumns(Mapping[str, Array]):
    """Read-only arrays by path. Each is loaded whole at its first access, in one read, and kept."""

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
        """The shape of a column, which is not read for it."""
        return self._columns[path].shape

    def dtype(self, path: str) -> np.dtype[np.generic]:
        """The dtype of a column, which is not read for it."""
        return self._columns[path].dtype

    def read(self, path: str, rows: slice) -> Array:
        """Rows ``start:stop`` of a column, which is not kept where it was not loaded before."""
        if path in self._loaded:
            return self._loaded[path][rows]
        return _frozen(self._columns[path].load(rows))

    def blocks(self, path: str) -> Iterator[tuple[int, Array]]:
        """A column in pieces of about 16 MiB, each with its first row; memory stays bounded."""
        shape = self.shape(path)
        row_bytes = max(1, int(np.prod(shape[1:])) * self.dtype(path).itemsize)
        step = max(1, BLOCK_BYTES // row_bytes)
        for start in range(0, shape[0], step):
            yield start, self.read(path, slice(start, min(start + step, shape[0])))

    def non_finite(self, path: str) -> tuple[int, int] | None:
        """The first row with NaN or infinite values and how many such rows; None where there are none."""
        if self.dtype(path).kind != "f":
            return None
        first, count = -1, 0
        for start, block in self.blocks(path):
            # One sum tells for the whole block, and almost all blocks are sound.
            with np.errstate(invalid="ignore", over="ignore"):
                if np.isfinite(block.sum(dtype=np.float64)):
                    continue
            wrong = ~np.isfinite(block.reshape(len(block), -1)).all(axis=1)
            if wrong.any():
                first = start + int(np.argmax(wrong)) if first < 0 else first
                count += int(wrong.sum())
        return (first, count) if count else None

    def _rows(self) -> int:
        return next(iter(self._columns.values())).shape[0]

    def view(self, rows: slice | Array) -> LazyColumns:
        """These columns at some rows; a slice shares memory with them."""
        count = len(range(*rows.indices(self._rows()))) if isinstance(rows, slice) else len(rows)

        def loader(path: str) -> Callable[[slice], Array]:
            # The parent keeps what it reads, so that many views of it cost one read.
            if isinstance(rows, slice):
                return lambda wanted: self[path][rows][wanted]
            return lambda wanted: self[path][rows[wanted]]

        return LazyColumns(
            {path: Column((count, *c.shape[1:]), c.dtype, loader(path)) for path, c in self._columns.items()}
        )


def in_memory(columns: Mapping[str, Array]) -> LazyColumns:
    """Columns that are arrays already."""
    return LazyColumns(
        {path: Column(values.shape, values.dtype, values.__getitem__) for path, values in columns.items()}
    )


def chained(parts: list[LazyColumns]) -> LazyColumns:
    """The rows of several, one after the other; columns that not all of them have are left out."""
    shared = [path for path in parts[0] if all(path in part for part in parts)]

    def column(path: str) -> Column:
        count = sum(part.shape(path)[0] for part in parts)
        dtype = np.result_type(*(part.dtype(path) for part in parts))
        return Column(
            (count, *parts[0].shape(path)[1:]), dtype, lambda rows: _gather(parts, path, rows, dtype)
        )

    return LazyColumns({path: column(path) for path in shared})


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
