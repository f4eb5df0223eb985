"""Looking at a file without reading its columns: what is in it, and what keeps it from being a dataset.

Files come from strangers: links are not followed, nothing is read outside the file, and no size is believed
that the file's own bytes cannot back.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.hdf5.attributes import decode
from vinci_offline.data.hdf5.heaps import check_heaps
from vinci_offline.data.hdf5.shared_frames import frames_of
from vinci_offline.data.problem import Problem, printable
from vinci_offline.data.schema import StoredColumn, fit, table_problems
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array, Columns

_DEEPEST = 8
_MOST_COLUMNS = 4096
_MOST_ATTRIBUTES = 1024
_LARGEST_ATTRIBUTE = 2**24
_LARGEST_CHUNK = 2**26
_BLOSC2 = 32026
# Deflate cannot do better than 1032:1; Blosc2 stores a constant chunk in a few dozen bytes.
_BEST_RATIO = {h5py.h5z.FILTER_DEFLATE: 1100, h5py.h5z.FILTER_LZF: 300, _BLOSC2: 100_000}

Stamp = tuple[int, int, int]

_LARGEST_KEPT = 2**22
_thread = threading.local()


@dataclass(frozen=True)
class Structure:
    """What a file holds, all of it but the columns' values.

    Attributes:
        path: the file.
        stamp: tells this very file from one that replaced it later.
        native: whether this project's format wrote it; otherwise it is someone's flat D4RL-like file.
        columns: by path, in file order.
        episodes: the stored episode table; empty where there is none.
        attributes: where the data comes from.
        spec: the environment, where the file tells it.
        content_hash: as stored.
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
    problems: tuple[Problem, ...]

    @property
    def rows(self) -> int:
        """The number of rows of a file without problems."""
        return self.columns[layout.REWARDS].shape[0]


@contextmanager
def open_hdf5(path: Path, stamp: Stamp | None = None) -> Iterator[h5py.File]:
    """Open a file for reading; whatever HDF5 then stumbles over is a DatasetError.

    Raises:
        DatasetError: the file is missing, is none, is damaged, or is not the one that had ``stamp``.
    """
    if not path.exists():
        raise DatasetError(f"{path} does not exist")
    if not path.is_file():
        raise DatasetError(f"{path} is not a file: give the path of an HDF5 file")
    if stamp is not None and file_stamp(path) != stamp:
        raise DatasetError(f"{path} was changed since it was opened: open it again")
    kept: _Kept | None = getattr(_thread, "kept", None)
    try:
        if stamp is None:
            check_heaps(path)
        if kept is None:
            with _open(path) as file:
                yield file
        else:
            yield kept.file(path)
    except PermissionError as error:
        raise DatasetError(f"{path} cannot be read: permission denied") from error
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError, OverflowError) as error:
        raise DatasetError(_damage(path, error)) from error


@contextmanager
def files_kept_open() -> Iterator[None]:
    """Within it this thread opens a file once, however many reads of it follow each other.

    The chunk under way of each compressed column stays in memory, so that ascending reads decompress it once.
    """
    _thread.kept = kept = _Kept()
    try:
        yield
    finally:
        _thread.kept = None
        kept.close()


class _Kept:
    """One file, and its columns: of many files only the last, so that their chunks do not pile up."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._file: h5py.File | None = None
        self._columns: dict[str, Any] = {}

    def file(self, path: Path) -> h5py.File:
        if path != self._path:
            self.close()
            self._file, self._path = _open(path), path
        return self._file

    def column(self, path: str) -> Any:
        if path not in self._columns:
            assert self._file is not None
            dataset = self._file[path]
            size = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
            filtered = dataset.id.get_create_plist().get_nfilters() > 0
            del dataset  # while it is open, its cache cannot be changed
            access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
            access.set_chunk_cache(11, size if filtered and size <= _LARGEST_KEPT else 0, 1.0)
            self._columns[path] = h5py.Dataset(h5py.h5d.open(self._file.id, path.encode(), access))
        return self._columns[path]

    def close(self) -> None:
        self._columns.clear()
        if self._file is not None:
            self._file.close()
        self._path, self._file = None, None


def _open(path: Path) -> h5py.File:
    # A read visits each of its chunks once: a cache of chunks would only copy them, and read what nobody asked for.
    return h5py.File(path, "r", rdcc_nbytes=0)


def file_stamp(path: Path) -> Stamp:
    """Tells a file from another of the same name."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


