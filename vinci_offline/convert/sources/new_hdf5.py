"""HDF5 files of other layouts: written whole or not at all, arrays compressed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vinci_offline.data.hdf5.new_file import check_disk, new_file
from vinci_offline.files import disk_errors, make_folder, published, refuse_existing
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
        make_folder(path.parent)
        with published(path) as temporary, new_file(temporary) as file:
            yield file


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
    check_disk(written)


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
        check_disk(written)
