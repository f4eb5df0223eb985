"""The one definition of "row t + 1 continues row t".

Row t + 1 continues row t if no episode ends in row t and the observation of row t + 1 is the next observation of row t.
An episode ends where a flag or the episode table says so. `continues` compares the observations.

Every part of the package that asks the question asks here: n-step returns, `validate`, `repair`, hindsight goals,
importers and exporters. Only the storage of shared frames needs a stricter comparison, `continues_exactly`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from vinci_offline.data.columns import LazyColumns
from vinci_offline.data.indexing import rows_within
from vinci_offline.data.layout import NEXT_OBSERVATIONS, OBSERVATIONS, TERMINALS, TIMEOUTS
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array

RELATIVE_TOLERANCE = 1e-5
ABSOLUTE_TOLERANCE = 1e-6
"""Floats count as equal within ``ABSOLUTE_TOLERANCE + RELATIVE_TOLERANCE * |observation|``: rounding to float32 and
a few operations after it stay inside, a step of an environment does not."""

_BLOCK_BYTES = 2**22


def continues(next_observation: Array, observation: Array) -> Array:
    """Return ``[B]``: whether the next observations of some rows are the observations of the rows after them.

    Floats may differ by rounding (`RELATIVE_TOLERANCE`, `ABSOLUTE_TOLERANCE`). Integers must be equal. NaN equals NaN
    in the same place and nothing else; an infinity equals itself. Temporary memory is bounded.

    Args:
        next_observation: ``[B, ...]`` of rows t.
        observation: ``[B, ...]`` of rows t + 1.

    Raises:
        DatasetError: the shapes differ.
    """
    if next_observation.shape != observation.shape:
        raise DatasetError(
            f"next observations of shape {next_observation.shape[1:]} cannot be compared with observations of shape "
            f"{observation.shape[1:]}: both need the same shape"
        )
    width = math.prod(observation.shape[1:])
    step = max(1, _BLOCK_BYTES // max(1, width * observation.itemsize))
    result = np.ones(len(observation), np.bool_)
    for start in range(0, len(observation), step):
        rows = slice(start, start + step)
        result[rows] = _equal_rows(
            next_observation[rows].reshape(-1, width), observation[rows].reshape(-1, width)
        )
    return result


def continues_exactly(next_observation: Array, observation: Array) -> Array:
    """Return ``[B]``: whether next observations and observations are the same bytes.

    Frames that are stored once need this comparison, because reading must return the bytes that were written: zeros of
    unlike sign differ, and rounding counts.

    Args:
        next_observation: ``[B, ...]`` of rows t.
        observation: ``[B, ...]`` of rows t + 1, of the same dtype.
    """
    width = math.prod(observation.shape[1:])
    one, other = (
        np.ascontiguousarray(values).reshape(len(values), width).view(np.uint8)
        for values in (next_observation, observation)
    )
    return np.asarray((one == other).all(axis=1))


def ended(flags: Mapping[str, Array], last_rows: Array, start: int = 0) -> Array:
    """Return ``[B]``: whether an episode ends in each of B consecutive rows.

    Args:
        flags: ``terminals`` and ``timeouts`` of the rows, and any other columns.
        last_rows: the last row of each episode of the whole table, ascending; empty where there is no table.
        start: the number of the first of the rows.
    """
    result: Array = flags[TERMINALS] | flags[TIMEOUTS]  # a new array: the columns are read-only
    result[rows_within(last_rows, start, start + len(result))] = True
    return result


def observations_continue(columns: Mapping[str, Array]) -> Array:
    """Return ``[B - 1]``: whether each of B consecutive rows but the last leads to the observation of the next.

    Args:
        columns: the rows' observations and next observations, one column or one per key of a Dict; others are ignored.
    """
    paths = observation_paths(columns)
    result = np.ones(len(columns[paths[0]]) - 1, np.bool_)
    for path in paths:
        result &= continues(columns[f"next_{path}"][:-1], columns[path][1:])
    return result


def continuing(columns: Mapping[str, Array], ends: Array) -> Array:
    """Return ``[B]``: whether the next of B consecutive rows continues each; False for the last, which has no next.

    Args:
        columns: the rows' observations and next observations; others are ignored.
        ends: ``[B]`` whether an episode ends in the row, as `ended` says.
    """
    return np.append(observations_continue(columns), False) & ~ends


def continuing_blocks(columns: LazyColumns, path: str) -> Iterator[tuple[int, Array]]:
    """Compare a column's next observations with its observations in blocks; episode ends are not looked at.

    Args:
        columns: N rows.
        path: ``observations`` or ``observations/KEY``.

    Yields:
        The first row of a block, and ``[B]`` whether each row leads to the observation of the next. The last row of all
        has no next one and is left out.
    """
    count = columns.shape(path)[0]
    for start, following in columns.blocks(f"next_{path}"):
        observed = columns.read(path, slice(start + 1, min(start + 1 + len(following), count)))
        yield start, continues(following[: len(observed)], observed)


def continuing_rows(columns: LazyColumns, last_rows: Array) -> Array:
    """Return ``[N]``: whether the next row continues each row of a dataset. Reads in blocks.

    Args:
        columns: N rows.
        last_rows: the last row of each episode, ascending.
    """
    result = np.ones(columns.shape(TERMINALS)[0], np.bool_)
    result[-1] = False
    for start, flags in columns.together((TERMINALS, TIMEOUTS)):
        result[start : start + len(flags[TERMINALS])] &= ~ended(flags, last_rows, start)
    for path in observation_paths(columns):
        for start, block in continuing_blocks(columns, path):
            result[start : start + len(block)] &= block
    return result


def runs(columns: LazyColumns, last_rows: Array) -> tuple[Array, Array]:
    """Return the first row and the length of each run of rows that continue each other. Reads in blocks.

    An episode is one run, unless rows were left out of it.

    Args:
        columns: N rows.
        last_rows: the last row of each episode, ascending.
    """
    return runs_of(continuing_rows(columns, last_rows))


def runs_of(going: Array) -> tuple[Array, Array]:
    """Return the first row and the length of each run.

    Args:
        going: ``[N]`` whether the next row continues each row. The last row of all always ends a run.
    """
    last = np.flatnonzero(~np.append(going[:-1], False))
    length = np.diff(last, prepend=-1)
    return last - length + 1, length


def observation_paths(columns: Mapping[str, Array]) -> list[str]:
    """Return the columns of observations that have a column of next observations: one, or one per key of a Dict."""
    return [
        path
        for path in columns
        if path.partition("/")[0] == OBSERVATIONS
        and NEXT_OBSERVATIONS + path.removeprefix(OBSERVATIONS) in columns
    ]


def _equal_rows(one: Array, other: Array) -> Array:
    """Return ``[B]``: rows of ``[B, D]`` that are equal up to rounding. Only rows that differ are looked at closely."""
    result = np.asarray((one == other).all(axis=1))
    if "f" in {one.dtype.kind, other.dtype.kind}:
        rows = np.flatnonzero(~result)
        with np.errstate(over="ignore"):  # the difference of two huge numbers may be infinite
            close = np.isclose(one[rows], other[rows], RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, equal_nan=True)
        result[rows] = close.all(axis=1)
    return result
