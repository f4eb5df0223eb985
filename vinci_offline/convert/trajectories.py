"""Episodes with one more observation than actions, as most tools keep them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from vinci_offline.convert.sources.spool import Spool
from vinci_offline.data import layout
from vinci_offline.data.continuity import runs
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH
from vinci_offline.data.episodes import complete, episodes_of, inherit, known_facts, last_rows
from vinci_offline.data.piece_ends import with_marked_ends
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array, Columns


@dataclass(frozen=True)
class Trajectory:
    """An episode of T steps.

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
        """Return the number of steps."""
        return len(self.steps[layout.REWARDS])


class EpisodeSpool:
    """Collector of the rows of episodes. Each episode is checked against the first one.

    Attributes:
        spool: the rows.
        lengths: of the episodes so far.

    Args:
        where: the source, for messages.
    """

    def __init__(self, where: str) -> None:
        self.spool = Spool(where)
        self.lengths: list[int] = []
        self._where = where
        self._first: tuple[str, dict[str, str]] | None = None

    def append(self, name: str, columns: Mapping[str, Array]) -> None:
        """Add the rows of an episode.

        Args:
            name: the source's name for it, for messages.
            columns: its rows by path.

        Raises:
            DatasetError: it has no rows, or columns of unequal lengths, or others than the first one has.
        """
        lengths = {path: len(values) for path, values in columns.items()}
        if len(set(lengths.values())) > 1 or not all(lengths.values()):
            listed = ", ".join(f"{path} {length}" for path, length in lengths.items())
            raise DatasetError(f"{self._where}: {name} has columns of no or unequal lengths ({listed})")
        rows = {path: _described(values) for path, values in columns.items()}
        if self._first is None:
            self._first = name, rows
        start, expected = self._first
        for path in {**expected, **rows}:
            mine, first = rows.get(path, "missing"), expected.get(path, "missing")
            if mine != first:
                raise DatasetError(
                    f"{self._where}: {path} of {name} is {mine}, of {start} {first}: convert such episodes apart"
                )
        self.spool.append(columns)
        self.lengths.append(len(next(iter(columns.values()))))

    def fits(self, path: str, values: Array | None) -> bool:
        """Tell whether an episode's rows of a column are like those of the first episode."""
        if self._first is None:
            return values is not None
        return values is not None and self._first[1].get(path) == _described(values)

    def drop(self, path: str) -> None:
        """Forget a column; episodes appended later must not have it."""
        self.spool.drop(path)
        if self._first is not None:
            self._first[1].pop(path, None)


def _described(values: Array) -> str:
    return f"of shape {list(values.shape[1:])}"


def rows_of(observations: Mapping[str, Array], steps: Mapping[str, Array]) -> Columns:
    """Return the rows of an episode.

    Args:
        observations: ``[T + 1, …]`` by path.
        steps: ``[T, …]`` by path.
    """
    rows = dict(steps)
    for path, values in observations.items():
        rows |= {path: values[:-1], f"next_{path}": values[1:]}
    return rows


def pieces(dataset: Dataset) -> tuple[Array, Array, Array]:
    """Return runs of rows that continue each other; an episode is one such run unless rows were left out of it.

    A next observation that differs from the following row's observation by rounding is one with it: see
    `vinci_offline.data.continuity.continues`.

    Returns:
        First rows, lengths, and the episodes that they belong to.
    """
    table = dataset.episode_columns
    start, length = runs(dataset.columns, last_rows(table))
    return start, length, episodes_of(table, start)


def as_pieces(dataset: Dataset) -> Dataset:
    """Return the rows with each piece as an episode of its own that ends in a terminal or a timeout.

    For formats that hold rows without their next observations or without an episode table: their readers join each row
    to the one after it, unless a flag parts them.
    """
    table = dataset.episode_columns
    start, length = runs(dataset.columns, last_rows(table))
    last = start + length - 1
    columns = with_marked_ends(dataset.columns, lambda: last)

    def pieces() -> Columns:
        return inherit(complete(columns, {LENGTH: length}), table, episodes_of(table, start))

    return Dataset(columns, dataset.spec, table=pieces, attributes=dataset.attributes)


def trajectories(dataset: Dataset) -> Iterator[Trajectory]:
    """Yield the dataset's episodes; one from which rows are missing comes in pieces, all but perhaps the last cut."""
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
    """Return how many episodes come in several pieces."""
    _, counts = np.unique(pieces(dataset)[2], return_counts=True)
    return int((counts > 1).sum())


def _observation_paths(dataset: Dataset) -> list[str]:
    return [path for path in dataset.columns if path.partition("/")[0] == layout.OBSERVATIONS]
