"""Mend rows: drop unsound rows, clip actions, correct flags, and end episodes at gaps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vinci_offline.data import continuity, layout
from vinci_offline.data.columns import non_finite_rows
from vinci_offline.data.continuity import observations_continue
from vinci_offline.quality.checks.bounds import NEAR, Bounds
from vinci_offline.quality.checks.marks import Marks, any_in_row
from vinci_offline.quality.repairs.account import Repair
from vinci_offline.quality.repairs.bitmap import Bitmap
from vinci_offline.quality.repairs.damaged_file import DamagedFile
from vinci_offline.spec import BoxSpace
from vinci_offline.types import Array, Columns


@dataclass(frozen=True)
class Mended:
    """Consecutive rows, mended.

    Attributes:
        columns: values by path.
        ended: ``[B]`` whether an episode ends there, by a flag or by the episode table.
        rows: ``[B]`` their numbers in the source.
    """

    columns: Columns
    ended: Array
    rows: Array


class Mender:
    """Mender of a file's rows. It reads them once, in blocks, and counts its changes.

    Args:
        source: the damaged file.
        repeated: rows to leave out because an earlier row equals them.
    """

    def __init__(self, source: DamagedFile, repeated: Bitmap | None = None) -> None:
        self._source = source
        self._repeated = repeated
        self._paths = list(source.columns)
        space = source.spec.action_space
        floating = isinstance(space, BoxSpace) and np.dtype(space.dtype).kind == "f"
        self._actions = space if floating and isinstance(space, BoxSpace) else None
        self._non_finite = {path: Marks() for path in self._paths}
        self._dropped, self._duplicates, self._clipped = Marks(), Marks(), Marks()
        self._both, self._before_gap, self._broken = Marks(), Marks(), Marks()
        self._unmarked = Marks()

    def blocks(self) -> Iterator[Mended]:
        """Yield the rows that are kept, mended; a block may be empty."""
        columns = self._source.columns
        for start, block in columns.together(self._paths):
            size = len(block[layout.REWARDS])
            after = slice(start + size, min(start + size + 1, self._source.rows))
            # The row after the block tells whether its last episode goes on.
            wider = {
                path: np.concatenate([values, columns.read(path, after)]) for path, values in block.items()
            }
            yield self._mend(start, size, wider)

    def repairs(self) -> Iterator[Repair]:
        """Yield the changes made in the blocks so far."""
        if self._dropped.count:
            listed = ", ".join(
                f"{path} {marks.count:,}" for path, marks in self._non_finite.items() if marks.count
            )
            what = f"{self._dropped} with NaN or infinite values dropped, first row {self._dropped.first} ({listed})"
            yield Repair("rows", what, self._dropped.count)
        told = (
            ("rows", self._duplicates, "dropped that repeat an earlier transition exactly"),
            (
                layout.ACTIONS,
                self._clipped,
                f"clipped to their bounds, from at most {NEAR:g} of the bound beyond them",
            ),
            (layout.TIMEOUTS, self._both, "cleared where the row is terminal"),
            (
                layout.TIMEOUTS,
                self._before_gap,
                "set where the episode went on in a row that was dropped or cut off",
            ),
            (
                layout.TIMEOUTS,
                self._broken,
                "set where the next observation is not the following row's observation",
            ),
            (layout.TIMEOUTS, self._unmarked, "set where the table ends an episode and no flag did"),
        )
        for where, marks, what in told:
            if marks.count:
                yield Repair(where, f"{marks} {what}, first row {marks.first}", marks.count)

    def _mend(self, start: int, size: int, wider: Columns) -> Mended:
        keep = self._keep(start, size, wider)
        block = {path: values[:size] for path, values in wider.items()}
        if self._actions is not None:
            block[layout.ACTIONS] = self._clip(start, block[layout.ACTIONS], keep[:size])
        block[layout.TIMEOUTS], ended = self._end(start, size, wider, keep)
        chosen = np.flatnonzero(keep[:size])
        columns = {path: values[chosen] for path, values in block.items()}
        return Mended(columns, ended[chosen], start + chosen)

    def _keep(self, start: int, size: int, wider: Columns) -> Array:
        """Return which rows of a block, and of the row after it, are kept. That row is counted in the next block."""
        count = len(wider[layout.REWARDS])
        finite = np.ones(count, np.bool_)
        for path, values in wider.items():
            wrong = non_finite_rows(values)
            self._non_finite[path].add(start, wrong[:size])
            finite &= ~wrong
        self._dropped.add(start, ~finite[:size])
        if self._repeated is None:
            return finite
        again = self._repeated.read(start, start + count) & finite
        self._duplicates.add(start, again[:size])
        return np.asarray(finite & ~again)

    def _clip(self, start: int, actions: Array, keep: Array) -> Array:
        assert self._actions is not None
        low, high = self._actions.low, self._actions.high
        near = Bounds(self._actions, NEAR)
        wrong = ((actions < low) & (actions >= near.low)) | ((actions > high) & (actions <= near.high))
        rows = any_in_row(wrong)
        if not (rows & keep).any():
            return actions
        self._clipped.add(start, rows & keep)
        return np.where(wrong, np.clip(actions, low, high), actions).astype(actions.dtype)

    def _end(self, start: int, size: int, wider: Columns, keep: Array) -> tuple[Array, Array]:
        """Return the block's corrected timeouts, and where episodes end."""
        terminals, timeouts = wider[layout.TERMINALS][:size], wider[layout.TIMEOUTS][:size]
        kept = keep[:size]
        self._both.add(start, terminals & timeouts & kept)
        timeouts = timeouts & ~terminals
        flags = {layout.TERMINALS: terminals, layout.TIMEOUTS: timeouts}
        ended = continuity.ended(flags, self._source.ends, start)
        last_of_all = start + size == self._source.rows
        if last_of_all and self._source.goes_on and not terminals[-1] | timeouts[-1]:
            ended[-1] = False  # the table was cut there, the episode did not end
        followed = np.append(keep[1:], not self._source.goes_on) if last_of_all else keep[1:]
        gap = kept & ~ended & ~followed
        broken = kept & ~ended & ~gap & self._breaks(size, wider)
        unmarked = kept & ended & ~terminals & ~timeouts
        self._before_gap.add(start, gap)
        self._broken.add(start, broken)
        self._unmarked.add(start, unmarked)
        return timeouts | gap | broken | unmarked, ended | gap | broken

    def _breaks(self, size: int, wider: Columns) -> Array:
        """Return rows that the following row does not continue; none if the rows are in no order."""
        marks = np.zeros(size, np.bool_)
        if self._source.ordered:
            breaks = ~observations_continue(wider)
            marks[: len(breaks)] = breaks
        return marks
