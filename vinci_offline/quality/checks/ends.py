"""Check that the flags and the episode table agree on where episodes end."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.digest import table_hash
from vinci_offline.data.episode_columns import LENGTH, RETURN, START
from vinci_offline.data.episodes import FLAG_COLUMNS, inconsistencies, returns
from vinci_offline.data.hdf5.inspect import Structure
from vinci_offline.data.indexing import rows_within
from vinci_offline.data.problem import Finding, Note, Problem
from vinci_offline.quality.checks.marks import Marks
from vinci_offline.text import counted
from vinci_offline.types import Array, Columns

FLAGS = (layout.TERMINALS, layout.TIMEOUTS)
_ADVICE = f"remove {layout.EPISODES}: it can be derived from the flags"


def flag_findings(dataset: Dataset, structure: Structure) -> Iterator[Finding]:
    """Find rows that are both terminal and timeout."""
    both = Marks()
    for start, flags in dataset.columns.together(FLAGS):
        both.add(start, flags[layout.TERMINALS] & flags[layout.TIMEOUTS])
    if both.count:
        where = f"{layout.TERMINALS}, {layout.TIMEOUTS} row {both.first}"
        advice = "a terminal row has no future: clear its timeout"
        yield Problem(where, f"{both} both terminal and timeout", advice, repairable=True)


def table_findings(dataset: Dataset, structure: Structure) -> Iterator[Finding]:
    """Find faults of the stored episode table: its order, its ends, its returns, or else its hash.

    Ends without a flag are a note.
    """
    table = structure.episodes
    if not table:
        return
    found = list(_told_by_rows(dataset, structure, table))
    yield from found
    if structure.table_hash not in {None, table_hash(table)} and not any(map(_is_problem, found)):
        what = "the episode table was changed after it was written"
        advice = "restore the file from a copy, or save it anew if you know what changed it"
        yield Problem(layout.EPISODES, what, advice, repairable=True)


def _is_problem(finding: Finding) -> bool:
    return isinstance(finding, Problem)


def _told_by_rows(dataset: Dataset, structure: Structure, table: Columns) -> Iterator[Finding]:
    """Find faults of the table that the rows tell."""
    wrong = inconsistencies(table, structure.rows)
    yield from (Problem(layout.EPISODES, what, _ADVICE, repairable=True) for what in wrong)
    if wrong:
        return
    last = table_ends(structure, structure.rows)
    for name, path in FLAG_COLUMNS.items():
        if name not in table:
            continue
        differ = table[name].astype(np.bool_) != dataset.columns.gather(path, last)
        if differ.any():
            what = f"{_episodes(differ)} differ from {path} in their last row"
            where = f"{layout.EPISODES}/{name} episode {int(np.argmax(differ))}"
            yield Problem(where, what, _ADVICE, repairable=True)
    ended = dataset.columns.gather(layout.TERMINALS, last) | dataset.columns.gather(layout.TIMEOUTS, last)
    if not ended.all():
        first = int(last[np.argmin(ended)])
        what = f"{_episodes(~ended)} that no flag ends, here in row {first}"
        advice = (
            "loaders that know flags alone join it to the row after it; --repair OUT marks it as a timeout"
        )
        yield Note(layout.EPISODES, what, advice)
    inner = Marks()
    for start, flags in dataset.columns.together(FLAGS):
        ended = flags[layout.TERMINALS] | flags[layout.TIMEOUTS]
        ended[rows_within(last, start, start + len(ended))] = False
        inner.add(start, ended)
    if inner.count:
        what = f"{inner} where a flag ends an episode and the table does not"
        yield Problem(f"{layout.EPISODES} row {inner.first}", what, _ADVICE, repairable=True)
    if RETURN in table:
        yield from _return_findings(dataset, table)


def table_ends(structure: Structure, rows: int) -> Array:
    """Return the last rows of the stored table's episodes; none if the table does not describe ``rows`` rows."""
    table = structure.episodes
    if not table or inconsistencies(table, rows):
        return np.zeros(0, np.int64)
    return np.asarray(table[START].astype(np.int64) + table[LENGTH].astype(np.int64) - 1)


def _return_findings(dataset: Dataset, table: Columns) -> Iterator[Finding]:
    stored, start = table[RETURN], table[START]
    sums = returns(dataset.columns.blocks(layout.REWARDS), start)
    sizes = returns(
        ((first, np.abs(block)) for first, block in dataset.columns.blocks(layout.REWARDS)), start
    )
    # Environments reward in float64 and files keep float32: each row may be off by half a rounding step.
    slack = 1e-6 * (sizes + np.abs(stored)) + 1e-6
    with np.errstate(invalid="ignore"):
        differ = ~(np.abs(sums - stored) <= slack) & np.isfinite(sums)
    if differ.any():
        index = int(np.argmax(differ))
        here = f"{stored[index]:g} and {sums[index]:g}"
        what = f"{_episodes(differ)} differ from their rewards' sum, here {here}"
        yield Problem(f"{layout.EPISODES}/return episode {index}", what, _ADVICE, repairable=True)


def _episodes(marks: Array) -> str:
    return counted(int(np.count_nonzero(marks)), "episode")
