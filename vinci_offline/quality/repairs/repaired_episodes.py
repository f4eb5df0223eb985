"""The episode table of mended rows that come in blocks. Episodes may lie across blocks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.episode_columns import DERIVED, FRAGMENT, LENGTH, RETURN, START, TERMINATED, TRUNCATED
from vinci_offline.data.episodes import episodes_of, ordered, starts
from vinci_offline.quality.repairs.account import Repair
from vinci_offline.quality.repairs.damaged_file import DamagedFile
from vinci_offline.quality.repairs.rows import Mended
from vinci_offline.text import counted
from vinci_offline.types import Array, Columns


class RepairedEpisodes:
    """Episodes of the mended rows, with what the stored table knew of them.

    Args:
        source: the damaged file.
    """

    def __init__(self, source: DamagedFile) -> None:
        self._source = source
        self._parts: list[Columns] = []
        self._length = 0
        self._return = 0.0
        self._last = Mended({}, np.zeros(0, np.bool_), np.zeros(0, np.int64))

    def add(self, block: Mended) -> None:
        """Add the next rows."""
        count = len(block.rows)
        if not count:
            return
        last = np.flatnonzero(block.ended)
        begins = np.append(0, last + 1)
        begins = begins[begins < count]
        rewards = block.columns[layout.REWARDS].astype(np.float64)
        with np.errstate(over="ignore"):
            sums = np.add.reduceat(rewards, begins)
        lengths = np.diff(begins, append=count)
        sums[0] += self._return
        lengths[0] += self._length
        self._length = self._return = 0
        if len(begins) > len(last):
            self._length, self._return = int(lengths[-1]), float(sums[-1])
        if len(last):
            self._keep(block, last, lengths[: len(last)], sums[: len(last)])
        self._last = block

    def table(self) -> Columns:
        """Return the whole table. Rows after the last end are an episode that no flag ends."""
        if self._length:
            index = np.array([len(self._last.rows) - 1])
            self._keep(self._last, index, np.array([self._length]), np.array([self._return]))
            self._length = 0
        table = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        table[START] = starts(table[LENGTH])
        return ordered(table)

    def repairs(self, table: Columns) -> Iterator[Repair]:
        """Yield the differences between the table and the stored one."""
        stored, usable = self._source.structure.episodes, self._source.table
        count = len(table[LENGTH])
        if not usable and self._source.structure.native:
            lost = ", ".join(sorted(set(stored) - {*DERIVED, FRAGMENT}))
            what = f"rebuilt from the flags: {counted(count, 'episode')}"
            yield Repair(layout.EPISODES, what + (f"; {lost} could not be kept" if lost else ""), count)
        if not usable:
            return
        if not np.array_equal(usable[LENGTH], table[LENGTH]):
            what = f"rebuilt: {counted(count, 'episode')} where there were {len(stored[LENGTH]):,}"
            yield Repair(layout.EPISODES, what, count)
            return
        for name in (RETURN, TERMINATED, TRUNCATED):
            if name in usable and (changed := int((~_close(usable[name], table[name])).sum())):
                what = f"computed anew, it differed in {counted(changed, 'episode')}"
                yield Repair(f"{layout.EPISODES}/{name}", what, changed)

    def _keep(self, block: Mended, last: Array, lengths: Array, sums: Array) -> None:
        part = {
            LENGTH: lengths,
            RETURN: sums,
            TERMINATED: block.columns[layout.TERMINALS][last],
            TRUNCATED: block.columns[layout.TIMEOUTS][last],
        }
        told = self._source.episodes
        origin = episodes_of(told, block.rows[last])
        part[FRAGMENT] = (lengths < told[LENGTH][origin]) | told[FRAGMENT][origin]
        table = self._source.table
        names = [name for name in table if name not in {*DERIVED, FRAGMENT}]
        self._parts.append({**part, **{name: table[name][origin] for name in names}})


def _close(one: Array, other: Array) -> Array:
    return np.isclose(one, other, rtol=1e-6, atol=1e-6, equal_nan=True)
