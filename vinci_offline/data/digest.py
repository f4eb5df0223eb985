"""The content hashes of columns and of the episode table. They do not depend on appends, chunks or compression."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from vinci_offline.data.columns import LazyColumns
from vinci_offline.types import Array


class ColumnDigest:
    """SHA-256 of one column, computed block by block in row order."""

    def __init__(self) -> None:
        self._sha = hashlib.sha256()

    def update(self, rows: Array) -> None:
        """Add the next rows."""
        little = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("<"))
        self._sha.update(little.reshape(-1).view(np.uint8).data)

    def hexdigest(self) -> str:
        """Return the digest of all rows so far."""
        return self._sha.hexdigest()


def content_hash(columns: Mapping[str, tuple[np.dtype[np.generic], tuple[int, ...], str]]) -> str:
    """Return one SHA-256 over each column's name, dtype, shape and digest, in the order of the names."""
    lines = [
        json.dumps([name, dtype.newbyteorder("<").str, list(shape), digest])
        for name, (dtype, shape, digest) in sorted(columns.items())
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def joint_hash(hashes: Sequence[str]) -> str:
    """Return the hash that stands for several datasets in their order; of one its own."""
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def table_hash(table: Mapping[str, Array]) -> str:
    """Return the content hash of an episode table."""
    found = {}
    for name, values in table.items():
        digest = ColumnDigest()
        digest.update(values)
        found[name] = (values.dtype, values.shape, digest.hexdigest())
    return content_hash(found)


def hash_of(columns: LazyColumns) -> str:
    """Compute the content hash of columns as they are now. Reads each in blocks."""
    found = {}
    for path in columns:
        digest = ColumnDigest()
        for _, block in columns.blocks(path):
            digest.update(block)
        found[path] = (columns.dtype(path), columns.shape(path), digest.hexdigest())
    return content_hash(found)
