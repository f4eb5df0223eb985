"""Episodes as most tools keep them: one more observation than actions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.logged import Logged
from vinci_offline.data.continuity import runs
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import episodes_of, known_facts, last_rows
from vinci_offline.types import Array, Columns


@dataclass(frozen=True)
class Trajectory:
    """One episode of T steps.

    Attributes:
        observations: ``[T + 1, …]`` by column path (``observations``, or ``observations/KEY``): the last is the one
            that the last action led to.
        steps: ``[T, …]`` by column path: ``actions``, ``rewards``, ``infos/…``.
        terminated: whether its end is a terminal; otherwise it was cut.
        facts: numbers of the episode table, such as ``seed``.
    """

    observations: Columns
    steps: Columns
    terminated: bool
    facts: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.steps[layout.REWARDS])


def logged(trajectories: Iterable[Trajectory]) -> Logged:
    """The rows of episodes; infos and facts that not all of them have are left out."""
    found = list(trajectories)
    steps = [path for path in found[0].steps if all(path in each.steps for each in found)] if found else []
    columns = {path: np.concatenate([each.steps[path] for each in found]) for path in steps}
    for path in found[0].observations if found else ():
        columns[path] = np.concatenate([each.observations[path][:-1] for each in found])
        columns[f"next_{path}"] = np.concatenate([each.observations[path][1:] for each in found])
    facts = [name for name in found[0].facts if all(name in each.facts for each in found)] if found else []
    return Logged(
        columns,
        np.array([len(each) for each in found], np.int64),
        np.array([each.terminated for each in found], np.bool_),
        {name: np.array([each.facts[name] for each in found]) for name in facts},
    )


def pieces(dataset: Dataset) -> tuple[Array, Array, Array]:
    """Runs of rows that continue each other; an episode is one such run unless rows were left out of it.

    A next observation that differs from the following row's observation by rounding is one with it: see
    `vinci_offline.data.continuity.continues`.

    Returns:
        First rows, lengths, and the episodes that they belong to.
    """
    table = dataset.episode_columns
    start, length = runs(dataset.columns, last_rows(table))
    episode = episodes_of(table, start)
    return start, length, episode


def trajectories(dataset: Dataset) -> Iterator[Trajectory]:
    """The dataset as episodes; one from which rows are missing comes in pieces, all but perhaps the last cut."""
    table = dataset.episode_columns
    facts = known_facts(table)
    observed = _observation_paths(dataset)
    stepped = [
        path
        for path in dataset.columns
        if path.partition("/")[0] in {layout.ACTIONS, layout.REWARDS, layout.INFOS}
    ]
    for start, length, episode in zip(*pieces(dataset), strict=True):
        rows = slice(int(start), int(start + length))
        read = dataset.columns.read
        last = slice(rows.stop - 1, rows.stop)
        yield Trajectory(
            {path: np.concatenate([read(path, rows), read(f"next_{path}", last)]) for path in observed},
            {path: read(path, rows) for path in stepped},
            bool(read(layout.TERMINALS, last)[0]),
            {name: table[name][episode].item() for name in facts},
        )


def cut_episodes(dataset: Dataset) -> int:
    """How many episodes come in several pieces."""
    _, counts = np.unique(pieces(dataset)[2], return_counts=True)
    return int((counts > 1).sum())


def _observation_paths(dataset: Dataset) -> list[str]:
    return [path for path in dataset.columns if path.partition("/")[0] == layout.OBSERVATIONS]
