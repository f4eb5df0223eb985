"""The ends of pieces: the last row of each is a terminal or a timeout, so that no reader joins it to the row after it.

A piece is an episode of the table, or what was kept of one. Loaders that take the next observation from the following
row (D4RL's ``qlearning_dataset``) know no episode table. They skip rows that are timeouts, and they lose a terminal
that is a timeout too.
"""

from __future__ import annotations

from collections.abc import Callable

from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.indexing import rows_within
from vinci_offline.data.layout import TERMINALS, TIMEOUTS
from vinci_offline.types import Array


def marked_timeouts(terminals: Array, timeouts: Array, ends: Array) -> Array:
    """Return ``[B]`` timeouts of rows: also where a piece ends, and never where the row is a terminal.

    Args:
        terminals: ``[B]`` the rows' terminals.
        timeouts: ``[B]`` their timeouts.
        ends: ``[B]`` whether a piece ends in the row.
    """
    result: Array = (timeouts | ends) & ~terminals
    return result


def with_marked_ends(columns: LazyColumns, last_rows: Callable[[], Array]) -> LazyColumns:
    """Return the columns with the timeouts of `marked_timeouts`. Reads nothing before the timeouts are read.

    Args:
        columns: the rows.
        last_rows: returns the last row of each piece, ascending.
    """

    def load(rows: slice) -> Array:
        terminals, timeouts = columns.read(TERMINALS, rows), columns.read(TIMEOUTS, rows)
        ends = terminals & False
        ends[rows_within(last_rows(), rows.start, rows.start + len(ends))] = True
        return marked_timeouts(terminals, timeouts, ends)

    return columns.replaced(TIMEOUTS, Column(columns.shape(TIMEOUTS), columns.dtype(TIMEOUTS), load))
