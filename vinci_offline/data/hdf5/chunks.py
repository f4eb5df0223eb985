"""Compressed chunks of untrusted files.

HDF5 believes that a chunk unfolds to its declared size. If it unfolds to less, HDF5 reads memory beyond it, and
crashes or gives what lies there; if to more, HDF5 takes that memory. So chunks of deflate, the common filter, are
unfolded here.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from types import EllipsisType
from typing import Any

import h5py
import numpy as np

from vinci_offline.types import Array

DEFLATE, SHUFFLE, FLETCHER, LZF = (
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_LZF,
)
BLOSC2 = 32026
_CHECKSUM_BYTES = 4
_LARGEST_KEPT = 2**22
_SMALLEST_ENTRY = 8
"""An index of filtered chunks has at least an address for each."""
_FEW = 2**16


class ChunkError(ValueError):
    """A chunk that does not unfold to its declared size."""


def chunk_fault(dataset: Any, file_bytes: int) -> str | None:
    """Return what is wrong with the declared chunks and filters of a dataset, without unfolding any; or None.

    Args:
        dataset: the dataset.
        file_bytes: the size of its file.
    """
    if not dataset.chunks:
        return None
    count = math.prod(-(-size // part) for size, part in zip(dataset.shape, dataset.chunks, strict=True))
    if count > max(_FEW, file_bytes // _SMALLEST_ENTRY):
        return f"cut into {count:,} chunks, and the file has {file_bytes:,} bytes"
    filters = _filters(dataset)
    if not filters:
        return None
    codes = [code for code, _ in filters]
    compressing = [code for code in codes if code not in (SHUFFLE, FLETCHER)]
    if len(compressing) > 1 or len(set(codes)) < len(codes):
        return "compressed more than once"
    size = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if LZF in codes and (len(dict(filters)[LZF]) < 3 or dict(filters)[LZF][2] != size):
        return "compressed with lzf for chunks of another size"
    return _size_fault(dataset, size, compressed=bool(compressing))


def _size_fault(dataset: Any, size: int, *, compressed: bool) -> str | None:
    """Return a fault where stored chunks have sizes that no writer gives them."""
    faults: list[str] = []

    def look(chunk: Any) -> bool | None:
        whole = size <= chunk.size <= size + _CHECKSUM_BYTES
        # A filter that is skipped leaves the chunk as it is; deflate grows by less than one percent.
        if not whole and (chunk.filter_mask or not compressed or chunk.size > size * 1.01 + 4096):
            faults.append(f"a chunk of {size:,} bytes is stored in {chunk.size:,} bytes")
            return True
        return None

    dataset.id.chunk_iter(look)
    return faults[0] if faults else None


class StoredArray:
    """A dataset whose chunks are unfolded within their declared size; it is read like an `h5py.Dataset`.

    Attributes:
        shape: its shape.
        dtype: its dtype.
    """

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self._chunks = dataset.chunks
        self._codes = [code for code, _ in _filters(dataset)] if dataset.chunks else []
        self._inflated = DEFLATE in self._codes
        self._size = math.prod(self._chunks or ()) * self.dtype.itemsize
        # Rows in whole chunks, and values as they lie in the file: what is unfolded here is what is asked for.
        self._own = (
            self._inflated
            and FLETCHER not in self._codes
            and self._chunks[1:] == self.shape[1:]
            and dataset.id.get_type().equal(h5py.h5t.py_create(self.dtype, logical=True))
        )
        self._kept: tuple[int, Array] | None = None

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: slice | tuple[()] | tuple[EllipsisType, slice]) -> Array:
        """Read rows ``start:stop``, all for ``()``, or ``..., start:stop`` of the last axis.

        Raises:
            ChunkError: a chunk does not unfold to its declared size.
        """
        if self._inflated:
            last = isinstance(rows, tuple) and bool(rows)
            wanted = rows if isinstance(rows, slice) else rows[1] if len(rows) > 1 else slice(None)
            start, stop, _ = wanted.indices(self.shape[-1] if last else len(self))
            if self._own and not last:
                return self._unfolded(start, max(start, stop))
            for place in self._places(start, stop, -1 if last else 0):
                self._content(place)
        values: Array = self._dataset[rows]
        return values

    def _unfolded(self, start: int, stop: int) -> Array:
        result = np.empty((stop - start, *self.shape[1:]), self.dtype)
        length = self._chunks[0]
        for first in range(start - start % length, stop, length):
            low, high = max(start, first), min(stop, first + length)
            result[low - start : high - start] = self._chunk(first)[low - first : high - first]
        return result

    def _chunk(self, first: int) -> Array:
        """Return the rows of the chunk that begins at row ``first``. The last one is kept for the next read."""
        if self._kept is not None and self._kept[0] == first:
            return self._kept[1]
        content = self._content((first, *(0 for _ in self.shape[1:])))
        if content is None:  # never written: HDF5 fills it
            values: Array = self._dataset[first : first + self._chunks[0]]
        else:
            values = np.frombuffer(content, self.dtype).reshape(self._chunks)
        if self._size <= _LARGEST_KEPT:
            self._kept = (first, values)
        return values

    def _content(self, place: tuple[int, ...]) -> Any:
        """Return the bytes of a chunk, or None where it was never written."""
        identifier = self._dataset.id
        info = identifier.get_chunk_info_by_coord(place)
        if info.byte_offset is None:
            return None
        _, raw = identifier.read_direct_chunk(place)
        if not info.filter_mask:
            return self._decoded(raw)
        if len(raw) < self._size or self._codes != [DEFLATE]:
            raise ChunkError("a chunk was stored without all of its filters")
        return raw[: self._size]

    def _decoded(self, raw: bytes) -> Any:
        content: Any = raw
        for index in reversed(range(len(self._codes))):
            code = self._codes[index]
            if code == FLETCHER:
                content = content[:-_CHECKSUM_BYTES]
            elif code == DEFLATE:
                size = self._size + _CHECKSUM_BYTES * (FLETCHER in self._codes[:index])
                content = _inflate(content, size)
            elif code == SHUFFLE and self._own:
                content = _unshuffled(content, self.dtype.itemsize)
        return content

    def _places(self, start: int, stop: int, axis: int) -> Iterator[tuple[int, ...]]:
        """Yield the first elements of all chunks that hold ``start:stop`` of an axis."""
        places = [range(0, size, part) for size, part in zip(self.shape, self._chunks, strict=True)]
        places[axis] = range(start - start % self._chunks[axis], stop, self._chunks[axis])
        return itertools.product(*places)


def _inflate(raw: bytes, size: int) -> bytes:
    unfolding = zlib.decompressobj()
    try:
        content = unfolding.decompress(raw, size + 1)
    except zlib.error as error:
        raise ChunkError(f"a chunk cannot be decompressed: {error}") from error
    if len(content) != size:
        shown = f"more than {size:,}" if len(content) > size else f"{len(content):,}"
        raise ChunkError(f"a chunk of {size:,} bytes unfolds to {shown}")
    return content


def _unshuffled(content: bytes, width: int) -> Any:
    if width == 1:
        return content
    planes = np.frombuffer(content, np.uint8).reshape(width, -1)
    values = np.empty((planes.shape[1], width), np.uint8)
    for index, plane in enumerate(planes):  # three times as fast as a copy of the transpose
        values[:, index] = plane
    return values.reshape(-1)


def _filters(dataset: Any) -> list[tuple[int, tuple[int, ...]]]:
    plist = dataset.id.get_create_plist()
    found = (plist.get_filter(index) for index in range(plist.get_nfilters()))
    return [(code, tuple(values)) for code, _, values, _ in found]
