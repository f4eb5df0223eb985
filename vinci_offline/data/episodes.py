"""The episode table: one row an episode, derived from the flags where a file has none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.data.columns import LazyColumns
from vinci_offline.data.layout import REWARDS, TERMINALS, TIMEOUTS
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array, Columns

if TYPE_CHECKING:
    from pandas import DataFrame

_FIRST = ("start", "length", "return", "seed", "terminated", "truncated")


class EpisodeTable:
    """Gathers the episodes of successive appends."""

    def __init__(self) -> None:
        self._parts: list[Columns] = []
        self._without = False

    def append(self, rows: Mapping[str, Array], episodes: Mapping[str, Array] | None, start: int) -> None:
        """Add the episodes that ``rows`` are made of; ``start`` is the file row of the first.

        Raises:
            DatasetError: the entries do not describe these rows, or differ from the earlier ones in kind.
        """
        if episodes is None or self._without:
            if self._parts or episodes is not None:
                raise DatasetError("append: episodes were given for some rows and not for others")
            self._without = True
            return
        entries = {name: np.asarray(values) for name, values in episodes.items() if name != "start"}
        part = complete(rows, entries)
        part["start"] += start
        if self._parts and set(part) != set(self._parts[0]):
            raise DatasetError(
                f"append: episodes have {', '.join(part)}, and earlier ones {', '.join(self._parts[0])}"
            )
        self._parts.append(part)

    def describe(self, episodes: Mapping[str, Array], count: int) -> None:
        """Take the whole table at once; ``count`` rows were appended without episodes.

        Raises:
            DatasetError: episodes were given before, or these do not describe so many rows.
        """
        table = {name: np.asarray(values) for name, values in episodes.items()}
        missing = [name for name in ("length", "return", "terminated", "truncated") if name not in table]
        if self._parts or missing:
            what = f"the entries {', '.join(missing)} are missing" if missing else "they were given already"
            raise DatasetError(f"episodes: {what}")
        length = table["length"].astype(np.int64)
        table["start"] = np.cumsum(length) - length
        if wrong := inconsistencies(table, count):
            raise DatasetError(f"episodes: {wrong[0]}")
        self._parts.append(table)

    def arrays(self) -> Columns:
        """The whole table; empty where there are no episodes."""
        if not self._parts:
            return {}
        return ordered(
            {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        )


def complete(rows: Mapping[str, Array], entries: Columns) -> Columns:
    """A table of consecutive episodes that covers ``rows``, from their ``length`` and what else is given.

    Raises:
        DatasetError: the lengths do not add up to the rows, or an entry is not one number an episode.
    """
    count = _count(rows)
    if "length" not in entries:
        raise DatasetError("episodes: the entry 'length' is missing")
    if not whole(entries["length"]):
        raise DatasetError("episodes: a length that is no whole number")
    length = entries["length"].astype(np.int64)
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
    start = np.cumsum(length) - length
    last = start + length - 1
    table = {
        "start": start,
        "length": length,
        **{k: v for k, v in entries.items() if k not in {"start", "length"}},
    }
    if "return" not in table:
        table["return"] = returns(_pieces(rows, REWARDS), start)
    for name, path in (("terminated", TERMINALS), ("truncated", TIMEOUTS)):
        if name not in table:
            flags = rows.gather(path, last) if isinstance(rows, LazyColumns) else rows[path][last]
            table[name] = flags.astype(np.bool_)
    return ordered(table)


def derive(rows: Mapping[str, Array], breaks: Array | None = None) -> Columns:
    """The episodes that the flags end, and those that ``breaks`` cut; columns of a file are read in blocks.

    Args:
        rows: columns; rewards, terminals and timeouts are read.
        breaks: rows that begin an episode whatever the flags of the row before say.
    """
    count = _count(rows)
    ends = [
        first + np.flatnonzero(flags)
        for path in (TERMINALS, TIMEOUTS)
        for first, flags in _pieces(rows, path)
    ]
    begins = [np.zeros(1, np.int64), *(each + 1 for each in ends), *([] if breaks is None else [breaks])]
    start = np.unique(np.concatenate(begins))
    start = start[start < count]
    return complete(rows, {"length": np.diff(start, append=count)})


def inherit(pieces: Columns, table: Mapping[str, Array], episodes: Array) -> Columns:
    """The table of ``pieces`` of episodes, with what else ``table`` knows of the ones that they are pieces of.

    Args:
        pieces: the pieces' own table.
        table: the table of the whole episodes.
        episodes: ``[E]`` which episode each piece belongs to.
    """
    known = {name: values[episodes] for name, values in table.items() if name not in pieces}
    return ordered({**pieces, **known})


def returns(pieces: Iterable[tuple[int, Array]], start: Array) -> Array:
    """Undiscounted sums of rewards in float64, one for each episode that begins at ``start``.

    Args:
        pieces: the rewards in blocks of rows, each with its first row.
        start: ascending rows; each episode reaches to the next one's start.
    """
    totals = np.zeros(len(start))
    for first, rewards in pieces:
        # An episode may begin in an earlier piece.
        begun = max(int(np.searchsorted(start, first, "right")) - 1, 0)
        ended = int(np.searchsorted(start, first + len(rewards)))
        if begun < ended:
            places = np.maximum(start[begun:ended] - first, 0)
            with np.errstate(over="ignore", invalid="ignore"):  # an infinite sum is the honest one
                totals[begun:ended] += np.add.reduceat(rewards.astype(np.float64), places)
    return totals


def _count(rows: Mapping[str, Array]) -> int:
    return rows.shape(REWARDS)[0] if isinstance(rows, LazyColumns) else len(rows[REWARDS])


def _pieces(rows: Mapping[str, Array], path: str) -> Iterable[tuple[int, Array]]:
    return rows.blocks(path) if isinstance(rows, LazyColumns) else [(0, rows[path])]


def ordered(table: Mapping[str, Array]) -> Columns:
    """The table with its known entries first."""
    known = [name for name in _FIRST if name in table]
    return {name: table[name] for name in [*known, *(name for name in table if name not in known)]}


def inconsistencies(table: Mapping[str, Array], count: int) -> list[str]:
    """What keeps a stored table from describing ``count`` rows; empty where nothing does."""
    missing = [name for name in ("start", "length") if name not in table]
    if missing:
        return [f"has no {' and no '.join(missing)}"]
    if fractions := [name for name in ("start", "length") if not whole(table[name])]:
        return [f"has a {fractions[0]} that is no whole number"]
    start, length = table["start"].astype(np.int64), table["length"].astype(np.int64)
    found = []
    wrong = (length < 1) | (length > count)
    if wrong.any():
        found.append(f"episode {int(np.argmax(wrong))} has length {length[wrong][0]}")
    elif length.sum() != count:
        found.append(f"lengths add up to {length.sum()}, and there are {count} rows")
    expected = np.cumsum(length) - length
    if (start != expected).any():
        first = int(np.argmax(start != expected))
        found.append(
            f"episode {first} starts at row {start[first]}, not where the one before ends ({expected[first]})"
        )
    return found


def whole(values: Array) -> bool:
    """Whether all of them are whole numbers, of whatever dtype."""
    return values.dtype.kind in "iu" or (
        values.dtype.kind == "f" and bool((np.isfinite(values) & (values == np.trunc(values))).all())
    )


def frame(table: Mapping[str, Array]) -> DataFrame:
    """The table as a DataFrame."""
    import pandas as pd

    return pd.DataFrame(dict(table))
