"""Write a dataset file: append rows, and the finished file appears under its name at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, get_args

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.casting import cast, paired, storage_dtype
from vinci_offline.data.columns import LazyColumns
from vinci_offline.data.continuity import continues_exactly
from vinci_offline.data.digest import content_hash, table_hash
from vinci_offline.data.episode_columns import LENGTH, TERMINATED, TRUNCATED
from vinci_offline.data.episodes import EpisodeTable, last_rows
from vinci_offline.data.hdf5.attributes import decode, encoded, file_attributes
from vinci_offline.data.hdf5.column_writer import ColumnWriter, FramesWriter
from vinci_offline.data.hdf5.comparison import refuse_other_content
from vinci_offline.data.hdf5.filters import IMAGE_FILTERS, Compression, filters, filters_of
from vinci_offline.data.hdf5.new_file import check_disk, new_file
from vinci_offline.data.hdf5.target import check_target
from vinci_offline.data.indexing import rows_within
from vinci_offline.data.piece_ends import marked_timeouts
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.files import disk_errors, make_folder, published
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import did_you_mean
from vinci_offline.types import Array, Columns

FrameStorage: TypeAlias = Literal["auto", "once", "plain"]

# Superblock and object headers with checksums, which every HDF5 library since 2008 reads; frames that are stored
# once are virtual datasets, which HDF5 has since 1.10 (2016).
_HDF5_VERSION = ("v108", "v110")
_COPY_BYTES = 2**26
"""Large, because each block of a view whose rows are shuffled is gathered from all over the file."""


class DatasetWriter:
    """Writer of one dataset file; a context manager.

    The file is built under a temporary name beside the target and renamed when the block ends, so a reader sees the old
    file or the whole new one. An exception inside the block removes the temporary file.

    Args:
        path: the file to write; its folder is made if it is missing.
        spec: the environment that the rows come from.
        attributes: where the data comes from (policy, noise, seed …): text, numbers, or what JSON can hold.
        compress: a lossless filter for every column, or ``auto``: gzip for images (uint8 rows of two axes or
            more), nothing for the others. ``none`` reads fastest; ``blosc2`` needs the package hdf5plugin,
            also to read.
        frames: ``once`` stores a frame once that is both a next observation and the following row's observation;
            ``plain`` stores it in both columns; ``auto`` stores images once if most rows of the first append continue.
        float64: store floating-point columns as they are given; otherwise float64 becomes float32.
        overwrite: replace an existing file.

    Raises:
        UsageError: the target exists, or the filter is not available.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        spec: EnvironmentSpec,
        *,
        attributes: Mapping[str, Any] | None = None,
        compress: Compression = "auto",
        frames: FrameStorage = "auto",
        float64: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self._slots = layout.spec_slots(spec)
        self._attributes = file_attributes(spec, attributes or {})
        self._filters: Mapping[str, Any] = filters(compress)
        self._image_filters = IMAGE_FILTERS if compress == "auto" else self._filters
        if frames not in get_args(FrameStorage):
            kinds = get_args(FrameStorage)
            raise UsageError(
                f"unknown frames {frames!r}; there are: {', '.join(kinds)}{did_you_mean(frames, kinds)}"
            )
        self._frame_storage = frames
        self._float64 = float64
        self._overwrite = overwrite
        self._columns: dict[str, ColumnWriter] = {}
        self._frames: dict[str, FramesWriter] = {}
        self._kinds: dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]] = {}
        self._episodes = EpisodeTable()
        self._rows = 0
        check_target(self.path, overwrite=self._overwrite)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack, disk_errors(self.path):
            make_folder(self.path.parent)
            temporary = stack.enter_context(published(self.path, overwrite=self._overwrite))
            stack.push(partial(self._compare, temporary))
            self._file = stack.enter_context(new_file(temporary, libver=_HDF5_VERSION))
            self._publication = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._publication.__exit__(kind, error, traceback)
            return
        with disk_errors(self.path), self._publication:
            self._finish()

    def __len__(self) -> int:
        """Return the number of rows appended so far."""
        return self._rows

    def append(self, columns: Mapping[str, Array], episodes: Mapping[str, Array] | None = None) -> None:
        """Append rows, and the episodes that they are made of.

        Args:
            columns: every column of the spec's spaces, ``rewards``, ``terminals`` and ``timeouts``, and the same
                ``infos/…`` at each call; all with the same number of rows. Values are copied.
            episodes: one entry an episode, in row order: ``length``, and other facts of each (``return``, ``seed`` …).
                Missing ``return`` and ``terminated`` are computed. The last row of each becomes a timeout, unless it
                is a terminal. Without ``fragment``, an episode that no flag ends is a fragment. None for rows that are
                not parts of episodes; then it is None at each call.

        Raises:
            DatasetError: a column is missing, unknown, of another shape or length, or cannot be stored as it is.
            VinciError: the disk is full or fails.
        """
        arrays = {path: np.asarray(values) for path, values in columns.items()}
        rows = self._check(arrays)
        kinds = self._kinds or self._first_kinds(arrays)
        # All checks first, so that a refused append leaves nothing behind.
        cast_arrays = {path: cast(values, kinds[path][1], path) for path, values in arrays.items()}
        self._episodes.append(cast_arrays, episodes, start=self._rows)
        if episodes is not None and rows:
            _mark_ends(cast_arrays, np.cumsum(np.asarray(episodes[LENGTH], np.int64)) - 1)
        if not self._kinds:
            self._kinds = kinds
            self._make_columns(cast_arrays)
        with disk_errors(self.path):
            for path, column in self._columns.items():
                column.append(cast_arrays[path])
            for path, pair in self._frames.items():
                pair.append(cast_arrays[path], cast_arrays[f"next_{path}"])
            check_disk(self._file)
        self._rows += rows

    def append_all(self, columns: LazyColumns, episodes: Mapping[str, Array]) -> None:
        """Append the rows of a whole dataset in blocks, with its episode table. The writer must be empty.

        Every end of an episode is marked, see `vinci_offline.data.piece_ends`.

        Raises:
            DatasetError: the columns or the episodes do not fit the spec or each other.
            VinciError: the disk is full or fails.
        """
        last = last_rows(episodes)
        for start, block in columns.together(list(columns), _COPY_BYTES):
            _mark_ends(block, rows_within(last, start, start + len(block[layout.REWARDS])))
            self.append(block)
        terminated = columns.gather(layout.TERMINALS, last)
        self.describe_episodes({**episodes, TERMINATED: terminated, TRUNCATED: ~terminated})

    def describe_episodes(self, episodes: Mapping[str, Array]) -> None:
        """Give the episodes of all rows at once, if no `append` was given any.

        Args:
            episodes: one entry an episode, in row order: ``length, return, terminated, truncated``, and other
                facts of each.

        Raises:
            DatasetError: the entries do not describe the rows appended.
        """
        self._episodes.describe(episodes, self._rows)

    def describe(self, **attributes: Any) -> None:
        """Add attributes that were not known when writing began.

        Raises:
            UsageError: an attribute is one of the format's own, or cannot be stored.
        """
        self._attributes |= encoded(attributes)

    def _check(self, arrays: Mapping[str, Array]) -> int:
        """Check names, shapes and lengths of the columns, and return the number of rows."""
        expected = set(self._kinds) or {*self._slots, *(path for path in arrays if _is_info(path))}
        if set(arrays) != expected:
            missing, unknown = sorted(expected - set(arrays)), sorted(set(arrays) - expected)
            raise DatasetError(
                "append: "
                + "; ".join(
                    f"{what} {', '.join(names)}"
                    for what, names in (("missing columns", missing), ("unknown columns", unknown))
                    if names
                )
            )
        lengths = {path: len(values) if values.ndim else 0 for path, values in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise DatasetError(
                f"append: unequal lengths: {', '.join(f'{p} {n}' for p, n in lengths.items())}"
            )
        for path, values in arrays.items():
            shape = self._row_shape(path, values)
            if values.shape[1:] != shape:
                raise DatasetError(f"append: {path} has rows of shape {values.shape[1:]}, expected {shape}")
        return lengths[layout.REWARDS]

    def _row_shape(self, path: str, values: Array) -> tuple[int, ...]:
        if path in self._kinds:
            return self._kinds[path][0]
        return self._slots[path].shape if path in self._slots else values.shape[1:]

    def _first_kinds(
        self, arrays: Mapping[str, Array]
    ) -> dict[str, tuple[tuple[int, ...], np.dtype[np.generic]]]:
        """Return the shape and dtype of each column's rows, as the first append decides them."""
        dtypes = {
            path: storage_dtype(values, self._slots.get(path), self._float64)
            for path, values in arrays.items()
        }
        return {path: (arrays[path].shape[1:], dtype) for path, dtype in sorted(paired(dtypes).items())}

    def _make_columns(self, arrays: Mapping[str, Array]) -> None:
        once = {path for path in arrays if self._stored_once(path, arrays)}
        for path, (shape, dtype) in self._kinds.items():
            filters = self._image_filters if layout.is_image(shape, dtype) else self._filters
            if path in once:
                paths = (path, f"next_{path}")
                self._frames[path] = FramesWriter(self._file, paths, shape, dtype, filters)
            elif path.removeprefix("next_") not in once:
                self._columns[path] = ColumnWriter(self._file, path, shape, dtype, filters)

    def _stored_once(self, path: str, arrays: Mapping[str, Array]) -> bool:
        """Return whether a column of observations and its next observations share their frames."""
        following = f"next_{path}"
        if self._frame_storage == "plain" or path.partition("/")[0] != layout.OBSERVATIONS:
            return False
        # In the source name of a virtual dataset, HDF5 replaces a % by a number.
        if self._kinds[path] != self._kinds[following] or "%" in path:
            return False
        if self._frame_storage == "once":
            return True
        observed = arrays[path]
        most = len(observed) < 2 or continues_exactly(arrays[following][:-1], observed[1:]).mean() > 0.5
        return layout.is_image(*self._kinds[path]) and bool(most)

    def _finish(self) -> None:
        if not self._rows:
            raise DatasetError(f"{self.path}: no rows were appended, and a dataset cannot be empty")
        for column in self._columns.values():
            column.finish()
        for pair in self._frames.values():
            pair.finish()
        self._table = self._episodes.arrays()
        for name, values in self._table.items():
            self._file.create_dataset(
                f"{layout.EPISODES}/{name}", data=values, **filters_of(self._filters, values)
            )
        if self._table:
            self._file[layout.EPISODES].attrs[layout.ATTRIBUTE_HASH] = table_hash(self._table)
        hashed = {path: column.fingerprint() for path, column in self._columns.items()}
        for pair in self._frames.values():
            hashed |= pair.fingerprints()
        self._file.attrs.update(self._attributes)
        self._hash = content_hash(hashed)
        self._file.attrs[layout.ATTRIBUTE_HASH] = self._hash

    def _compare(self, temporary: Path, kind: type[BaseException] | None, *_: object) -> None:
        """Compare the closed file with what was appended, unless the block ended in an error."""
        if kind is None:
            known = {name: decode(value) for name, value in self._attributes.items()}
            told = {name: value for name, value in known.items() if name not in layout.RESERVED_ATTRIBUTES}
            refuse_other_content(temporary, self._hash, self._table, told)


def _mark_ends(block: Columns, last: Array) -> None:
    """Mark the rows ``last`` of a block as timeouts, unless they are terminals."""
    ends = np.zeros(len(block[layout.REWARDS]), np.bool_)
    ends[last] = True
    block[layout.TIMEOUTS] = marked_timeouts(block[layout.TERMINALS], block[layout.TIMEOUTS], ends)


def _is_info(path: str) -> bool:
    root, *names = path.split("/")
    return root == layout.INFOS and bool(names) and all(map(layout.is_name, names))
