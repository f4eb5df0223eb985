"""Write columns row by row: plain columns, and observations that are stored once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import h5py
import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.continuity import continues_exactly
from vinci_offline.data.digest import ColumnDigest
from vinci_offline.data.hdf5.filters import filters_of
from vinci_offline.data.hdf5.shared_frames import Frames, show_frames
from vinci_offline.types import Array

Fingerprint: TypeAlias = tuple[np.dtype[np.generic], tuple[int, ...], str]
"""A column's dtype, shape, and digest."""


class ColumnWriter:
    """Writer of one column. It gathers a MiB of whole chunks before it writes, so small appends cost no HDF5 call."""

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
        chunk_bytes = (
            layout.IMAGE_CHUNK_BYTES if filters and layout.is_image(shape, dtype) else layout.CHUNK_BYTES
        )
        self._chunk_rows = layout.chunk_rows(shape, dtype, chunk_bytes)
        buffered = max(1, layout.chunk_rows(shape, dtype) // self._chunk_rows) * self._chunk_rows
        self._buffer = np.empty((buffered, *shape), dtype)
        self._filled = 0
        self._written = 0
        self._dataset: Any = None
        self._digest = ColumnDigest()

    def append(self, values: Array) -> None:
        """Append rows."""
        done = 0
        while done < len(values):
            taken = min(len(values) - done, len(self._buffer) - self._filled)
            self._buffer[self._filled : self._filled + taken] = values[done : done + taken]
            self._filled += taken
            done += taken
            if self._filled == len(self._buffer):
                self._flush()

    def finish(self) -> None:
        """Write the rows that are left."""
        if self._dataset is not None:
            self._flush()
            return
        # A whole chunk for a column that is smaller would only make the file larger.
        values = self._buffer[: self._filled]
        self._digest.update(values)
        filters = filters_of(self._filters, values, self._chunk_rows)
        self._dataset = self._file.create_dataset(self.path, data=values, **filters)
        self._written = self._filled

    def fingerprint(self) -> Fingerprint:
        """Return the column's part of the content hash."""
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
                chunks=(self._chunk_rows, *self.shape),
                **self._filters,
            )
        rows = self._buffer[: self._filled]
        self._digest.update(rows)
        self._dataset.resize(self._written + self._filled, axis=0)
        self._dataset[self._written :] = rows
        self._written += self._filled
        self._filled = 0


class FramesWriter:
    """Writer of observations and next observations that share their frames.

    A next observation that is the following row's observation, byte for byte, is stored once. So both columns read back
    as they were, for rows in any order.
    """

    def __init__(
        self,
        file: h5py.File,
        paths: tuple[str, str],
        shape: tuple[int, ...],
        dtype: np.dtype[np.generic],
        filters: Mapping[str, Any],
    ) -> None:
        self.shape, self.dtype = shape, dtype
        self._file, self._paths = file, paths
        self._frames = ColumnWriter(file, f"{layout.FRAMES}/{paths[0]}", shape, dtype, filters)
        self._digests = (ColumnDigest(), ColumnDigest())
        self._rows = 0
        # Rows whose next observation is a frame of its own, because the next row does not continue them.
        self._last_of_runs: list[Array] = []
        self._leads_to: Array | None = None

    def append(self, observed: Array, following: Array) -> None:
        """Append rows of observations and next observations."""
        if not len(observed):
            return
        for digest, values in zip(self._digests, (observed, following), strict=True):
            digest.update(values)
        if self._leads_to is not None and not continues_exactly(self._leads_to, observed[:1])[0]:
            self._end_run()
        ends = np.flatnonzero(~continues_exactly(following[:-1], observed[1:]))
        places = np.arange(len(observed)) + np.searchsorted(ends, np.arange(len(observed)))
        frames = np.empty((len(observed) + len(ends), *self.shape), self.dtype)
        frames[places] = observed
        frames[places[ends] + 1] = following[ends]
        self._frames.append(frames)
        self._last_of_runs.append(self._rows + ends)
        self._rows += len(observed)
        self._leads_to = following[-1:].copy()

    def finish(self) -> None:
        """Write the frames that are left, and the two columns that show the frames."""
        self._end_run()
        self._frames.finish()
        starts = np.append(0, np.concatenate(self._last_of_runs)[:-1] + 1)
        first = starts + np.arange(len(starts))  # a frame more for each run before
        for path, places in zip(self._paths, (first, first + 1), strict=True):
            show_frames(self._file, path, Frames(self._frames.path, starts, places), self._rows)

    def fingerprints(self) -> dict[str, Fingerprint]:
        """Return the columns' parts of the content hash: the same as if both were stored."""
        shape = (self._rows, *self.shape)
        return {
            path: (self.dtype, shape, digest.hexdigest())
            for path, digest in zip(self._paths, self._digests, strict=True)
        }

    def _end_run(self) -> None:
        assert self._leads_to is not None
        self._frames.append(self._leads_to)
        self._last_of_runs.append(np.array([self._rows - 1]))
