"""From a file's structure to what a dataset is made of."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vinci_offline.data import episodes as episode_tables
from vinci_offline.data import layout
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.episode_columns import DERIVED
from vinci_offline.data.hdf5.inspect import Structure, read_column
from vinci_offline.data.problem import Problem
from vinci_offline.data.schema import fit
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array, Columns


def refuse(path: Path, problems: Sequence[Problem]) -> None:
    """Raise a DatasetError that tells the first few problems, where there are any."""
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
    """The spec to use: the one given must have the file's spaces."""
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


def stored_columns(structure: Structure) -> dict[str, Column]:
    """The file's columns; without a ``timeouts`` column no row is a timeout."""
    columns = {
        path: Column(stored.shape, stored.dtype, partial(read_column, structure, path))
        for path, stored in structure.columns.items()
    }
    if layout.TIMEOUTS not in columns:
        count = structure.rows

        def never(rows: slice) -> Array:
            return np.zeros(len(range(*rows.indices(count))), np.bool_)

        columns[layout.TIMEOUTS] = Column((count,), np.dtype(np.bool_), never)
    return columns


def stored_table(structure: Structure, columns: LazyColumns) -> Columns:
    """The file's episode table, completed; derived where there is none."""
    if not structure.episodes:
        return episode_tables.derive(columns)
    wrong = episode_tables.inconsistencies(structure.episodes, structure.rows)
    if wrong:
        raise DatasetError(
            f"{structure.path}: {layout.EPISODES} {wrong[0]}; "
            "remove the group, and episodes are derived from the flags"
        )
    if set(DERIVED) <= set(structure.episodes):
        return episode_tables.ordered(structure.episodes)
    return episode_tables.complete(columns, dict(structure.episodes))
