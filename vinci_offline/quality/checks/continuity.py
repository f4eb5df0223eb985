"""Whether each row of an episode leads to the one that follows it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.hdf5.inspect import Structure
from vinci_offline.data.problem import Finding, Problem
from vinci_offline.quality.checks.ends import FLAGS, rows_within, table_ends
from vinci_offline.quality.checks.marks import Marks, any_in_row
from vinci_offline.types import Array


def continuity_findings(dataset: Dataset, structure: Structure) -> Iterator[Finding]:
    """Within an episode each next observation is the following row's observation."""
    if not ordered(structure):
        return
    last = table_ends(structure, structure.rows)
    for path in dataset.columns:
        if path.partition("/")[0] != layout.NEXT_OBSERVATIONS:
            continue
        broken = Marks()
        for start, following in dataset.columns.blocks(path):
            stop = start + len(following)
            flags = [dataset.columns.read(name, slice(start, stop)) for name in FLAGS]
            goes_on = ~(flags[0] | flags[1])
            goes_on[rows_within(last, start, stop)] = False
            after = slice(start + 1, min(stop + 1, len(dataset)))
            observed = dataset.columns.read(path.removeprefix("next_"), after)
            # The last row of all is followed by none.
            goes_on[: len(observed)] &= differ(following[: len(observed)], observed)
            goes_on[len(observed) :] = False
            broken.add(start, goes_on)
        if broken.count:
            what = f"{broken} not followed by the observation they lead to, though the episode goes on"
            advice = "mark episode ends in timeouts, or record the data again"
            yield Problem(f"{path} row {broken.first}", what, advice, repairable=True)


def ordered(structure: Structure) -> bool:
    """Whether anything says that one row follows from the one before."""
    if structure.native:
        tables = [problem for problem in structure.problems if problem.where.startswith("metadata")]
        return bool(structure.episodes or tables)
    return layout.TIMEOUTS in structure.columns


def differ(following: Array, observed: Array) -> Array:
    """``[B]``: rows that are not equal but for rounding; NaN equals NaN.

    Args:
        following: ``[B, …]`` the next observations of some rows.
        observed: ``[B, …]`` the observations of the rows that follow them.
    """
    marks = any_in_row(following != observed)
    rows = np.flatnonzero(marks)
    close = np.isclose(following[rows], observed[rows], rtol=1e-5, atol=1e-6, equal_nan=True)
    marks[rows] = any_in_row(~close)
    return marks
