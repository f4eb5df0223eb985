"""Dates and times as observations: seconds since the first row of their episode."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import blocks, gathered, mapped, read
from vinci_offline.data.assembly.texts import Texts
from vinci_offline.data.columns import Column
from vinci_offline.data.dataframe import groups
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array

OBSERVED = re.compile(r"(next_)?observation(_\d+|/.*)?")
"""Names of observations in a frame."""
_NANOSECONDS = 1e9


def in_seconds(column: Column, target: str, source: str, context: ImportContext) -> Column:
    """Return times as seconds since 1970, and durations as seconds, ``[N]`` in float64.

    Raises:
        DatasetError: a row holds no time (NaT).
    """
    for first, block in blocks(column):
        if (nothing := np.isnat(block)).any():
            place = context.place(first + int(np.argmax(nothing)))
            name = printable(source)
            raise DatasetError(
                f"{context.where}: {place}: nothing in {name}: write it into the file, or leave the row out"
            )
    name = target if source == target else f"{target} ({printable(source)})"
    if column.dtype.kind == "M":
        context.decide(f"{name} is a date or time: it became the seconds since the first row of the episode")
    else:
        context.decide(f"{name} is a duration: it became seconds")
    nanoseconds = np.dtype(f"{column.dtype.kind}8[ns]")
    return mapped(
        column,
        lambda block: block.astype(nanoseconds).view(np.int64) / _NANOSECONDS,
        dtype=np.dtype(np.float64),
    )


def entries_with_times(table: Mapping[str, Column | Texts]) -> dict[str, Array]:
    """Return marks of the entries of each observation that are dates or times, by path; none without such."""
    found = {}
    for path, members, _ in groups(list(table), deep=True):
        marks = [_is_time(name, table[name]) for name in members]
        if any(marks):
            found[path] = np.array(marks)
    return found


def since_first_rows(
    columns: Mapping[str, Column], times: Mapping[str, Array], lengths: Array, context: ImportContext
) -> dict[str, Column]:
    """Return columns with times counted from the first observation of each episode.

    Args:
        columns: by path; times in seconds since 1970.
        times: marks of the entries that are times, by path.
        lengths: ``[E]`` rows of each episode.
        context: the import.

    Raises:
        DatasetError: next observations have a time where the observations have none.
    """
    found, starts = dict(columns), np.cumsum(lengths) - lengths
    for path, marks in times.items():
        own = path.removeprefix("next_")
        if not np.array_equal(marks, times.get(own, np.zeros(0))):
            raise DatasetError(
                f"{context.where}: {path} holds dates or times where {own} does not: write both alike"
            )
        rows = columns[own].shape[1:]
        first = gathered(columns[own], starts) * marks.reshape(rows or ())
        found[path] = _less(columns[path], first, starts)
    return found


def _less(column: Column, first: Array, starts: Array) -> Column:
    """Return a column less a row for each episode, ``[E, …]``."""
    count = column.shape[0]

    def load(rows: slice) -> Array:
        start, stop, _ = rows.indices(count)
        episodes = np.searchsorted(starts, np.arange(start, stop), "right") - 1
        return np.asarray(read(column, slice(start, stop)) - first[episodes])

    return Column(column.shape, column.dtype, load)


def _is_time(name: str, column: Column | Texts) -> bool:
    return OBSERVED.fullmatch(name) is not None and isinstance(column, Column) and column.dtype.kind == "M"
