"""Check that each row of an episode leads to the next one."""

from __future__ import annotations

from collections.abc import Iterator

from vinci_offline.data import layout
from vinci_offline.data.continuity import continuing_blocks, ended, observation_paths
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.hdf5.inspect import Structure
from vinci_offline.data.problem import Finding, Problem
from vinci_offline.quality.checks.ends import FLAGS, table_ends
from vinci_offline.quality.checks.marks import Marks


def continuity_findings(dataset: Dataset, structure: Structure) -> Iterator[Finding]:
    """Find rows within an episode that the next row does not continue."""
    if not ordered(structure):
        return
    last = table_ends(structure, structure.rows)
    for path in observation_paths(dataset.columns):
        broken = Marks()
        for start, continues in continuing_blocks(dataset.columns, path):
            rows = slice(start, start + len(continues))
            flags = {name: dataset.columns.read(name, rows) for name in FLAGS}
            broken.add(start, ~continues & ~ended(flags, last, start))
        if broken.count:
            what = f"{broken} not continued by the following row, though the episode goes on"
            advice = "mark episode ends in timeouts, or record the data again"
            yield Problem(f"next_{path} row {broken.first}", what, advice, repairable=True)


def ordered(structure: Structure) -> bool:
    """Return whether anything in the file says that one row follows from the one before."""
    if structure.native:
        tables = [problem for problem in structure.problems if problem.where.startswith("metadata")]
        return bool(structure.episodes or tables)
    return layout.TIMEOUTS in structure.columns
