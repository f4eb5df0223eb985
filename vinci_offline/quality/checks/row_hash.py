"""64-bit hashes of many rows at a time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

import numpy as np

from vinci_offline.types import Array

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
"""The multipliers of SplitMix64's output function (Steele, Lea and Flood, 2014)."""
_HALF = np.uint64(32)


class RowHash:
    """Hash of rows by their bytes: equal rows have equal hashes, other rows almost never.

    Each instance draws a new key, so nobody can make a file whose rows collide.
    """

    def __init__(self) -> None:
        self._keys = np.random.default_rng(secrets.randbits(128))
        self._column_keys: dict[str, Array] = {}

    def __call__(self, columns: Mapping[str, Array]) -> Array:
        """Return ``[B]`` uint64 hashes of rows. Each call takes the same columns."""
        parts = [self._words(path, row_bytes(block)) for path, block in columns.items()]
        return np.asarray(sum(parts[1:], start=parts[0]))

    def _words(self, path: str, block: Array) -> Array:
        """Return the sum of a column's mixed words of eight bytes; a key for each word tells their places apart."""
        count, size = block.shape
        width = max(1, -(-size // 8))
        if path not in self._column_keys:
            self._column_keys[path] = self._keys.integers(0, 2**64, width, np.uint64)
        padded = np.zeros((count, width * 8), np.uint8)
        padded[:, :size] = block
        words = padded.view(np.uint64)
        words ^= self._column_keys[path]
        for multiplier in _MIX:
            words *= multiplier
            words ^= words >> _HALF
        return np.asarray(words.sum(axis=1, dtype=np.uint64))


def row_bytes(block: Array) -> Array:
    """Return ``[B, bytes]``: the bytes of the rows of ``[B, …]``."""
    flat = np.ascontiguousarray(block).reshape(len(block), -1)
    return flat.view(np.uint8)
