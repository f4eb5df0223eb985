"""Columns made of other columns. Nothing is read before some rows are asked for, and only those rows are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.types import Array

_LARGEST_KEPT = 2**27
_ALONE = layout.INFOS
"""Any name of a column would do."""


def held(values: Array) -> Column:
    """Return a column that lies in memory."""
    return Column(values.shape, values.dtype, values.__getitem__)


def zeros(count: int) -> Column:
    """Return ``[count]`` float32 zeros, made when they are asked for."""
    return Column((count,), np.dtype(np.float32), lambda rows: np.zeros(_length(rows, count), np.float32))


def mapped(
    column: Column,
    change: Callable[[Array], Array],
    *,
    rows: tuple[int, ...] | None = None,
    dtype: np.dtype[np.generic] | None = None,
) -> Column:
    """Return a column whose blocks are changed as they are read.

    Args:
        column: the source.
        change: maps ``[B, …]`` to as many rows.
        rows: the shape of a changed row, where it is another.
        dtype: of the changed rows, where it is another.
    """
    shape = column.shape if rows is None else (column.shape[0], *rows)
    return Column(shape, dtype or column.dtype, lambda wanted: change(read(column, wanted)))


def reshaped(column: Column, rows: tuple[int, ...]) -> Column:
    """Return a column whose rows have another shape of the same size."""
    return mapped(column, lambda block: block.reshape(len(block), *rows), rows=rows)


def as_dtype(column: Column, dtype: np.dtype[np.generic]) -> Column:
    """Return a column of another dtype."""
    return mapped(column, lambda block: block.astype(dtype), dtype=dtype)


def side_by_side(parts: Sequence[Column]) -> Column:
    """Return ``[N, K]`` of columns ``[N]`` or ``[N, …]``, whose K numbers a row come one after the other."""
    dtype = np.result_type(*(part.dtype for part in parts))
    sizes = [math.prod(part.shape[1:]) for part in parts]
    first = np.cumsum([0, *sizes])

    def load(rows: slice) -> Array:
        blocks = [read(part, rows) for part in parts]
        result = np.empty((len(blocks[0]), first[-1]), dtype)
        for index, block in enumerate(blocks):
            result[:, first[index] : first[index + 1]] = block.reshape(len(block), sizes[index])
        return result

    return Column((parts[0].shape[0], int(first[-1])), dtype, load)


def picked(column: Column, count: int, sources: Callable[[slice], Array]) -> Column:
    """Return the rows of a column that another numbering names.

    Args:
        column: the source.
        count: the number of rows of the result.
        sources: maps a slice of the result to ``[B]`` rows of the source, not far apart, that never descend.
    """

    def load(rows: slice) -> Array:
        start, stop, _ = rows.indices(count)
        if start >= stop:
            return read(column, slice(0, 0))
        numbers = sources(slice(start, stop))
        first, last = int(numbers[0]), int(numbers[-1]) + 1
        block = read(column, slice(first, last))
        # Not by the count alone: a row that is left out and one that comes twice make up for each other.
        return block if (np.diff(numbers) == 1).all() else block[numbers - first]

    return Column((count, *column.shape[1:]), column.dtype, load)


def permuted(column: Column, order: Array) -> Column:
    """Return the rows of a column in another order, ``[M]`` row numbers."""
    return Column((len(order), *column.shape[1:]), column.dtype, lambda rows: gathered(column, order[rows]))


def gathered(column: Column, rows: Array) -> Array:
    """Return some rows of a column, in the order given."""
    return LazyColumns({_ALONE: column}).gather(_ALONE, rows)


def shared(column: Column) -> Column:
    """Return a column that keeps the block it read last, and one row beyond it.

    A column of next observations reads the rows of the observations, one further: with this each row of the source is
    read once.
    """
    count = column.shape[0]
    row_bytes = column.row_bytes
    kept: list[tuple[int, Array]] = []

    def load(rows: slice) -> Array:
        start, stop, _ = rows.indices(count)
        for first, values in tuple(kept):  # a copy: another thread may read, too
            if first <= start and stop <= first + len(values):
                return values[start - first : stop - first]
        values = read(column, slice(start, min(stop + 1, count)))
        kept[:] = [(start, values)] if len(values) * row_bytes <= _LARGEST_KEPT else []
        return values[: max(0, stop - start)]

    return Column(column.shape, column.dtype, load)


def read(column: Column, rows: slice) -> Array:
    """Return some rows; nothing beyond them stays in memory."""
    return (column.part or column.load)(rows)


def blocks(column: Column) -> Iterator[tuple[int, Array]]:
    """Yield a column in blocks of about 4 MiB, each with its first row."""
    return LazyColumns({_ALONE: column}).blocks(_ALONE)


def whole(column: Column) -> Array:
    """Return all rows of a column, for columns that must lie in memory."""
    return read(column, slice(0, column.shape[0]))


def _length(rows: slice, count: int) -> int:
    return len(range(*rows.indices(count)))
