"""LeRobot's frames, in order: the features of all files, and where episodes begin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from vinci_offline.convert.sources.arrow import (
    arrow_errors,
    numbers,
    pyarrow,
    read_blocks,
    read_table,
    single,
)
from vinci_offline.convert.sources.folders import read_json_lines
from vinci_offline.convert.sources.spool import Spool
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import as_dtype, blocks, gathered, held, permuted, reshaped, whole
from vinci_offline.data.assembly.order import begins_of, sorting
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array

_DATA = "data"
_EPISODE, _FRAME = "episode_index", "frame_index"
_EPISODES = Path("meta", "episodes")
_EPISODE_LINES = Path("meta", "episodes.jsonl")
"""Of version 2."""


class Frames:
    """The frames of a dataset, episode after episode.

    Where they lie in order, as LeRobot writes them, they are read in blocks. Otherwise the indices of all frames lie in
    memory: 24 bytes a frame.

    Attributes:
        path: the dataset's folder.
        shapes: of a frame, by feature; only those that are numbers.
        lengths: ``[E]`` frames of each episode.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]], context: ImportContext) -> None:
        self.path = path
        self._context = context
        self._columns = _spooled(path / _DATA, {**shapes, _EPISODE: (), _FRAME: ()}, context)
        self.shapes = {name: shape for name, shape in shapes.items() if name in self._columns}
        episode, frame = (as_dtype(self._columns[name], np.dtype(np.int64)) for name in (_EPISODE, _FRAME))
        order = sorting(episode, frame)
        if order is not None:
            self._columns = {name: permuted(column, order) for name, column in self._columns.items()}
            episode, frame = (held(whole(column)[order]) for column in (episode, frame))
        first = np.flatnonzero(begins_of(episode))
        self.lengths = np.diff(first, append=episode.shape[0])
        labels, wrong = gathered(episode, first), np.zeros(len(first), np.bool_)
        for start, block in blocks(frame):
            rows = np.arange(start, start + len(block))
            number = np.searchsorted(first, rows, "right") - 1
            wrong[number[block != rows - first[number]]] = True
        for label in labels[wrong].tolist():
            with context.episode():
                raise DatasetError(
                    f"{path}: {_EPISODE} {label} has no {_FRAME} 0, 1, 2 …, or has one twice: it is damaged"
                )
        if wrong.any():
            kept = np.flatnonzero(np.repeat(~wrong, self.lengths))
            self._columns = {name: permuted(column, kept) for name, column in self._columns.items()}
            self.lengths, labels = self.lengths[~wrong], labels[~wrong]
        self._check_counts(labels)

    def column(self, name: str, shape: tuple[int, ...] | None = None) -> Column:
        """Return a feature's frames ``[N, …]``, of its own shape or another of the same size."""
        column = self._columns[name]
        return column if shape is None or shape == column.shape[1:] else reshaped(column, shape)

    def _check_counts(self, episodes: Array) -> None:
        """Refuse frames that are not those that ``meta/episodes`` lists; the options may leave out episodes."""
        listed = _listed(self.path)
        if listed is None:
            return
        numbered, lengths = listed
        is_there = (
            np.isin(numbered, episodes)
            if self._context.options.skip_bad
            else np.ones(len(numbered), np.bool_)
        )
        if not (
            np.array_equal(numbered[is_there], episodes) and np.array_equal(lengths[is_there], self.lengths)
        ):
            raise DatasetError(
                f"{self.path}: {_DATA} holds other episodes than meta/episodes lists: it was copied in part"
            )


def _listed(path: Path) -> tuple[Array, Array] | None:
    """Return the numbers of the episodes that ``meta`` lists, in order, and their lengths; None if it lists none."""
    names = (_EPISODE, "length")
    if (lines := path / _EPISODE_LINES).is_file():
        rows = [tuple(each.get(name) for name in names) for each in read_json_lines(lines)]
        if not all(isinstance(value, int) for row in rows for value in row):
            raise DatasetError(
                f"{lines} does not list {' and '.join(names)} of each episode: the file is damaged"
            )
        found = np.array(rows, np.int64).reshape(len(rows), 2)
        order = np.argsort(found[:, 0])
        return found[order, 0], found[order, 1]
    folder = path / _EPISODES
    if not folder.is_dir():
        return None
    tables = [read_table(file, list(names)) for file in _files(folder)]
    with arrow_errors(folder):
        table = pyarrow().concat_tables(tables)
    listed = {}
    for name in names:
        if name not in table.column_names:
            raise DatasetError(f"{folder}: {name} is missing")
        listed[name] = numbers(single(table.column(name)), f"{folder}: {name}", ())
    order = np.argsort(listed[_EPISODE])
    return listed[_EPISODE][order], listed["length"][order]


def _spooled(
    folder: Path, shapes: Mapping[str, tuple[int, ...]], context: ImportContext
) -> dict[str, Column]:
    """Return the features of a folder's files end to end; those that no file has are left out.

    Args:
        folder: of the chunks.
        shapes: of a frame, by feature.
        context: the import; in version 2 a file is an episode, and a bad one may be left out.

    Raises:
        DatasetError: a file is damaged, or a feature is not in all of them.
    """
    spool = Spool(str(folder))
    for file in _files(folder):
        if not file.name.startswith("episode_"):
            for rows in _rows(file, shapes):
                spool.append(rows)
            continue
        with context.episode():
            episode = list(_rows(file, shapes))  # whole before any of it is taken
            for rows in episode:
                spool.append(rows)
    columns = spool.columns()
    if missing := [name for name in (_EPISODE, _FRAME) if name not in columns]:
        raise DatasetError(f"{folder}: {missing[0]} is missing")
    return columns


def _rows(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> Iterator[dict[str, Array]]:
    """Yield the frames of a file, ``[B, …]`` by feature."""
    for table in read_blocks(file, list(shapes)):
        there = [name for name in shapes if name in table.column_names]
        for name in there:
            if table.column_names.count(name) != 1:
                raise DatasetError(f"{file}: {printable(name)} comes twice")
        yield {
            name: numbers(single(table.column(name)), f"{file}: {printable(name)}", shapes[name])
            for name in there
        }


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*/*.parquet"))
    if not files:
        raise DatasetError(f"{folder} has no chunk-*/file-*.parquet: the dataset was copied in part")
    return files