def read_column(structure: Structure, path: str, rows: slice) -> Array:
    """Rows of one column, in one read; flags as booleans, everything in native byte order.

    Raises:
        DatasetError: the file is damaged or was changed since.
    """
    column = structure.columns[path]
    with open_hdf5(structure.path, structure.stamp) as file:
        kept: _Kept | None = getattr(_thread, "kept", None)
        place = path if column.frames is None else column.frames.path
        dataset = file[place] if kept is None else kept.column(place)
        if column.frames is not None:
            values = column.frames.read(dataset, slice(*rows.indices(column.shape[0])))
        else:
            whole = rows == slice(0, column.shape[0])
            values = dataset[()] if whole else dataset[rows]
    if path in {layout.TERMINALS, layout.TIMEOUTS}:
        return _flags(values, structure.path, path)
    return values if values.dtype == column.dtype else values.astype(column.dtype)


def read_rows(path: Path, stamp: Stamp, place: str, rows: slice) -> Array:
    """Return rows of one array of a file, which was looked at before, in native byte order.

    Args:
        path: the file.
        stamp: of the file that was looked at.
        place: the path of the array.
        rows: which.

    Raises:
        DatasetError: the file is damaged or was changed since.
    """
    with open_hdf5(path, stamp) as file:
        kept: _Kept | None = getattr(_thread, "kept", None)
        values: Array = (file[place] if kept is None else kept.column(place))[rows]
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def inspect(path: Path) -> Structure:
    """Look at a file and collect every structural problem.

    Raises:
        DatasetError: it cannot be opened as HDF5 at all, or its format version is newer than this package.
    """
    with open_hdf5(path) as file:
        stamp = file_stamp(path)
        attributes = _attributes(file)
        native = attributes.get(layout.ATTRIBUTE_FORMAT) == layout.FORMAT
        if native:
            _check_version(path, attributes.get(layout.ATTRIBUTE_VERSION))
        problems: list[Problem] = []
        columns = _columns(file, problems)
        episodes = _episodes(file, problems) if native else {}
        spec = _spec(attributes.get(layout.ATTRIBUTE_ENVIRONMENT), problems) if native else None
    problems += table_problems(columns, native)
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


def _column(file: h5py.File, path: str, dataset: Any) -> StoredColumn | Problem:
    """One column, or why it cannot be read."""
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


def datasets_below(
    group: h5py.Group, path: str, problems: list[Problem], depth: int = 0
) -> Iterator[tuple[str, Any]]:
    """Every dataset at or below ``path``, over hard links alone."""
    name = path.rpartition("/")[2]
    link = group.get(name, getlink=True)
    if link is None:
        return
    if not isinstance(link, h5py.HardLink):
        kind = "an external" if isinstance(link, h5py.ExternalLink) else "a soft"
        problems.append(Problem(path, f"{kind} link, which is not followed", "copy the data into this file"))
        return
    node = group[name]
    if isinstance(node, h5py.Dataset):
        yield path, node
    elif isinstance(node, h5py.Group) and depth < _DEEPEST:
        for key in sorted(node):
            yield from datasets_below(node, f"{path}/{key}", problems, depth + 1)
    else:
        what = "groups nested too deep" if isinstance(node, h5py.Group) else "neither a dataset nor a group"
        problems.append(Problem(path, what, "a dataset has arrays here: see docs/format.md"))


def unreadable(path: str, dataset: Any, *, flag: bool = False) -> Problem | None:
    """Why the values of a dataset cannot be had from this file; a ``flag`` is no floating-point number."""
    # First, as HDF5 opens the files that a virtual dataset names to tell its shape.
    if dataset.is_virtual or dataset.external:
        return Problem(
            path, "its values lie in other files, which are not read", "copy the data into this file"
        )
    dtype = dataset.dtype
    if dataset.shape is None or dataset.shape == ():
        return Problem(path, "a single value, not an array with a row a transition", "see docs/format.md")
    if dtype.kind not in ("biu" if flag else "biuf") or dtype.subdtype is not None:
        wanted = "booleans" if flag else "numbers"
        return Problem(path, f"dtype {dtype} where {wanted} are expected", "convert the column")
    return _unavailable_filter(path, dataset) or _unbacked(path, dataset) or _unwieldy(path, dataset)


