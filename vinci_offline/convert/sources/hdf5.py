"""Untrusted HDF5 files: arrays and attributes by path, over hard links alone. Sizes are checked first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vinci_offline.budget import FLOOR, Tally, afford_stream
from vinci_offline.data.columns import Column
from vinci_offline.data.hdf5.attributes import read_attributes
from vinci_offline.data.hdf5.chunks import StoredArray, chunk_fault
from vinci_offline.data.hdf5.opening import file_stamp, open_hdf5, read_rows
from vinci_offline.data.hdf5.untrusted import datasets_below, unreadable
from vinci_offline.data.problem import Problem
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array

_LARGEST_TEXT = 2**24
_MOST_NAMES = 10**6
_BEST_RATIO = 1100
_LONGEST_BLOCK = 1024


class Hdf5Tree:
    """An open file.

    Attributes:
        path: where it lies.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self._file = file
        self._stamp = file_stamp(path)
        self._last: tuple[str, Any] = ("", file)
        self._tally = Tally(str(path), self._stamp[1])
        self._counted: set[str] = set()
        self._streamed: set[str] = set()
        self._unfolded = 0

    def names(self, group: str = "/") -> list[str]:
        """Return the names in a group, sorted; none if there is no such group in this file."""
        node = self._node(group)
        return sorted(node) if isinstance(node, h5py.Group) and len(node) <= _MOST_NAMES else []

    def has(self, path: str) -> bool:
        """Tell whether there is an array."""
        return isinstance(self._node(path), h5py.Dataset)

    def shape(self, path: str) -> tuple[int, ...]:
        """Return the shape of an array; ``()`` if there is none."""
        node = self._node(path)
        return (node.shape or ()) if isinstance(node, h5py.Dataset) else ()

    def is_numbers(self, path: str) -> bool:
        """Tell whether there is an array of numbers with at least one axis."""
        node = self._node(path)
        return isinstance(node, h5py.Dataset) and bool(node.shape) and node.dtype.kind in "biuf"

    def is_number(self, path: str) -> bool:
        """Tell whether there is a single number, an array without axes."""
        node = self._node(path)
        return isinstance(node, h5py.Dataset) and node.shape == () and node.dtype.kind in "biuf"

    def array(self, path: str) -> Array:
        """Read an array of numbers with at least one axis, in native byte order.

        Raises:
            DatasetError: there is none, or it cannot be had from this file.
        """
        node = self._checked(path)
        self._count(path, node.nbytes)
        values = StoredArray(node)[()]
        return values.astype(values.dtype.newbyteorder("="), copy=False)

    def numbers(self, path: str) -> Array:
        """Return an array of one number a row as ``[N]``.

        Raises:
            DatasetError: it is missing, or has more a row.
        """
        values = self.array(path)
        if values.shape[1:] not in {(), (1,)}:
            raise DatasetError(f"{self.path}: {path} have shape {values.shape}: one number a row is expected")
        return values.reshape(-1)

    def column(self, path: str, *, turned: bool = False) -> Column:
        """Return an array of numbers whose rows are read when they are asked for, in native byte order.

        The file is opened anew for each read; one that was changed meanwhile is refused.

        Args:
            path: of the array.
            turned: its axes lie the other way round: the last one counts the rows.

        Raises:
            DatasetError: there is none, or it cannot be had from this file.
        """
        node = self._checked(path, turned=turned)
        shape = node.shape[::-1] if turned else node.shape
        part = partial(read_rows, self.path, self._stamp, path, turned=turned)
        return Column(shape, node.dtype.newbyteorder("="), partial(self._held, path, node.nbytes, part), part)

    def columns(self, group: str) -> dict[str, Column]:
        """Return every array below a group as `column` does, by its path from there.

        Raises:
            DatasetError: one of them cannot be had from this file.
        """
        return {path: self.column(f"{group}/{path}") for path in self.paths(group)}

    def _checked(self, path: str, *, turned: bool = False) -> Any:
        node = self._node(path)
        if not isinstance(node, h5py.Dataset):
            raise DatasetError(f"{self.path}: {printable(path)} is missing, or is no array of this file")
        if (problem := unreadable(path, node, turned=turned)) is not None:
            raise DatasetError(f"{self.path}: {problem}")
        if path not in self._streamed:
            self._streamed.add(path)
            self._unfolded += node.nbytes
            afford_stream(str(self.path), "its content", asked=self._unfolded, present=self._stamp[1])
        return node

    def _count(self, path: str, size: int) -> None:
        """Count an array that is held in memory, once.

        Raises:
            DatasetError: it and those before it take far more than the file has bytes.
        """
        if path not in self._counted:
            self._counted.add(path)
            self._tally.add(printable(path), size)

    def _held(self, path: str, size: int, part: Callable[[slice], Array], rows: slice) -> Array:
        self._count(path, size)
        return part(rows)

    def paths(self, group: str) -> list[str]:
        """Return the path of every array below a group, from there; ``""`` if the group is itself an array.

        Raises:
            DatasetError: one of them lies in another file, or too deep.
        """
        problems: list[Problem] = []
        parent, _, name = group.strip("/").rpartition("/")
        start = self._node(parent)
        found = datasets_below(start, name, problems) if isinstance(start, h5py.Group) else ()
        paths = [path.removeprefix(name).removeprefix("/") for path, _ in found]
        if problems:
            raise DatasetError(f"{self.path}: {problems[0]}")
        return paths

    def blobs(self, path: str) -> list[bytes]:
        """Read rows of bytes, equally long or each of its own length.

        Raises:
            DatasetError: there are none, or they cannot be had from this file.
        """
        node = self._node(path)
        if not isinstance(node, h5py.Dataset) or h5py.check_vlen_dtype(node.dtype) != np.uint8:
            return [row.tobytes() for row in self.array(path)]
        # A reference of 16 bytes a row, which deflate cannot fold further.
        if node.is_virtual or node.external or 16 * node.size > _BEST_RATIO * node.id.get_storage_size():
            raise DatasetError(f"{self.path}: {printable(path)} is not all in this file: the file is damaged")
        self._check_references(path, node)
        return [bytes(row) for row in self._varied(path, node)]

    def _check_references(self, path: str, node: Any) -> None:
        """Refuse an array of references whose chunks are not what they say."""
        if (fault := chunk_fault(node, self._stamp[1])) is not None:
            raise DatasetError(f"{self.path}: {printable(path)} is {fault}: the file is damaged")

    def _varied(self, path: str, node: Any) -> Iterator[Any]:
        """Yield the values of an array of texts or rows of bytes, each of its own length.

        Raises:
            DatasetError: they take far more memory than the file has bytes; many may refer to one text of the file.
        """
        step = max(1, min(_LONGEST_BLOCK, FLOOR // (4 * self._stamp[1])))
        for start in range(0, len(node), step):
            block = node[start : start + step].reshape(-1)
            self._tally.add(printable(path), sum(map(len, block)))
            yield from block

    def arrays(self, group: str) -> dict[str, Array]:
        """Read every array below a group, by its path from there, as `paths` names it.

        Raises:
            DatasetError: one of them cannot be had from this file.
        """
        return {path: self.array(f"{group}/{path}") for path in self.paths(group)}

    def scalars(self, group: str) -> dict[str, Any]:
        """Read the texts and single numbers of a group; leave all else out."""
        found = {}
        for name in self.names(group):
            node = self._node(f"{group}/{name}")
            if isinstance(node, h5py.Dataset) and node.shape == () and node.dtype.itemsize <= _LARGEST_TEXT:
                self._tally.add(printable(name), node.dtype.itemsize)
                value = node[()]
                self._tally.add(printable(name), len(value) if isinstance(value, bytes) else 0)
                value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
                value = value.item() if isinstance(value, np.generic) else value
                if isinstance(value, str | int | float | bool):
                    found[name] = value
        return found

    def texts(self, path: str) -> list[str]:
        """Read a list of texts; empty if there is none.

        Raises:
            DatasetError: it is too long to be one.
        """
        node = self._node(path)
        if not isinstance(node, h5py.Dataset) or len(node.shape or ()) != 1:
            return []
        if node.size > _MOST_NAMES or node.size * node.dtype.itemsize > _LARGEST_TEXT:
            raise DatasetError(f"{self.path}: {printable(path)} is too long for a list of names")
        if node.is_virtual or node.external:
            raise DatasetError(f"{self.path}: {printable(path)} is not all in this file: copy it there")
        self._check_references(path, node)
        values = self._varied(path, node) if node.dtype.hasobject else node[()].tolist()
        return [each.decode("utf-8", "replace") for each in values if isinstance(each, bytes)]

    def attributes(self, path: str) -> dict[str, Any]:
        """Read the attributes of a group or array that are texts, numbers or JSON."""
        node = self._node(path)
        return {} if node is None else read_attributes(node, self._tally)

    def _node(self, path: str) -> Any:
        parent, _, name = path.strip("/").rpartition("/")
        if not name:
            return self._file
        # Reads go group by group: the last one is kept, since opening it costs more than most reads of it.
        if parent != self._last[0]:
            self._last = (parent, self._node(parent))
        group = self._last[1]
        if not isinstance(group, h5py.Group) or not isinstance(group.get(name, getlink=True), h5py.HardLink):
            return None
        return group[name]


@contextmanager
def hdf5_tree(path: Path) -> Iterator[Hdf5Tree]:
    """Open an untrusted file.

    Raises:
        DatasetError: it is missing, no HDF5 file, or damaged.
    """
    with open_hdf5(path) as file:
        yield Hdf5Tree(path, file)
