"""What d3rlpy's ``MDPDataset.dump`` wrote up to 1.1 (https://github.com/takuseno/d3rlpy, v1.1.1, ``dataset.pyx``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vinci_offline.convert.sources.hdf5 import Hdf5Tree
from vinci_offline.data import layout
from vinci_offline.data.assembly.flat import flags, one_number
from vinci_offline.data.assembly.logged import Logged
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array, Columns

REWARDS = "rewards"
"""The setting that says in which row the reward of an action lies: ``same``, or ``next``."""

_COLUMNS = (layout.OBSERVATIONS, layout.ACTIONS, layout.REWARDS, layout.TERMINALS)
_ENDS = "episode_terminals"
_MARK = "discrete_action"
_VERSION = "1.0"


def is_mdp_dump(tree: Hdf5Tree) -> bool:
    """Whether the file has the columns, and the flag that tells them from D4RL's."""
    return {*_COLUMNS, _MARK} <= set(tree.names())


def read_mdp_dump(tree: Hdf5Tree, settings: Mapping[str, str], decisions: list[str]) -> Logged:
    """The rows of a dump; what is decided goes to ``decisions``.

    From 1.1 on, which writes a version, d3rlpy takes a row as what was seen, done and gained for it. Before, it
    took the reward of an action, and what the action led to, from the row after it, so that the last row of an
    episode is no transition, not even of a terminated one.

    Raises:
        DatasetError: a column is missing or damaged, or the version is not known.
        UsageError: nothing tells in which row rewards lie, and the setting must.
    """
    following = _rewards_follow(tree, settings, decisions)
    names = [*_COLUMNS, *([_ENDS] if tree.has(_ENDS) else [])]
    columns = {name: tree.array(name) for name in names}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise DatasetError(f"{tree.path}: unequal lengths ({listed}): the file is damaged")
    columns[layout.REWARDS] = one_number(columns[layout.REWARDS], f"{tree.path}: {layout.REWARDS}")
    terminals = flags(columns.pop(layout.TERMINALS), tree.path, layout.TERMINALS)
    ends = _ends(tree, terminals, columns.pop(_ENDS, None), decisions)
    last = np.flatnonzero(ends)
    rows = np.diff(last + 1, prepend=0)
    if following:
        columns = _with_following(columns, last)
        decisions.append("the last row of each episode holds what its last action led to and gained")
        if empty := int((rows == 1).sum()):
            decisions.append(f"{empty} episodes of a single row hold no transition, and are left out")
        last, rows = last[rows > 1], rows[rows > 1] - 1
    return Logged(columns, rows, terminals[last], attributes={"source": "d3rlpy"})


def _rewards_follow(tree: Hdf5Tree, settings: Mapping[str, str], decisions: list[str]) -> bool:
    """Whether the reward of an action lies in the row after it."""
    version, said = tree.scalars("/").get("version"), settings.get(REWARDS)
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
    decisions.append(
        f"the reward of an action lies in {where}, as {'its version' if said is None else '--set'} says"
    )
    return following


def _ends(tree: Hdf5Tree, terminals: Array, marked: Array | None, decisions: list[str]) -> Array:
    """``[N]`` the last rows of episodes."""
    if marked is None:
        decisions.append(
            "episodes end at terminals alone, as d3rlpy has it where there are no episode_terminals"
        )
        ends = terminals.copy()
    else:
        flagged = flags(marked, tree.path, _ENDS)
        ends = terminals | flagged
        decisions.append(
            "an episode ends at its episode_terminals, terminated where terminals say so, and cut otherwise"
        )
        if within := int((terminals & ~flagged).sum()):
            decisions.append(
                f"{within} terminals lie within episodes, which d3rlpy passes over: episodes end there"
            )
    if len(ends) and not ends[-1]:
        ends[-1] = True
        decisions.append("the last episode is not finished: it is cut at its last row")
    return ends


def _with_following(columns: Columns, last: Array) -> Columns:
    """The columns without last rows, which give rewards and next observations to the rows before them."""
    kept = np.ones(len(columns[layout.REWARDS]), np.bool_)
    kept[last] = False
    after = np.flatnonzero(kept) + 1
    return {
        layout.OBSERVATIONS: columns[layout.OBSERVATIONS][kept],
        layout.ACTIONS: columns[layout.ACTIONS][kept],
        layout.REWARDS: columns[layout.REWARDS][after],
        layout.NEXT_OBSERVATIONS: columns[layout.OBSERVATIONS][after],
    }