def _unwieldy(path: str, dataset: Any) -> Problem | None:
    """A filtered chunk is unfolded whole for each block that is read of it."""
    size = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if size <= _LARGEST_CHUNK or not dataset.id.get_create_plist().get_nfilters():
        return None
    what = f"compressed in chunks of {size:,} bytes, of which any part needs the whole"
    return Problem(path, what, f"write it anew in chunks of at most {_LARGEST_CHUNK:,} bytes")


def _unavailable_filter(path: str, dataset: Any) -> Problem | None:
    plist = dataset.id.get_create_plist()
    codes = [plist.get_filter(index)[0] for index in range(plist.get_nfilters())]
    if _BLOSC2 in codes and not h5py.h5z.filter_avail(_BLOSC2):
        try:
            import hdf5plugin  # noqa: F401 - registers its filters
        except ImportError:
            advice = "install hdf5plugin: pip install 'vinci-offline[blosc2]'"
            return Problem(path, "compressed with blosc2", advice)
    unknown = [code for code in codes if not h5py.h5z.filter_avail(code)]
    return (
        Problem(path, f"HDF5 filter {unknown[0]} is not available", "install its plugin") if unknown else None
    )


def _unbacked(path: str, dataset: Any) -> Problem | None:
    """A size that the file's bytes cannot hold: believing it would allocate what a stranger wrote there."""
    declared = math.prod(dataset.shape) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    plist = dataset.id.get_create_plist()
    ratio = math.prod(_BEST_RATIO.get(plist.get_filter(i)[0], 1) for i in range(plist.get_nfilters()))
    if declared <= stored * ratio:
        return None
    what = f"{dataset.shape} {dataset.dtype} is declared ({declared:,} bytes) and {stored:,} bytes are stored"
    return Problem(path, what, "the file is damaged or was never finished")


def _episodes(file: h5py.File, problems: list[Problem]) -> Columns:
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
            table[path.removeprefix(f"{layout.EPISODES}/")] = dataset[()]
        else:
            found.append(problem)
    lengths = {name: len(values) for name, values in table.items()}
    if len(set(lengths.values())) > 1:
        found.append(
            Problem(layout.EPISODES, f"unequal lengths {lengths}", "remove the group: it can be derived")
        )
    problems += map(_of_table, found)
    return {} if found else table


def _of_table(problem: Problem) -> Problem:
    """A table that cannot be read is no loss: the flags tell the episodes."""
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


def _attributes(file: h5py.File) -> dict[str, Any]:
    names = list(file.attrs)
    if len(names) > _MOST_ATTRIBUTES:
        raise DatasetError(f"{file.filename}: {len(names)} attributes, more than any dataset has")
    attributes = {}
    for name in names:
        if _small(file, name):
            with suppress(TypeError):
                attributes[name] = decode(file.attrs[name])
    return attributes


def _small(file: h5py.File, name: str) -> bool:
    attribute = h5py.h5a.open(file.id, name.encode())
    return bool(attribute.get_storage_size() <= _LARGEST_ATTRIBUTE)


def _flags(values: Array, file: Path, path: str) -> Array:
    if values.dtype.kind == "b":
        # HDF5 stores booleans as bytes, and a damaged byte may be neither 0 nor 1.
        values = values.view(np.uint8)
    wrong = (values != 0) & (values != 1)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DatasetError(f"{file}: {path} row {row} is {values[row]}, neither 0 nor 1: the file is damaged")
    return values.astype(np.bool_) if values.dtype.itemsize != 1 else values.view(np.bool_)


def _damage(path: Path, error: Exception) -> str:
    """What a failure of HDF5 means for the user."""
    text = printable(" ".join(str(error).split()))
    if not _has_signature(path):
        return f"{path} is not an HDF5 file: give a dataset that `vinci-offline collect` wrote"
    if "truncated" in text:
        return f"{path} is truncated ({path.stat().st_size:,} bytes are left): copy or record it again"
    return f"{path} is damaged and cannot be read ({text}): copy or record it again"


def _has_signature(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(8) == b"\x89HDF\r\n\x1a\n" or bool(h5py.is_hdf5(path))
    except OSError:
        return False
