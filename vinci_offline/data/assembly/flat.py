"""The ends of episodes in columns of one length, by their flags."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import close_last, time_limit
from vinci_offline.data.assembly.lazy import blocks, reshaped
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.continuity import continuing_blocks
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array, Columns


def flags(values: Array, where: str, name: str, first_row: int = 0) -> Array:
    """Return 0 and 1 of any dtype as booleans; some of D4RL's own files have them as floats.

    Raises:
        DatasetError: a row holds anything else.
    """
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    wrong = ((flat != 0) & (flat != 1)).any(axis=1) if flat.shape[1] == 1 else np.ones(len(flat), np.bool_)
    if wrong.any():
        row = first_row + int(np.argmax(wrong))
        raise DatasetError(f"{where}: {name} row {row} is neither 0 nor 1: the file is damaged")
    flags: Array = flat[:, 0].astype(np.bool_)
    return flags


def flag_column(column: Column, context: ImportContext, name: str) -> Array:
    """Return a whole column of flags as ``[N]`` booleans: one byte a row.

    Raises:
        DatasetError: a row holds neither 0 nor 1, or so many are 1 that the table of episodes is beyond the budget.
    """
    found = np.zeros(column.shape[0], np.bool_)
    for first, block in blocks(column):
        found[first : first + len(block)] = flags(block, context.where, name, first)
    context.afford_episodes(int(np.count_nonzero(found)))
    return found


def one_number(column: Column, where: str) -> Column:
    """Return ``[N]`` of ``[N]`` or ``[N, 1]``.

    Raises:
        DatasetError: there are more a row.
    """
    if column.shape[1:] not in {(), (1,)}:
        raise DatasetError(f"{where} have shape {column.shape}: one number a row is expected")
    return reshaped(column, ()) if column.shape[1:] else column


def flat_ends(
    columns: Mapping[str, Column], terminals: Array, timeouts: Array | None, context: ImportContext
) -> tuple[Array, Columns]:
    """Return ``[N]`` marks of the rows that end an episode, and a table that tells fragments from whole episodes.

    Both flags tell the ends. Where there are no timeouts, breaks in the next observations do, or the options. A last
    episode that nothing ends is a fragment.

    Args:
        columns: observations, and next observations where there are some.
        terminals: ``[N]`` booleans.
        timeouts: ``[N]`` booleans, or None.
        context: the import.

    Raises:
        UsageError: the source does not tell, and an option must.
    """
    if timeouts is not None:
        if both := int((terminals & timeouts).sum()):
            context.decide(f"{both} rows are both terminal and timeout: they count as terminals")
        ends = terminals | timeouts
        context.decide("terminals and timeouts are the file's")
    else:
        ends = terminals | _unflagged_ends(columns, terminals, context)
    return ends, close_last(ends, context)


def _unflagged_ends(columns: Mapping[str, Column], terminals: Array, context: ImportContext) -> Array:
    """Return timeouts of a file that has no such column: by its next observations, or as the options say."""
    count = len(terminals)
    if context.options.ends == "limit":
        limit = time_limit(context)
        begins = np.append(0, np.flatnonzero(terminals) + 1)
        lengths = np.diff(begins, append=count)
        ends: Array = np.zeros(count, np.bool_)
        for begin, length in zip(begins[lengths >= limit], lengths[lengths >= limit], strict=True):
            ends[begin + limit - 1 : begin + length : limit] = True
        context.decide(
            f"no timeouts in the file: an episode times out after {limit} steps, as --ends limit says"
        )
        return ends
    if context.options.ends == "terminal":
        context.decide("no timeouts in the file: episodes end at terminals alone, as --ends says")
        return np.zeros(count, np.bool_)
    if layout.NEXT_OBSERVATIONS in columns:
        pair = {path: columns[path] for path in (layout.OBSERVATIONS, layout.NEXT_OBSERVATIONS)}
        ends = ~terminals
        for first, continues in continuing_blocks(LazyColumns(pair), layout.OBSERVATIONS):
            ends[first : first + len(continues)] &= ~continues
        ends[-1] = False
        context.decide(
            "no timeouts in the file: an episode times out where next_observations do not continue without a terminal "
            f"({int(ends.sum())} rows)"
        )
        return ends
    raise UsageError(
        f"{context.where} has neither timeouts nor next_observations, so where episodes ran out of time cannot be "
        "told: say --ends terminal (never), or --ends limit --time-limit N"
    )
