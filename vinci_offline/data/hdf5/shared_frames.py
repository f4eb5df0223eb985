"""Observations that are stored once: columns that show the rows of another dataset of their file.

Within an episode the next observation is the following row's observation. So an episode of T rows has T + 1 frames, and
both columns are HDF5 virtual datasets over these frames. Any HDF5 library since 1.10 reads them as if they were stored.
This package reads the frames themselves, and refuses virtual datasets of any other kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from vinci_offline.data.problem import Problem
from vinci_offline.types import Array

HERE = "."
"""HDF5's name for the file itself among the sources of a virtual dataset."""
_MAPPED_RUNS = 256
"""Runs in one mapping. Selections of many pieces are slow to build, and many mappings are slow to read."""
_MOST_RUNS = 2**16
"""More in one mapping are refused: a regular selection names billions of runs in a few bytes."""
_BLOCK_BYTES = 2**24
_ADVICE = "copy the data into this column"


@dataclass(frozen=True, eq=False)
class Frames:
    """Rows of a dataset that a column shows, in runs.

    Attributes:
        path: the dataset, in the same file.
        starts: ``[R]`` the column's row at which each run begins, ascending from 0.
        first: ``[R]`` the dataset's row that it shows there, ascending; between two runs at most one row is left out.
    """

    path: str
    starts: Array
    first: Array

    def read(self, dataset: Any, rows: slice) -> Array:
        """Read rows ``start:stop`` of the column. Rows of the dataset that are left out are read and dropped in blocks.

        Args:
            dataset: the dataset that ``path`` names.
            rows: with a start and a stop.
        """
        places = self._places(rows.start, rows.stop)
        if not len(places) or places[-1] - places[0] == len(places) - 1:
            values: Array = dataset[places[0] : places[-1] + 1] if len(places) else dataset[:0]
            return values
        result = np.empty((len(places), *dataset.shape[1:]), dataset.dtype)
        step = max(1, _BLOCK_BYTES // max(1, result[:1].nbytes))
        for start in range(0, len(places), step):
            some = places[start : start + step]
            result[start : start + step] = dataset[some[0] : some[-1] + 1][some - some[0]]
        return result

    def _places(self, start: int, stop: int) -> Array:
        rows = np.arange(start, stop)
        run = np.searchsorted(self.starts, rows, "right") - 1
        return np.asarray(rows - self.starts[run] + self.first[run])


def frames_of(file: h5py.File, path: str, dataset: Any) -> Frames | Problem:
    """Return the frames that a virtual dataset shows, or why it cannot be read.

    Its shape is read only after its sources are known to lie in this file, because HDF5 opens them for it.
    """
    plist = dataset.id.get_create_plist()
    count = plist.get_virtual_count()
    if any(plist.get_virtual_filename(index) != HERE for index in range(count)):
        return Problem(
            path, "its values lie in other files, which are not read", "copy the data into this file"
        )
    names = {plist.get_virtual_dsetname(index) for index in range(count)}
    source = _source(file, next(iter(names))) if len(names) == 1 else None
    if source is None:
        return Problem(path, "a virtual dataset over no single dataset of this file", _ADVICE)
    try:
        runs = list(_runs(plist, dataset, source))
    except (ValueError, RuntimeError, OSError, TypeError, OverflowError):
        return Problem(path, f"a virtual dataset that does not show rows of {source.name} in order", _ADVICE)
    starts, first = np.concatenate([np.zeros((0, 2), np.int64), *runs]).T
    return Frames(source.name.strip("/"), starts, first)


def _source(file: h5py.File, name: str) -> Any:
    """Return the dataset with values of its own that a path names over hard links; None where there is none."""
    node: Any = file
    for step in name.strip("/").split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(node.get(step, getlink=True), h5py.HardLink):
            return None
        node = node[step]
    return node if isinstance(node, h5py.Dataset) and not node.is_virtual else None


def _runs(plist: Any, dataset: Any, source: Any) -> Iterator[Array]:
    """Yield ``[r, 2]`` of each mapping: the rows at which its runs begin, and the source's rows there.

    Raises:
        ValueError: the mappings do not cover the rows in order, or leave out more than single rows of the source.
    """
    shape, rows, place = dataset.shape, 0, 0
    if not shape or shape[1:] != source.shape[1:] or dataset.dtype != source.dtype:
        raise ValueError("of another shape or dtype")
    for index in range(plist.get_virtual_count()):
        (covered,) = _pieces(plist.get_virtual_vspace(index), shape, most=1)
        pieces = _pieces(plist.get_virtual_srcspace(index), source.shape, most=min(len(source), _MOST_RUNS))
        lengths = pieces[:, 1] - pieces[:, 0]
        left_out = pieces[:, 0] - np.append(place, pieces[:-1, 1])
        if covered[0] != rows or covered[1] - rows != lengths.sum() or not np.isin(left_out, (0, 1)).all():
            raise ValueError("not in order")
        yield np.stack([rows + np.cumsum(lengths) - lengths, pieces[:, 0]], axis=1)
        rows, place = int(covered[1]), int(pieces[-1, 1])
    if rows != shape[0] or place > len(source):
        raise ValueError("not all rows")


def _pieces(space: Any, shape: tuple[int, ...], most: int) -> Array:
    """Return ``[P, 2]``: starts and stops of a selection of whole rows.

    Raises:
        ValueError: the selection is of another kind, or of more than ``most`` pieces.
    """
    if space.get_select_type() == h5py.h5s.SEL_ALL:
        return np.array([[0, shape[0]]])
    count = space.get_select_hyper_nblocks()
    if not 0 < count <= most:
        raise ValueError(f"{count} pieces")
    corners = np.asarray(space.get_select_hyper_blocklist()).astype(np.int64)
    whole = (corners[:, 0, 1:] == 0).all() and (corners[:, 1, 1:] == np.array(shape[1:], np.int64) - 1).all()
    if not whole:
        raise ValueError("parts of rows")
    return np.stack([corners[:, 0, 0], corners[:, 1, 0] + 1], axis=1)


def show_frames(file: h5py.File, path: str, frames: Frames, rows: int) -> None:
    """Make a column that shows frames, so that every reader finds it as if it were stored.

    Args:
        file: the file that holds the frames.
        path: the column.
        frames: the frames that it shows.
        rows: the number of its rows.
    """
    source = file[frames.path]
    width, ends = source.shape[1:], np.append(frames.starts[1:], rows)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    for low in range(0, len(frames.starts), _MAPPED_RUNS):
        some = slice(low, low + _MAPPED_RUNS)
        start, stop = int(frames.starts[some][0]), int(ends[some][-1])
        covered = h5py.h5s.create_simple((rows, *width))
        covered.select_hyperslab((start, *(0 for _ in width)), (stop - start, *width))
        shown = h5py.h5s.create_simple(source.shape)
        shown.select_none()
        for first, length in zip(frames.first[some], ends[some] - frames.starts[some], strict=True):
            place, block = (int(first), *(0 for _ in width)), (int(length), *width)
            shown.select_hyperslab(place, (1,) * len(block), block=block, op=h5py.h5s.SELECT_OR)
        plist.set_virtual(covered, HERE.encode(), source.name.encode(), shown)
    group, _, name = path.rpartition("/")
    parent = file.require_group(group) if group else file
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_char_encoding(h5py.h5t.CSET_UTF8)
    space = h5py.h5s.create_simple((rows, *width))
    h5py.h5d.create(parent.id, name.encode(), source.id.get_type(), space, plist, links)
