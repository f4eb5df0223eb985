"""An endless shuffle of a dataset's rows, cut into pools of equal size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from vinci_offline.types import Array

_BLOCKS_A_POOL = 128
_LARGEST_BLOCK = 8192


@dataclass(frozen=True)
class Shuffle:
    """Epoch after epoch the blocks of a dataset in a new order, as one endless sequence of rows.

    Pool ``g`` is rows ``g * pool_rows … (g + 1) * pool_rows - 1`` of the sequence, so that all pools have one size
    and each row of the dataset is in the sequence once an epoch, exactly. A pool depends on ``g`` alone.

    Attributes:
        rows: of the dataset.
        pool_rows: of a pool; from 1 to ``rows``.
    """

    rows: int
    pool_rows: int

    @property
    def block_rows(self) -> int:
        """Rows that stay together: few enough that a pool is of many places, enough that reading them is fast."""
        return min(_LARGEST_BLOCK, max(1, self.pool_rows // _BLOCKS_A_POOL))

    def pieces(self, generation: int) -> Array:
        """``[K, 2]`` int64: the start and the stop of each contiguous run of rows in a pool, ascending."""
        first = generation * self.pool_rows
        last = first + self.pool_rows
        found = [
            self._part(epoch, max(first - epoch * self.rows, 0), min(last - epoch * self.rows, self.rows))
            for epoch in range(first // self.rows, (last - 1) // self.rows + 1)
        ]
        pieces = np.concatenate(found)
        pieces = pieces[np.argsort(pieces[:, 0], kind="stable")]
        joined = np.append(False, pieces[1:, 0] == pieces[:-1, 1])
        ends = np.append(np.flatnonzero(~joined)[1:], len(pieces)) - 1
        return np.stack([pieces[~joined, 0], pieces[ends, 1]], axis=1)

    def pool(self, generation: int) -> Array:
        """``[pool_rows]`` int64: the dataset's row behind each row of a pool."""
        return np.concatenate([np.arange(start, stop) for start, stop in self.pieces(generation)])

    def _part(self, epoch: int, first: int, last: int) -> Array:
        """The pieces of places ``first … last - 1`` of an epoch."""
        size = self.block_rows
        order = _order(epoch, -(-self.rows // size))
        lengths = np.minimum(size, self.rows - order * size)
        ends = np.cumsum(lengths)
        chosen = slice(int(np.searchsorted(ends, first, "right")), int(np.searchsorted(ends, last)) + 1)
        begins, offsets = order[chosen] * size, ends[chosen] - lengths[chosen]
        start = begins + np.maximum(first - offsets, 0)
        stop = begins + np.minimum(last - offsets, lengths[chosen])
        return np.stack([start, stop], axis=1)


@lru_cache(maxsize=4)
def _order(epoch: int, count: int) -> Array:
    """A permutation of ``count`` blocks, by raw Philox words (Salmon et al., 2011), which no NumPy version changes."""
    return np.argsort(np.random.Philox(key=epoch).random_raw(count), kind="stable")
