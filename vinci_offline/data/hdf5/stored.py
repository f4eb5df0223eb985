"""From a file's structure to the columns, the table and the spec of a dataset."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vinci_offline.budget import FLOOR, RATIO, Tally, afford
from vinci_offline.data import episodes as episode_tables
from vinci_offline.data import layout
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.episode_columns import DERIVED, FRAGMENT, LENGTH, TERMINATED
from vinci_offline.data.hdf5.inspect import Structure
from vinci_offline.data.hdf5.opening import column_of, open_hdf5
from vinci_offline.data.problem import Problem
from vinci_offline.data.schema import fit
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array, Columns

_EPISODE_BYTES = 200
"""Bytes that an episode takes while its row of the table is made."""


def refuse(path: Path, problems: Sequence[Problem]) -> None:
    """Raise a DatasetError that names the first few problems, where there are any."""
    if not problems:
        return
    shown = "; ".join(str(problem) for problem in problems[:3])
    more = (
        f"; and {len(problems) - 3} more problems: vinci-offline validate lists them"
        if len(problems) > 3
        else ""
    )
    raise DatasetError(f"{path}: {shown}{more}")


def agree(structure: Structure, spec: EnvironmentSpec | None) -> EnvironmentSpec | None:
    """Return the spec to use: the one given, which must have the file's spaces, or else the file's.

    Raises:
        SpecError: the spaces differ.
    """
    if spec is None or spec == structure.spec:
        return structure.spec
    if structure.spec is not None:
        for name in ("observation_space", "action_space"):
            if getattr(spec, name) != getattr(structure.spec, name):
                raise SpecError(f"{structure.path}: the {name} given is not the file's; leave spec= out")
    problems = fit(structure.columns, spec)
    if problems:
        raise SpecError(f"{structure.path}: {problems[0]}")
    return spec


def read_column(structure: Structure, path: str, rows: slice) -> Array:
    """Read rows of one column in one read; flags as booleans, everything in native byte order.

    Raises:
        DatasetError: the file is damaged or was changed since.
    """
    column = structure.columns[path]
    with open_hdf5(structure.path, structure.stamp) as file:
        dataset = column_of(file, path if column.frames is None else column.frames.path)
        if column.frames is not None:
            values = column.frames.read(dataset, slice(*rows.indices(column.shape[0])))
        else:
            whole = rows == slice(0, column.shape[0])
            values = dataset[()] if whole else dataset[rows]
    if path in {layout.TERMINALS, layout.TIMEOUTS}:
        return _flags(values, structure.path, path)
    return values if values.dtype == column.dtype else values.astype(column.dtype)


def _held_column(structure: Structure, tally: Tally, path: str, rows: slice) -> Array:
    """Read a column that is kept in memory.

    Raises:
        DatasetError: as `read_column`, or the columns held take far more memory than the file has bytes.
    """
    column = structure.columns[path]
    count = len(range(*rows.indices(column.shape[0])))
    tally.add(f"the column {path!r}", count * math.prod(column.shape[1:]) * column.dtype.itemsize)
    return read_column(structure, path, rows)


def stored_columns(structure: Structure) -> dict[str, Column]:
    """Return the file's columns without reading them; without a ``timeouts`` column no row is a timeout."""
    tally = Tally(str(structure.path), structure.stamp[1])
    columns = {
        path: Column(
            stored.shape,
            stored.dtype,
            partial(_held_column, structure, tally, path),
            partial(read_column, structure, path),
        )
        for path, stored in structure.columns.items()
    }
    if layout.TIMEOUTS not in columns:
        count = structure.rows

        def never(rows: slice) -> Array:
            return np.zeros(len(range(*rows.indices(count))), np.bool_)

        columns[layout.TIMEOUTS] = Column((count,), np.dtype(np.bool_), never)
    return columns


def stored_table(structure: Structure, columns: LazyColumns) -> Columns:
    """Return the file's episode table, completed; derived from the flags where there is none.

    Raises:
        DatasetError: the stored table does not describe the rows.
    """
    return with_recorded_fragments(structure, _table(structure, columns))


def with_recorded_fragments(structure: Structure, table: Columns) -> Columns:
    """Return the table with its fragments, also of files that were recorded before the table told them.

    In such a file the end of the recording is a timeout like others. The last episode is cut if a collection of a
    number of steps ended it before the time limit. Rows of random states are parts of no episode.
    """
    if FRAGMENT in structure.episodes:
        return table
    recorded = structure.attributes.get("collection")
    recorded = recorded if isinstance(recorded, dict) else {}
    fragment = table[FRAGMENT].copy()
    limit = structure.spec.max_episode_steps if structure.spec else None
    if recorded.get("policy") == ["random-state"]:
        fragment[:] = True
    elif recorded.get("steps") is not None and limit is not None and not table[TERMINATED][-1]:
        fragment[-1] |= table[LENGTH][-1] < limit
    return {**table, FRAGMENT: fragment}


def _table(structure: Structure, columns: LazyColumns) -> Columns:
    """Return the stored table; derived from the flags where there is none."""
    if not structure.episodes:
        _afford_episodes(structure, columns)
        return episode_tables.derive(columns)
    wrong = episode_tables.inconsistencies(structure.episodes, structure.rows)
    if wrong:
        raise DatasetError(
            f"{structure.path}: {layout.EPISODES} {wrong[0]}; "
            "remove the group, and episodes are derived from the flags"
        )
    if set(DERIVED) <= set(structure.episodes):
        return episode_tables.ordered(episode_tables.with_fragments(structure.episodes))
    return episode_tables.complete(columns, dict(structure.episodes))


def _afford_episodes(structure: Structure, columns: LazyColumns) -> None:
    """Refuse flags that make a table of far more memory than the file has bytes.

    Raises:
        DatasetError: they do.
    """
    present = structure.stamp[1]
    if structure.rows * _EPISODE_BYTES <= max(FLOOR, RATIO * present):
        return  # a row an episode at most
    ends = sum(
        int(np.count_nonzero(block))
        for path in (layout.TERMINALS, layout.TIMEOUTS)
        for _, block in columns.blocks(path)
    )
    afford(str(structure.path), f"a table of {ends:,} episodes", asked=ends * _EPISODE_BYTES, present=present)


def _flags(values: Array, file: Path, path: str) -> Array:
    if values.dtype.kind == "b":
        # HDF5 stores booleans as bytes, and a damaged byte may be neither 0 nor 1.
        values = values.view(np.uint8)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DatasetError(f"{file}: {path} row {row} is {values[row]}, neither 0 nor 1: the file is damaged")
    return values.astype(np.bool_) if values.dtype.itemsize != 1 else values.view(np.bool_)
