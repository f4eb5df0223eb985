"""Look at a file without reading its columns: find what is in it, and why it cannot be opened as a dataset.

Files come from strangers: links are not followed, nothing is read outside the file, and no size is believed
that the file's own bytes cannot back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vinci_offline.budget import Tally
from vinci_offline.data import layout
from vinci_offline.data.hdf5.attributes import read_attributes
from vinci_offline.data.hdf5.chunks import StoredArray
from vinci_offline.data.hdf5.opening import Stamp, file_stamp, open_hdf5
from vinci_offline.data.hdf5.shared_frames import frames_of
from vinci_offline.data.hdf5.untrusted import datasets_below, unfolded_problem, unreadable
from vinci_offline.data.problem import Problem
from vinci_offline.data.schema import StoredColumn, fit, table_problems
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import printable
from vinci_offline.types import Columns

_MOST_COLUMNS = 4096
_TABLE_COPIES = 3
"""Reading a table of episodes makes copies: checked, completed, and as a frame."""


@dataclass(frozen=True)
class Structure:
    """Everything in a file but the columns' values.

    Attributes:
        path: the file.
        stamp: tells this very file from one that replaced it later.
        native: whether this project's format wrote it; otherwise it is someone's flat D4RL-like file.
        columns: by path, in file order.
        episodes: the stored episode table; empty where there is none.
        attributes: where the data comes from.
        spec: the environment, where the file tells it.
        content_hash: the hash of the columns, as stored.
        table_hash: the hash of the episode table, as stored; None in files of earlier versions.
        problems: what keeps it from being opened.
    """

    path: Path
    stamp: Stamp
    native: bool
    columns: Mapping[str, StoredColumn]
    episodes: Columns
    attributes: Mapping[str, Any]
    spec: EnvironmentSpec | None
    content_hash: str | None
    table_hash: str | None
    problems: tuple[Problem, ...]

    @property
    def rows(self) -> int:
        """The number of rows of a file without problems."""
        return self.columns[layout.REWARDS].shape[0]


def inspect(path: Path) -> Structure:
    """Look at a file and collect every structural problem.

    Raises:
        DatasetError: it cannot be opened as HDF5 at all, or its format version is newer than this package.
    """
    with open_hdf5(path) as file:
        stamp = file_stamp(path)
        tally = Tally(str(path), stamp[1])
        attributes = read_attributes(file, tally)
        native = attributes.get(layout.ATTRIBUTE_FORMAT) == layout.FORMAT
        if native:
            _check_version(path, attributes.get(layout.ATTRIBUTE_VERSION))
        problems: list[Problem] = []
        columns = _columns(file, problems)
        if (unfolded := unfolded_problem(path, _bytes_of(columns))) is not None:
            problems.append(unfolded)
        episodes = _episodes(file, problems, tally) if native else {}
        table_hash = _table_hash(file, tally) if episodes else None
        spec = _spec(attributes.get(layout.ATTRIBUTE_ENVIRONMENT), problems) if native else None
    problems += table_problems(columns, native, path)
    if spec is not None and any(column.shape[0] for column in columns.values()):
        problems += fit(columns, spec)
    digest = attributes.get(layout.ATTRIBUTE_HASH) if native else None
    return Structure(
        path=path,
        stamp=stamp,
        native=native,
        columns=columns,
        episodes=episodes,
        attributes={
            name: value
            for name, value in attributes.items()
            if not (native and name in layout.RESERVED_ATTRIBUTES)
        },
        spec=spec,
        content_hash=digest if isinstance(digest, str) else None,
        table_hash=table_hash,
        problems=tuple(problems),
    )


def _check_version(path: Path, version: Any) -> None:
    if not isinstance(version, int) or version < 1:
        raise DatasetError(
            f"{path}: the attribute 'version' is {version!r}, not a number: the file is damaged"
        )
    if version > layout.VERSION:
        raise DatasetError(
            f"{path} has format version {version}, and this package reads up to {layout.VERSION}: "
            "upgrade vinci-offline"
        )


def _columns(file: h5py.File, problems: list[Problem]) -> dict[str, StoredColumn]:
    columns: dict[str, StoredColumn] = {}
    for root in layout.COLUMN_ROOTS:
        for path, dataset in datasets_below(file, root, problems):
            if len(columns) >= _MOST_COLUMNS:
                problems.append(Problem(root, f"more than {_MOST_COLUMNS} columns", "keep fewer infos"))
                return columns
            column = _column(file, path, dataset)
            if isinstance(column, Problem):
                problems.append(column)
            else:
                columns[path] = column
    return columns


def _bytes_of(columns: Mapping[str, StoredColumn]) -> int:
    return sum(math.prod(column.shape) * column.dtype.itemsize for column in columns.values())


def _column(file: h5py.File, path: str, dataset: Any) -> StoredColumn | Problem:
    """Return a column, or why it cannot be read."""
    flag = path in {layout.TERMINALS, layout.TIMEOUTS}
    if not dataset.is_virtual:
        problem = unreadable(path, dataset, flag=flag)
        dtype = np.dtype(np.bool_) if flag else dataset.dtype
        return problem or StoredColumn(dataset.shape, dtype.newbyteorder("="))
    frames = frames_of(file, path, dataset)
    if isinstance(frames, Problem):
        return frames
    problem = unreadable(frames.path, file[frames.path], flag=flag)
    return problem or StoredColumn(dataset.shape, dataset.dtype.newbyteorder("="), frames)


def _episodes(file: h5py.File, problems: list[Problem], tally: Tally) -> Columns:
    """Return the stored episode table; empty where there is none, or where it cannot be read.

    Raises:
        DatasetError: it takes far more memory than the file has bytes.
    """
    found: list[Problem] = []
    metadata = file.get("metadata", getlink=True)
    if metadata is None:
        return {}
    if not isinstance(metadata, h5py.HardLink) or not isinstance(file["metadata"], h5py.Group):
        problems.append(
            _of_table(Problem("metadata", "not a group of this file", "copy the data into this file"))
        )
        return {}
    table: Columns = {}
    for path, dataset in datasets_below(file["metadata"], layout.EPISODES, found):
        problem = unreadable(path, dataset)
        if problem is None and len(dataset.shape) != 1:
            problem = Problem(path, f"shape {dataset.shape}", "one number an episode is expected")
        if problem is None:
            tally.add(layout.EPISODES, _TABLE_COPIES * dataset.nbytes)
            table[path.removeprefix(f"{layout.EPISODES}/")] = StoredArray(dataset)[()]
        else:
            found.append(problem)
    lengths = {name: len(values) for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        found.append(
            Problem(layout.EPISODES, f"unequal lengths {lengths}", "remove the group: it can be derived")
        )
    problems += map(_of_table, found)
    return {} if found else table


def _table_hash(file: h5py.File, tally: Tally) -> str | None:
    """Return the stored hash of an episode table that was read."""
    digest = read_attributes(file[layout.EPISODES], tally).get(layout.ATTRIBUTE_HASH)
    return digest if isinstance(digest, str) else None


def _of_table(problem: Problem) -> Problem:
    """Mark a problem of the episode table as repairable: the flags tell the episodes."""
    return replace(problem, repairable=True)


def _spec(text: Any, problems: list[Problem]) -> EnvironmentSpec | None:
    try:
        # An attribute that looks like JSON was decoded already.
        return EnvironmentSpec.from_json(text if isinstance(text, str) else json.dumps(text))
    except SpecError as error:
        problems.append(
            Problem("attribute 'environment'", printable(str(error)), "restore the file from a copy")
        )
        return None
