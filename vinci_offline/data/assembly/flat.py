"""Columns of one length in which flags, and nothing else, tell where episodes end."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.ends import time_limit
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.continuity import continuing
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array, Columns


def flags(values: Array, path: Path, name: str) -> Array:
    """0 and 1 of any dtype as booleans; some of D4RL's own files have them as floats."""
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    wrong = ((flat != 0) & (flat != 1)).any(axis=1) if flat.shape[1] == 1 else np.ones(len(flat), np.bool_)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DatasetError(f"{path}: {name} row {row} is neither 0 nor 1: the file is damaged")
    flags: Array = flat[:, 0].astype(np.bool_)
    return flags


def one_number(values: Array, where: str) -> Array:
    """``[N]`` of ``[N]`` or ``[N, 1]``.

    Raises:
        DatasetError: there are more a row.
    """
    if values.shape[1:] not in {(), (1,)}:
        raise DatasetError(f"{where} have shape {values.shape}: one number a row is expected")
    return values.reshape(-1)


def flat_ends(
    path: Path,
    columns: Columns,
    terminals: Array,
    timeouts: Array | None,
    options: ImportOptions,
    decisions: list[str],
) -> Array:
    """The rows that end an episode: by both flags, or as `_unflagged_ends` has it where there are no timeouts.

    Args:
        path: the source, for messages.
        columns: observations, and next observations where there are some.
        terminals: ``[N]`` booleans.
        timeouts: ``[N]`` zeros and ones, or None.
        options: what the user says.
        decisions: what is decided goes here.

    Raises:
        UsageError: the source does not tell, and an option must.
    """
    if timeouts is not None:
        timeouts = flags(timeouts, path, layout.TIMEOUTS)
        if both := int((terminals & timeouts).sum()):
            decisions.append(f"{both} rows are both terminal and timeout: they count as terminals")
        ends = terminals | timeouts
        decisions.append("terminals and timeouts are the file's")
    else:
        ends = terminals | _unflagged_ends(path, columns, terminals, options, decisions)
    if not ends[-1]:
        ends[-1] = True
        decisions.append("the last episode is not finished: its last row is a timeout")
    return ends


def _unflagged_ends(
    path: Path, columns: Columns, terminals: Array, options: ImportOptions, decisions: list[str]
) -> Array:
    """Timeouts of a file that has no such column: where next observations do not continue, or as the options say."""
    count = len(terminals)
    if options.ends == "limit":
        limit = time_limit(options, str(path))
        first = np.maximum.accumulate(np.where(np.concatenate([[True], terminals[:-1]]), np.arange(count), 0))
        ends: Array = (np.arange(count) - first) % limit == limit - 1
        decisions.append(
            f"no timeouts in the file: an episode times out after {limit} steps, as --ends limit says"
        )
        return ends
    if options.ends == "terminal":
        decisions.append("no timeouts in the file: episodes end at terminals alone, as --ends says")
        return np.zeros(count, np.bool_)
    if layout.NEXT_OBSERVATIONS in columns:
        ends = ~continuing(columns, terminals) & ~terminals
        ends[-1] = False
        decisions.append(
            "no timeouts in the file: an episode times out where next_observations do not continue without a terminal "
            f"({int(ends.sum())} rows)"
        )
        return ends
    raise UsageError(
        f"{path} has neither timeouts nor next_observations, so where episodes ran out of time cannot be told: say "
        "--ends terminal (never), or --ends limit --time-limit N"
    )
