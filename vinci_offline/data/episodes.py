"""The episode table: one row an episode, derived from the flags where a file has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

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
    count = len(rows[REWARDS])
    if "length" not in entries:
        raise DatasetError("episodes: the entry 'length' is missing")
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
        table["return"] = returns(rows[REWARDS], start)
    if "terminated" not in table:
        table["terminated"] = rows[TERMINALS][last].astype(np.bool_)
    if "truncated" not in table:
        table["truncated"] = rows[TIMEOUTS][last].astype(np.bool_)
    return ordered(table)


def derive(rows: Mapping[str, Array], breaks: Array | None = None) -> Columns:
    """The episodes that the flags end, and those that ``breaks`` cut.

    Args:
        rows: columns; rewards, terminals and timeouts are read.
        breaks: rows that begin an episode whatever the flags of the row before say.
    """
    count = len(rows[REWARDS])
    ended = rows[TERMINALS] | rows[TIMEOUTS]
    begins = np.concatenate([[True], ended[:-1]])
    if breaks is not None:
        begins[breaks] = True
    start = np.flatnonzero(begins)
    return complete(rows, {"length": np.diff(start, append=count)})


def returns(rewards: Array, start: Array) -> Array:
    """Undiscounted sums of rewards in float64, one for each episode that begins at ``start``."""
    if not len(start):
        return np.empty(0)
    return np.asarray(np.add.reduceat(rewards.astype(np.float64), start))


def ordered(table: Mapping[str, Array]) -> Columns:
    """The table with its known entries first."""
    known = [name for name in _FIRST if name in table]
    return {name: table[name] for name in [*known, *(name for name in table if name not in known)]}


def inconsistencies(table: Mapping[str, Array], count: int) -> list[str]:
    """What keeps a stored table from describing ``count`` rows; empty where nothing does."""
    missing = [name for name in ("start", "length") if name not in table]
    if missing:
        return [f"has no {' and no '.join(missing)}"]
    start, length = table["start"].astype(np.int64), table["length"].astype(np.int64)
    found = []
    if (length < 1).any():
        found.append(f"episode {int(np.argmax(length < 1))} has length {length[length < 1][0]}")
    elif length.sum() != count:
        found.append(f"lengths add up to {length.sum()}, and there are {count} rows")
    expected = np.cumsum(length) - length
    if (start != expected).any():
        first = int(np.argmax(start != expected))
        found.append(
            f"episode {first} starts at row {start[first]}, not where the one before ends ({expected[first]})"
        )
    return found


def frame(table: Mapping[str, Array]) -> DataFrame:
    """The table as a DataFrame."""
    import pandas as pd

    return pd.DataFrame(dict(table))
