"""Writing a dataset: append rows, and the finished file appears under its name all at once."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, get_args

import h5py
import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.attributes import encode, library_versions
from vinci_offline.data.digest import ColumnDigest, content_hash
from vinci_offline.data.episodes import EpisodeTable
from vinci_offline.data.storage import cast, storage_dtype
from vinci_offline.errors import DatasetError, UsageError, VinciError
from vinci_offline.files import refuse_existing
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array

if TYPE_CHECKING:
    from vinci_offline.data.dataset import Dataset

Compression: TypeAlias = Literal["auto", "none", "lzf", "gzip", "blosc2"]

# Superblock and object headers with checksums, which every HDF5 library since 2008 reads.
_HDF5_VERSION = ("v108", "v108")
_SMALLEST_FILTERED = 4096
_COPY_BYTES = 2**26
"""Large, because each block of a view whose rows are shuffled is gathered from all over the file."""
# Bytes of pixels have no high and low halves for a shuffle to part. Every HDF5 library reads gzip. Of Pendulum's
# frames at 84 x 84 x 3, level 1 leaves 1.3 % at half the writing time of level 4 (0.8 %); lzf leaves 2.3 %.
_IMAGE_FILTERS = {"compression": "gzip", "compression_opts": 1}


class DatasetWriter:
    """Writes one dataset file; a context manager.

    The file is built under a temporary name beside the target and renamed onto it when the block ends, so a
    reader sees the old file or the whole new one. An exception inside the block removes the temporary file.

    Args:
        path: the file to write; its folder is made if need be.
        spec: the environment that the rows come from.
        attributes: where the data comes from (policy, noise, seed …): text, numbers, or what JSON can hold.
        compress: a lossless filter for every column, or ``auto``: gzip for images (uint8 rows of two axes or
            more), nothing for the others. ``none`` reads fastest; ``blosc2`` needs the package hdf5plugin,
            also to read.
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
        float64: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self._slots = layout.spec_slots(spec)
        self._attributes = _file_attributes(spec, attributes or {})
        self._filters = _filters(compress)
        self._image_filters = _IMAGE_FILTERS if compress == "auto" else self._filters
        self._float64 = float64
        self._overwrite = overwrite
        self._columns: dict[str, _ColumnWriter] = {}
        self._episodes = EpisodeTable()
        self._rows = 0
        refuse_existing(self.path, overwrite=self._overwrite)
        # Not tempfile's: its files are readable by their owner alone.
        self._temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.tmp")

    def __enter__(self) -> Self:
        try:
            with disk_errors(self.path):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = h5py.File(self._temporary, "x", libver=_HDF5_VERSION)
        except VinciError:
            self._temporary.unlink(missing_ok=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                with disk_errors(self.path):
                    self._finish()
                    self._publish()
        finally:
            self._discard()

    def __len__(self) -> int:
        """The rows appended so far."""
        return self._rows

    def append(self, columns: Mapping[str, Array], episodes: Mapping[str, Array] | None = None) -> None:
        """Append rows, and the episodes that they are made of.

        Args:
            columns: every column of the spec's spaces, ``rewards``, ``terminals`` and ``timeouts``, and the
                same ``infos/…`` at each call; rows first, equally many. Values are copied.
            episodes: one entry an episode: ``length``, and what else is known of each (``return``, ``seed``
                …). Whole episodes in row order. Missing ``return``, ``terminated`` and ``truncated`` are
                filled in. None for rows that are not parts of episodes; then it is None at each call.

        Raises:
            DatasetError: a column is missing, unknown, of another shape or length, or cannot be stored as it
                is.
            VinciError: the disk is full or fails.
        """
        arrays = {path: np.asarray(values) for path, values in columns.items()}
        rows = self._check(arrays)
        if not self._columns:
            self._columns = {path: self._new_column(path, arrays[path]) for path in sorted(arrays)}
        # All checks first, so that a refused append leaves nothing behind.
        cast_arrays = {path: cast(values, self._columns[path].dtype, path) for path, values in arrays.items()}
        self._episodes.append(cast_arrays, episodes, start=self._rows)
        with disk_errors(self.path):
            for path, values in cast_arrays.items():
                self._columns[path].append(values)
        self._rows += rows

    def describe_episodes(self, episodes: Mapping[str, Array]) -> None:
        """Give the episodes of all rows at once, where no `append` was given any.

        Args:
            episodes: one entry an episode, in row order: ``length, return, terminated, truncated``, and what else
                is known of each.

        Raises:
            DatasetError: the entries do not describe the rows appended.
        """
        self._episodes.describe(episodes, self._rows)

    def describe(self, **attributes: Any) -> None:
        """Say more of where the data comes from than was known when writing began.

        Raises:
            UsageError: an attribute is the format's own, or nothing that JSON can hold.
        """
        self._attributes |= _encoded(attributes)

    def _check(self, arrays: Mapping[str, Array]) -> int:
        """The number of rows, where the columns are those expected, of the right shapes and equally long."""
        expected = set(self._columns) or {*self._slots, *(path for path in arrays if _is_info(path))}
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
        if path in self._columns:
            return self._columns[path].shape
        return self._slots[path].shape if path in self._slots else values.shape[1:]

    def _new_column(self, path: str, values: Array) -> _ColumnWriter:
        dtype = storage_dtype(values, self._slots.get(path), self._float64)
        filters = self._image_filters if _is_image(values.shape[1:], dtype) else self._filters
        return _ColumnWriter(self._file, path, values.shape[1:], dtype, filters)

    def _finish(self) -> None:
        if not self._rows:
            raise DatasetError(f"{self.path}: no rows were appended, and a dataset cannot be empty")
        for column in self._columns.values():
            column.finish()
        for name, values in self._episodes.arrays().items():
            self._file.create_dataset(
                f"{layout.EPISODES}/{name}", data=values, **_filters_of(self._filters, values)
            )
        hashed = {path: column.fingerprint() for path, column in self._columns.items()}
        self._file.attrs.update(self._attributes)
        self._file.attrs[layout.ATTRIBUTE_HASH] = content_hash(hashed)
        # Whatever the disk refuses is to come out here, where the file can still be abandoned.
        self._file.flush()
        self._file.close()

    def _publish(self) -> None:
        with self._temporary.open("rb+") as file:
            os.fsync(file.fileno())
        refuse_existing(self.path, overwrite=self._overwrite)
        self._temporary.replace(self.path)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _discard(self) -> None:
        """Leave no temporary file; after a rename there is none."""
        if self._file:
            abandon(self._file)
        self._temporary.unlink(missing_ok=True)


def drop_abandoned(path: Path) -> None:
    """Remove what writers of ``path`` that were killed have left beside it; nobody may be writing it now."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)


class _ColumnWriter:
    """One column: gathers rows until they fill a chunk, so that small appends cost no HDF5 call."""

    def __init__(
        self,
        file: h5py.File,
        path: str,
        shape: tuple[int, ...],
        dtype: np.dtype[np.generic],
        filters: Mapping[str, Any],
    ) -> None:
        self.path = path
        self.shape = shape
        self.dtype = dtype
        self._file = file
        self._filters = filters
        self._buffer = np.empty((layout.chunk_rows(shape, dtype), *shape), dtype)
        self._filled = 0
        self._written = 0
        self._dataset: Any = None
        self._digest = ColumnDigest()

    def append(self, values: Array) -> None:
        done = 0
        while done < len(values):
            taken = min(len(values) - done, len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + taken] = values[done : done + taken]
            self._filled += taken
            done += taken
            if self._filled == len(self._buffer):
                self._flush()

    def finish(self) -> None:
        if self._dataset is not None:
            self._flush()
            return
        # A whole chunk for a column that is smaller would only make the file larger.
        values = self._buffer[: self._filled]
        self._digest.update(values)
        filters = _filters_of(self._filters, values)
        self._dataset = self._file.create_dataset(self.path, data=values, **filters)
        self._written = self._filled

    def fingerprint(self) -> tuple[np.dtype[np.generic], tuple[int, ...], str]:
        return self.dtype, (self._written, *self.shape), self._digest.hexdigest()

    def _flush(self) -> None:
        if not self._filled:
            return
        if self._dataset is None:
            self._dataset = self._file.create_dataset(
                self.path,
                (0, *self.shape),
                self.dtype,
                maxshape=(None, *self.shape),
                chunks=self._buffer.shape,
                **self._filters,
            )
        rows = self._buffer[: self._filled]
        self._digest.update(rows)
        self._dataset.resize(self._written + self._filled, axis=0)
        self._dataset[self._written :] = rows
        self._written += self._filled
        self._filled = 0


def _is_image(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> bool:
    return dtype == np.uint8 and len(shape) >= 2


def _is_info(path: str) -> bool:
    root, *names = path.split("/")
    return root == layout.INFOS and bool(names) and all(map(layout.is_name, names))


def _file_attributes(spec: EnvironmentSpec, attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        layout.ATTRIBUTE_FORMAT: layout.FORMAT,
        layout.ATTRIBUTE_VERSION: layout.VERSION,
        layout.ATTRIBUTE_ENVIRONMENT: spec.to_json(),
        **_encoded({"versions": library_versions(), **attributes}),
    }


def _encoded(attributes: Mapping[str, Any]) -> dict[str, Any]:
    reserved = sorted(set(attributes) & set(layout.RESERVED_ATTRIBUTES))
    if reserved:
        raise UsageError(f"the attributes {', '.join(reserved)} are the format's own: choose other names")
    try:
        return {key: encode(value) for key, value in attributes.items()}
    except (TypeError, ValueError) as error:
        raise UsageError(f"attributes: {error}; give text, numbers, lists and dicts") from error


def _filters(compress: str) -> dict[str, Any]:
    if compress not in get_args(Compression):
        raise UsageError(f"unknown compression {compress!r}; there are: {', '.join(get_args(Compression))}")
    if compress in {"auto", "none"}:
        return {}
    if compress != "blosc2":
        return {"compression": compress, "shuffle": True}
    try:
        import hdf5plugin
    except ImportError:
        raise UsageError("compression blosc2 needs hdf5plugin: pip install 'vinci-offline[blosc2]'") from None
    return dict(hdf5plugin.Blosc2(cname="zstd", clevel=5, filters=hdf5plugin.Blosc2.SHUFFLE))


def _filters_of(filters: Mapping[str, Any], values: Array) -> dict[str, Any]:
    """Filters for a dataset written in one piece: one chunk, or contiguous where filtering would not pay."""
    return {**filters, "chunks": values.shape} if filters and values.nbytes > _SMALLEST_FILTERED else {}


def copy_rows(dataset: Dataset, writer: DatasetWriter) -> None:
    """Append a dataset to an empty writer in blocks, with its episode table."""
    for _, block in dataset.columns.together(list(dataset.columns), _COPY_BYTES):
        writer.append(block)
    writer.describe_episodes(dataset.episode_columns)


def abandon(file: h5py.File) -> None:
    """Close a file that is not wanted any more.

    HDF5 crashes the process at its end where it could not write what it still holds, so on a full disk the
    rest goes to memory: it is little, a chunk a column.
    """
    try:
        file.flush()
    except (OSError, RuntimeError):
        sink = (
            os.memfd_create("vinci-offline")
            if hasattr(os, "memfd_create")
            else os.open(os.devnull, os.O_RDWR)
        )
        os.dup2(sink, file.id.get_vfd_handle())
        os.close(sink)
    with contextlib.suppress(OSError, RuntimeError):
        file.close()


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Say in one line what the disk refused; HDF5 puts the cause into its text rather than into errno."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        code = error.errno if isinstance(error, OSError) else None
        full = code in {errno.ENOSPC, errno.EDQUOT} or "No space left on device" in str(error)
        if full:
            raise VinciError(f"{path}: the disk is full; free some space or write elsewhere") from error
        raise VinciError(f"{path} cannot be written: {' '.join(str(error).split())}") from error
