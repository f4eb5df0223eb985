"""The episode table: one row an episode, derived from the flags where a file has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.data.columns import LazyColumns
from vinci_offline.data.episode_columns import (
    DERIVED,
    FRAGMENT,
    LENGTH,
    RETURN,
    SEED,
    START,
    TERMINATED,
    TRUNCATED,
)
from vinci_offline.data.layout import REWARDS, TERMINALS, TIMEOUTS
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array, Columns

if TYPE_CHECKING:
    from pandas import DataFrame

_FIRST = (START, LENGTH, RETURN, SEED, TERMINATED, TRUNCATED, FRAGMENT)
FLAG_COLUMNS = {TERMINATED: TERMINALS, TRUNCATED: TIMEOUTS}
"""The table's columns that repeat a flag of an episode's last row, and the column of that flag."""


class EpisodeTable:
    """Episodes of successive appends."""

    def __init__(self) -> None:
        self._parts: list[Columns] = []
        self._without = False

    def append(self, rows: Mapping[str, Array], episodes: Mapping[str, Array] | None, start: int) -> None:
        """Add the episodes that ``rows`` are made of.

        Args:
            rows: the columns of the rows.
            episodes: an entry an episode, as `DatasetWriter.append` takes them; None for rows without episodes.
            start: the file row of the first of the rows.

        Raises:
            DatasetError: the entries do not describe these rows, or earlier appends had other entries.
        """
        if episodes is None or self._without:
            if self._parts or episodes is not None:
                raise DatasetError("append: episodes were given for some rows and not for others")
            self._without = True
            return
        entries = {name: np.asarray(values) for name, values in episodes.items() if name != START}
        part = complete(rows, entries)
        part[START] += start
        part[TRUNCATED] = ~part[TERMINATED].astype(np.bool_)  # the writer marks every end
        if self._parts and set(part) != set(self._parts[0]):
            raise DatasetError(
                f"append: episodes have {', '.join(part)}, and earlier ones {', '.join(self._parts[0])}"
            )
        self._parts.append(part)

    def describe(self, episodes: Mapping[str, Array], count: int) -> None:
        """Take the whole table at once, after ``count`` rows were appended without episodes.

        Raises:
            DatasetError: episodes were given before, or these do not describe so many rows.
        """
        table = {name: np.asarray(values) for name, values in episodes.items()}
        missing = [name for name in DERIVED if name != START and name not in table]
        if self._parts or missing:
            what = f"the entries {', '.join(missing)} are missing" if missing else "they were given already"
            raise DatasetError(f"episodes: {what}")
        table[START] = starts(table[LENGTH].astype(np.int64))
        if wrong := inconsistencies(table, count):
            raise DatasetError(f"episodes: {wrong[0]}")
        self._parts.append(with_fragments(table))

    def arrays(self) -> Columns:
        """Return the whole table; empty where there are no episodes."""
        if not self._parts:
            return {}
        return ordered(
            {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        )


def starts(length: Array) -> Array:
    """Return ``[E]`` the first rows of episodes that follow each other without gaps, from their lengths."""
    return np.asarray(np.cumsum(length) - length)


def last_rows(table: Mapping[str, Array]) -> Array:
    """Return ``[E]`` the last row of each episode."""
    return np.asarray(table[START] + table[LENGTH] - 1)


def episodes_of(table: Mapping[str, Array], rows: Array) -> Array:
    """Return the number of the episode that each of ``rows`` lies in."""
    return np.asarray(np.searchsorted(table[START], rows, "right") - 1)


def known_facts(table: Mapping[str, Array]) -> list[str]:
    """Return the names of the table's columns that do not follow from the rows, such as ``seed``.

    ``fragment`` is among them only if there is a fragment.
    """
    none = {FRAGMENT} if FRAGMENT in table and not table[FRAGMENT].any() else set()
    return [name for name in table if name not in DERIVED and name not in none]


def whole(table: Mapping[str, Array]) -> Array:
    """Return ``[E]``: whether each episode is a whole one, and no fragment."""
    return np.asarray(~table[FRAGMENT])


def whole_returns(table: Mapping[str, Array]) -> Array:
    """Return the returns of the whole episodes, without fragments."""
    return np.asarray(table[RETURN][whole(table)])


def known_returns(table: Mapping[str, Array]) -> Array:
    """Return ``[E]`` the return of each episode; NaN for a fragment, whose missing rewards nobody knows."""
    return np.where(table[FRAGMENT], np.nan, table[RETURN])


def with_fragments(table: Columns) -> Columns:
    """Return the table with its ``fragment`` column; without one, an episode that no flag ends is a fragment."""
    if FRAGMENT in table:
        return {**table, FRAGMENT: table[FRAGMENT].astype(np.bool_)}
    return {**table, FRAGMENT: ~(table[TERMINATED].astype(np.bool_) | table[TRUNCATED].astype(np.bool_))}


def complete(rows: Mapping[str, Array], entries: Columns) -> Columns:
    """Return a table of consecutive episodes that covers ``rows``; missing columns are computed.

    Args:
        rows: the columns of the rows.
        entries: ``length``, and any other columns.

    Raises:
        DatasetError: the lengths do not add up to the rows, or an entry is not one number an episode.
    """
    count = _count(rows)
    if LENGTH not in entries:
        raise DatasetError("episodes: the entry 'length' is missing")
    if not are_whole_numbers(entries[LENGTH]):
        raise DatasetError("episodes: a length that is no whole number")
    length = entries[LENGTH].astype(np.int64)
    wrong = [
        name
        for name, values in entries.items()
        if values.shape != (len(length),) or values.dtype.kind not in "biuf"
    ]
    if wrong:
        raise DatasetError(
            f"episodes: {', '.join(wrong)} must be one number an episode ({len(length)} episodes)"
        )
    if len(length) and length.min() < 1:
        raise DatasetError("episodes: a length below one")
    if length.sum() != count:
        raise DatasetError(f"episodes: lengths add up to {length.sum()}, and there are {count} rows")
    table = {**entries, START: starts(length), LENGTH: length}
    if RETURN not in table:
        table[RETURN] = returns(_blocks(rows, REWARDS), table[START])
    for name, path in FLAG_COLUMNS.items():
        if name not in table:
            last = last_rows(table)
            flags = rows.gather(path, last) if isinstance(rows, LazyColumns) else rows[path][last]
            table[name] = flags.astype(np.bool_)
    return ordered(with_fragments(table))


def derive(rows: Mapping[str, Array], breaks: Array | None = None, steps: Array | None = None) -> Columns:
    """Return the episodes that the flags end, and those that ``breaks`` begin. Columns of a file are read in blocks.

    Args:
        rows: columns; rewards, terminals and timeouts are read.
        breaks: rows that begin an episode without a flag in the row before.
        steps: ``[N]`` each row's step in its episode, where it is known: a piece that begins later than at 0 is a
            fragment.
    """
    count = _count(rows)
    ends = [
        first + np.flatnonzero(flags)
        for path in (TERMINALS, TIMEOUTS)
        for first, flags in _blocks(rows, path)
    ]
    begins = [np.zeros(1, np.int64), *(each + 1 for each in ends), *([] if breaks is None else [breaks])]
    start = np.unique(np.concatenate(begins))
    start = start[start < count]
    table = complete(rows, {LENGTH: np.diff(start, append=count)})
    if steps is not None:
        table[FRAGMENT] = table[FRAGMENT] | (steps[start] != 0)
    return table


def inherit(pieces: Columns, table: Mapping[str, Array], episodes: Array) -> Columns:
    """Return the table of pieces of episodes, with the facts of the whole episodes.

    A piece that lacks rows of its episode is a fragment.

    Args:
        pieces: the pieces' own table.
        table: the table of the whole episodes.
        episodes: ``[E]`` the episode that each piece belongs to.
    """
    known = {name: values[episodes] for name, values in table.items() if name not in pieces}
    cut = (pieces[LENGTH] < table[LENGTH][episodes]) | table[FRAGMENT][episodes]
    return ordered({**pieces, **known, FRAGMENT: cut})


def chained(tables: list[Mapping[str, Array]]) -> Columns:
    """Return the table of several datasets one after the other; columns that not all of them have are left out."""
    names = [name for name in tables[0] if all(name in table for table in tables)]
    table = {name: np.concatenate([table[name] for table in tables]) for name in names}
    table[START] = starts(table[LENGTH])
    return table


def returns(blocks: Iterable[tuple[int, Array]], start: Array) -> Array:
    """Return the undiscounted sum of rewards in float64 of each episode that begins at ``start``.

    Args:
        blocks: the rewards in blocks of rows, each with its first row.
        start: ascending rows; each episode reaches to the next one's start.
    """
    totals = np.zeros(len(start))
    for first, rewards in blocks:
        # An episode may begin in an earlier block.
        begun = max(int(np.searchsorted(start, first, "right")) - 1, 0)
        ended = int(np.searchsorted(start, first + len(rewards)))
        if begun < ended:
            places = np.maximum(start[begun:ended] - first, 0)
            with np.errstate(over="ignore", invalid="ignore"):  # an infinite sum is the honest one
                totals[begun:ended] += np.add.reduceat(rewards.astype(np.float64), places)
    return totals


def ordered(table: Mapping[str, Array]) -> Columns:
    """Return the table with its known columns first."""
    known = [name for name in _FIRST if name in table]
    return {name: table[name] for name in [*known, *(name for name in table if name not in known)]}


def inconsistencies(table: Mapping[str, Array], count: int) -> list[str]:
    """Return what keeps a stored table from describing ``count`` rows; empty for a sound table."""
    missing = [name for name in (START, LENGTH) if name not in table]
    if missing:
        return [f"has no {' and no '.join(missing)}"]
    if fractions := [name for name in (START, LENGTH) if not are_whole_numbers(table[name])]:
        return [f"has a {fractions[0]} that is no whole number"]
    start, length = table[START].astype(np.int64), table[LENGTH].astype(np.int64)
    found = []
    wrong = (length < 1) | (length > count)
    if wrong.any():
        found.append(f"episode {int(np.argmax(wrong))} has length {length[wrong][0]}")
    elif length.sum() != count:
        found.append(f"lengths add up to {length.sum()}, and there are {count} rows")
    expected = starts(length)
    if (start != expected).any():
        first = int(np.argmax(start != expected))
        found.append(
            f"episode {first} starts at row {start[first]}, not where the one before ends ({expected[first]})"
        )
    return found


def are_whole_numbers(values: Array) -> bool:
    """Return whether all values are whole numbers, of any dtype."""
    return values.dtype.kind in "iu" or (
        values.dtype.kind == "f" and bool((np.isfinite(values) & (values == np.trunc(values))).all())
    )


def frame(table: Mapping[str, Array]) -> DataFrame:
    """Return the table as a DataFrame. The return of a fragment is NaN, which pandas leaves out of means and ranks."""
    import pandas as pd

    return pd.DataFrame({**table, RETURN: known_returns(table)})


def _count(rows: Mapping[str, Array]) -> int:
    return rows.shape(REWARDS)[0] if isinstance(rows, LazyColumns) else len(rows[REWARDS])


def _blocks(rows: Mapping[str, Array], path: str) -> Iterable[tuple[int, Array]]:
    return rows.blocks(path) if isinstance(rows, LazyColumns) else [(0, rows[path])]
