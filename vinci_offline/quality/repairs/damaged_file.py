"""The readable rows of a damaged file, also of a file that `Dataset.open` refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.digest import hash_of
from vinci_offline.data.episode_columns import FRAGMENT, LENGTH, START
from vinci_offline.data.episodes import are_whole_numbers, complete, derive, inconsistencies, last_rows
from vinci_offline.data.hdf5.inspect import Structure
from vinci_offline.data.hdf5.stored import agree, stored_columns, with_recorded_fragments
from vinci_offline.data.inference import infer_spec
from vinci_offline.data.problem import Problem
from vinci_offline.errors import DatasetError
from vinci_offline.quality.checks.continuity import ordered
from vinci_offline.quality.repairs.account import Repair
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import counted
from vinci_offline.types import Array, Columns

_MOSTLY = 0.1
"""An info column that is not finite in a larger share of the rows is left out, and the rows are kept."""

_MOST_ROWS = 2**53


@dataclass(frozen=True)
class DamagedFile:
    """The rows that all columns of a damaged file have.

    Attributes:
        structure: the file's structure.
        columns: the columns, cut to whole rows, without infos that cannot be kept.
        spec: the environment.
        table: the stored episodes, cut to the rows; empty if they do not describe the rows.
        repairs: the changes so far.
    """

    structure: Structure
    columns: LazyColumns
    spec: EnvironmentSpec
    table: Columns
    repairs: tuple[Repair, ...]

    @property
    def rows(self) -> int:
        """The number of whole rows."""
        return self.columns.shape(layout.REWARDS)[0]

    @property
    def ordered(self) -> bool:
        """True if anything in the file says that one row follows from the one before."""
        return ordered(self.structure)

    @property
    def goes_on(self) -> bool:
        """True if there were more rows, so that the last row may lie within an episode."""
        longest = max(column.shape[0] for column in self.structure.columns.values())
        stored = self.structure.episodes.get(LENGTH)
        return longest > self.rows or (bool(self.table) and stored is not None and stored.sum() > self.rows)

    @cached_property
    def ends(self) -> Array:
        """The last rows of the table's episodes."""
        if not self.table:
            return np.zeros(0, np.int64)
        return np.asarray(last_rows(self.table))

    @cached_property
    def episodes(self) -> Columns:
        """The episodes as the file tells them: by its table, or else by its flags."""
        told = complete(self.columns, self.table) if self.table else derive(self.columns)
        return with_recorded_fragments(self.structure, told)

    def compute_hash(self) -> str:
        """Compute the content hash of the columns in the file. Reads them all in blocks."""
        return hash_of(LazyColumns(stored_columns(self.structure)))


def unrepairable(structure: Structure) -> list[Problem]:
    """Return the structural problems that cannot be mended without guessing."""
    left = [problem for problem in structure.problems if not problem.repairable]
    if not left and not _whole_rows(structure):
        left.append(Problem("columns", "no row that all columns have", "record the data again"))
    return left


def open_damaged(structure: Structure, spec: EnvironmentSpec | None) -> DamagedFile:
    """Return the whole rows of a file without unrepairable problems.

    Raises:
        DatasetError: the file does not tell its spaces, and ``spec`` is None.
        SpecError: the spaces of ``spec`` are not those of the file.
    """
    rows = _whole_rows(structure)
    stored = stored_columns(structure)
    repairs = list(_cuts(structure, rows))
    kept = {
        path: replace(column, shape=(rows, *column.shape[1:]))
        for path, column in stored.items()
        if column.shape[0] or not _is_info(path)
    }
    columns = LazyColumns(kept)
    try:
        spec = agree(structure, spec) or infer_spec(columns)
    except DatasetError as error:
        raise DatasetError(f"{structure.path}: {error}") from error
    for path in [path for path in columns if _is_info(path)]:
        found = columns.non_finite(path)
        if found is not None and found[1] > _MOSTLY * rows:
            del kept[path]
            what = f"left out, as {counted(found[1], 'row')} of {rows:,} have no finite value in it"
            repairs.append(Repair(path, what, found[1]))
    return DamagedFile(structure, _lazy(kept), spec, _usable_table(structure.episodes, rows), tuple(repairs))


def _lazy(columns: Mapping[str, Column]) -> LazyColumns:
    return LazyColumns(dict(columns))


def _whole_rows(structure: Structure) -> int:
    lengths = [
        column.shape[0] for path, column in structure.columns.items() if column.shape[0] or not _is_info(path)
    ]
    return min(lengths, default=0)


def _cuts(structure: Structure, rows: int) -> list[Repair]:
    repairs = []
    longer = {
        path: column.shape[0] - rows for path, column in structure.columns.items() if column.shape[0] > rows
    }
    if longer:
        listed = ", ".join(f"{path} {count:,}" for path, count in longer.items())
        what = f"cut to the {counted(rows, 'row')} that all columns have (rows beyond: {listed})"
        repairs.append(Repair("columns", what, max(longer.values())))
    for path, column in structure.columns.items():
        if not column.shape[0] and _is_info(path):
            repairs.append(Repair(path, "left out, as it has no rows", 1))
    return repairs


def _usable_table(stored: Columns, rows: int) -> Columns:
    """Return the episodes of the first ``rows`` rows; empty if the stored table does not cover them in order."""
    if not {START, LENGTH} <= set(stored) or not all(
        are_whole_numbers(stored[name]) for name in (START, LENGTH)
    ):
        return {}
    if np.abs(stored[LENGTH].astype(np.float64)).sum() > _MOST_ROWS:
        return {}
    table = {name: values.copy() for name, values in stored.items()}
    table[START], table[LENGTH] = table[START].astype(np.int64), table[LENGTH].astype(np.int64)
    covered = int(table[LENGTH].sum())
    if covered < rows or inconsistencies(table, covered):
        return {}
    kept = table[START] < rows
    table = {name: values[kept] for name, values in table.items()}
    left = rows - table[START][-1]
    if FRAGMENT in table and left < table[LENGTH][-1]:
        table[FRAGMENT][-1] = True
    table[LENGTH][-1] = left
    return table


def _is_info(path: str) -> bool:
    return path.startswith(f"{layout.INFOS}/")
