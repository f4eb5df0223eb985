"""HDF5 files of other layouts: written whole or not at all, arrays compressed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vinci_offline.data.hdf5.writer import abandon
from vinci_offline.files import disk_errors, published, refuse_existing
from vinci_offline.types import Array

_SMALLEST_COMPRESSED = 2**16
_FILTERS = {"compression": "gzip", "compression_opts": 1, "shuffle": True}


@contextmanager
def new_hdf5(path: Path, *, overwrite: bool) -> Iterator[h5py.File]:
    """Open a new HDF5 file for writing. It appears under its name whole, when the block ends without an error.

    Raises:
        UsageError: the target exists and ``overwrite`` is not set.
        VinciError: the disk is full or fails.
    """
    refuse_existing(path, overwrite=overwrite)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with published(path) as temporary:
            file = h5py.File(temporary, "x")
            try:
                yield file
                # Whatever the disk refuses is to come out here, where the file can still be abandoned.
                file.flush()
                file.close()
            except BaseException:
                abandon(file)
                raise


def put(group: h5py.Group, name: str, values: Array, **options: Any) -> None:
    """Write an array. A large one is compressed, without loss.

    Args:
        group: where to.
        name: its path from there.
        values: the array.
        **options: of h5py, such as ``maxshape``.
    """
    chosen = _FILTERS if values.nbytes >= _SMALLEST_COMPRESSED else {}
    written = group.create_dataset(name, data=values, **{**chosen, **options})
    # While it is held: what a full disk refuses as a dataset is let go of would end the process.
    written.flush()


def put_blocks(
    group: h5py.Group, name: str, shape: tuple[int, ...], dtype: np.dtype[np.generic], blocks: Iterable[Array]
) -> None:
    """Write an array block by block, as `put` writes one that is whole.

    Args:
        group: where to.
        name: its path from there.
        shape: of the whole array.
        dtype: of the whole array.
        blocks: its rows, in order.
    """
    size = math.prod(shape) * dtype.itemsize
    written = group.create_dataset(name, shape, dtype, **(_FILTERS if size >= _SMALLEST_COMPRESSED else {}))
    first = 0
    for block in blocks:
        written[first : first + len(block)] = block
        first += len(block)
    written.flush()
