"""LeRobot's frames, in order: the features of all files, and where episodes begin."""

from __future__ import annotations

from collections.abc import Mapping
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
from vinci_offline.convert.sources.spool import Spool
from vinci_offline.data.assembly.lazy import as_dtype, blocks, gathered, held, permuted, reshaped, whole
from vinci_offline.data.assembly.order import begins_of, sorting
from vinci_offline.data.columns import Column
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array

_DATA = "data"
_EPISODE, _FRAME = "episode_index", "frame_index"
_EPISODES = Path("meta", "episodes")


class Frames:
    """The frames of a dataset, episode after episode.

    Where they lie in order, as LeRobot writes them, they are read in blocks. Otherwise the indices of all frames lie in
    memory: 24 bytes a frame.

    Attributes:
        path: the dataset's folder.
        shapes: of a frame, by feature; only those that are numbers.
        lengths: ``[E]`` frames of each episode.
    """

    def __init__(self, path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.path = path
        self._columns = _spooled(path / _DATA, {**shapes, _EPISODE: (), _FRAME: ()})
        self.shapes = {name: shape for name, shape in shapes.items() if name in self._columns}
        episode, frame = (as_dtype(self._columns[name], np.dtype(np.int64)) for name in (_EPISODE, _FRAME))
        order = sorting(episode, frame)
        if order is not None:
            self._columns = {name: permuted(column, order) for name, column in self._columns.items()}
            episode, frame = (held(whole(column)[order]) for column in (episode, frame))
        first = np.flatnonzero(begins_of(episode))
        self.lengths = np.diff(first, append=episode.shape[0])
        labels = gathered(episode, first)
        for start, block in blocks(frame):
            rows = np.arange(start, start + len(block))
            number = np.searchsorted(first, rows, "right") - 1
            wrong = block != rows - first[number]
            if wrong.any():
                label = labels[number[int(np.argmax(wrong))]]
                raise DatasetError(
                    f"{path}: {_EPISODE} {label} has no {_FRAME} 0, 1, 2 …, or has one twice: it is damaged"
                )
        self._check_counts(labels)

    def column(self, name: str, shape: tuple[int, ...] | None = None) -> Column:
        """Return a feature's frames ``[N, …]``, of its own shape or another of the same size."""
        column = self._columns[name]
        return column if shape is None or shape == column.shape[1:] else reshaped(column, shape)

    def _check_counts(self, episodes: Array) -> None:
        """Refuse frames that are not those that ``meta/episodes`` lists."""
        folder = self.path / _EPISODES
        if not folder.is_dir():
            return
        names = (_EPISODE, "length")
        tables = [read_table(file, list(names)) for file in _files(folder)]
        with arrow_errors(folder):
            table = pyarrow().concat_tables(tables)
        listed = {}
        for name in names:
            if name not in table.column_names:
                raise DatasetError(f"{folder}: {name} is missing")
            listed[name] = numbers(single(table.column(name)), f"{folder}: {name}", ())
        order = np.argsort(listed[_EPISODE])
        if not (
            np.array_equal(listed[_EPISODE][order], episodes)
            and np.array_equal(listed["length"][order], self.lengths)
        ):
            raise DatasetError(
                f"{self.path}: {_DATA} holds other episodes than meta/episodes lists: it was copied in part"
            )


def _spooled(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Column]:
    """Return the features of a folder's files end to end; those that no file has are left out.

    Args:
        folder: of the chunks.
        shapes: of a frame, by feature.

    Raises:
        DatasetError: a file is damaged, or a feature is not in all of them.
    """
    spool = Spool(str(folder))
    for file in _files(folder):
        for table in read_blocks(file, list(shapes)):
            there = [name for name in shapes if name in table.column_names]
            for name in there:
                if table.column_names.count(name) != 1:
                    raise DatasetError(f"{file}: {printable(name)} comes twice")
            spool.append(
                {
                    name: numbers(single(table.column(name)), f"{file}: {printable(name)}", shapes[name])
                    for name in there
                }
            )
    columns = spool.columns()
    if missing := [name for name in (_EPISODE, _FRAME) if name not in columns]:
        raise DatasetError(f"{folder}: {missing[0]} is missing")
    return columns


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*/*.parquet"))
    if not files:
        raise DatasetError(f"{folder} has no chunk-*/file-*.parquet: the dataset was copied in part")
    return files
