"""d3rlpy's ``MDPDataset.dump`` up to version 1.1 (https://github.com/takuseno/d3rlpy, v1.1.1, ``dataset.pyx``)."""

from __future__ import annotations

import numpy as np

from vinci_offline.convert.sources.hdf5 import Hdf5Tree
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import close_last, lengths_of
from vinci_offline.data.assembly.flat import flag_column, one_number
from vinci_offline.data.assembly.lazy import shared
from vinci_offline.data.assembly.logged import KeptRows, Logged
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array, Columns

REWARDS = "rewards"
"""The setting for the row that holds the reward of an action: ``same``, or ``next``."""

_COLUMNS = (layout.OBSERVATIONS, layout.ACTIONS, layout.REWARDS, layout.TERMINALS)
_ENDS = "episode_terminals"
_MARK = "discrete_action"
_VERSION = "1.0"


def is_mdp_dump(tree: Hdf5Tree) -> bool:
    """Tell whether the file has the columns of a dump, and the flag that D4RL's files lack."""
    return {*_COLUMNS, _MARK} <= set(tree.names())


def read_mdp_dump(tree: Hdf5Tree, context: ImportContext) -> Logged:
    """Return the rows of a dump.

    From 1.1 on, which writes a version, d3rlpy takes a row as what was seen, done and gained for it. Before, it
    took the reward of an action, and what the action led to, from the row after it, so that the last row of an
    episode is no transition, not even of a terminated one.

    Raises:
        DatasetError: a column is missing or damaged, or the version is not known.
        UsageError: nothing tells in which row rewards lie, and the setting must.
    """
    is_next = _rewards_follow(tree, context)
    names = [*_COLUMNS, *([_ENDS] if tree.has(_ENDS) else [])]
    columns = {name: tree.column(name) for name in names}
    lengths = {name: column.shape[0] for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DatasetError(f"{tree.path}: unequal lengths ({listed}): the file is damaged")
    columns[layout.REWARDS] = one_number(columns[layout.REWARDS], f"{tree.path}: {layout.REWARDS}")
    terminals = flag_column(columns.pop(layout.TERMINALS), context, layout.TERMINALS)
    marked = flag_column(columns.pop(_ENDS), context, _ENDS) if _ENDS in columns else None
    ends, table = _ends(terminals, marked, context)
    last, rows = np.flatnonzero(ends), lengths_of(ends)
    if is_next:
        columns = _with_following(columns, KeptRows(rows, rows - 1))
        context.decide("the last row of each episode holds what its last action led to and gained")
        if empty := int((rows == 1).sum()):
            context.decide(f"{empty} episodes of a single row hold no transition, and are left out")
        table = {name: values[rows > 1] for name, values in table.items()}
        last, rows = last[rows > 1], rows[rows > 1] - 1
    return Logged(columns, rows, terminals[last], table, {"source": "d3rlpy"})


def _rewards_follow(tree: Hdf5Tree, context: ImportContext) -> bool:
    """Tell whether the reward of an action lies in the row after it."""
    version, said = tree.scalars("/").get("version"), context.setting(REWARDS)
    if version not in {None, _VERSION}:
        raise DatasetError(f"{tree.path} is a d3rlpy dump of an unknown version, {str(version)[:20]!r}")
    if said not in {None, "same", "next"}:
        raise UsageError(
            f"--set {REWARDS}={said}: it is same or next, the row in which an action's reward lies"
        )
    if said is None and version is None:
        raise UsageError(
            f"{tree.path} was dumped by a d3rlpy before 1.1, which took the reward of an action from the row after "
            f"it; not all who filled such files did: say --set {REWARDS}=next (as it took them), or {REWARDS}=same"
        )
    following = said == "next"
    where = "the row after it" if following else "its own row"
    context.decide(
        f"the reward of an action lies in {where}, as {'its version' if said is None else '--set'} says"
    )
    return following


def _ends(terminals: Array, marked: Array | None, context: ImportContext) -> tuple[Array, Columns]:
    """Return ``[N]`` marks of the last rows of episodes, and a table that tells fragments from whole episodes.

    Args:
        terminals: ``[N]`` booleans.
        marked: ``[N]`` the file's own marks, where it has some.
        context: the import.
    """
    if marked is None:
        context.decide(
            "episodes end at terminals alone, as d3rlpy has it where there are no episode_terminals"
        )
        ends = terminals.copy()
    else:
        ends = terminals | marked
        context.decide(
            "an episode ends at its episode_terminals, terminated where terminals say so, and cut otherwise"
        )
        if within := int((terminals & ~marked).sum()):
            context.decide(
                f"{within} terminals lie within episodes, which d3rlpy passes over: episodes end there"
            )
    return ends, close_last(ends, context)


def _with_following(columns: dict[str, Column], kept: KeptRows) -> dict[str, Column]:
    """Return the columns without last rows, which give rewards and next observations to the rows before them."""
    observations = shared(columns[layout.OBSERVATIONS])
    return {
        layout.OBSERVATIONS: kept.of(observations),
        layout.ACTIONS: kept.of(columns[layout.ACTIONS]),
        layout.REWARDS: kept.after(columns[layout.REWARDS]),
        layout.NEXT_OBSERVATIONS: kept.after(observations),
    }
