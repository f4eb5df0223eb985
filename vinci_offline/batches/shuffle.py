"""An endless shuffle of a dataset's rows, cut into pools of equal size."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from vinci_offline.types import Array

_BLOCKS_A_POOL = 128
_LARGEST_BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Shuffle:
    """The blocks of a dataset in a new order every epoch, as one endless sequence of rows.

    Pool ``g`` is the rows ``g * pool_rows … (g + 1) * pool_rows - 1`` of the sequence. So all pools have one size, each
    row of the dataset comes exactly once an epoch, and a pool depends on ``g`` alone.

    Attributes:
        rows: the rows of the dataset.
        pool_rows: the rows of a pool, from 1 to ``rows``.
        borders: ascending rows at which a block may begin, from 0 on; None where any row may begin one.
    """

    rows: int
    pool_rows: int
    borders: Array | None = None

    @property
    def block_rows(self) -> int:
        """Rows of a block: few, so that a pool is made of many places, and enough to read them fast.

        With ``borders`` a block reaches to the next border.
        """
        return min(_LARGEST_BLOCK, max(1, self.pool_rows // _BLOCKS_A_POOL))

    def pieces(self, generation: int) -> Array:
        """Return ``[K, 2]`` int64: the start and the stop of each contiguous piece of a pool, ascending."""
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

    @cached_property
    def _starts(self) -> Array:
        """``[M + 1]``: the first row of each block, and the number of rows."""
        nominal = np.arange(0, self.rows, self.block_rows)
        if self.borders is None:
            return np.append(nominal, self.rows)
        places = np.searchsorted(self.borders, nominal)
        return np.append(np.unique(self.borders[places[places < len(self.borders)]]), self.rows)

    def _part(self, epoch: int, first: int, last: int) -> Array:
        """Return the pieces of places ``first … last - 1`` of an epoch."""
        order = _order(epoch, len(self._starts) - 1)
        starts, lengths = self._starts[order], np.diff(self._starts)[order]
        ends = np.cumsum(lengths)
        chosen = slice(int(np.searchsorted(ends, first, "right")), int(np.searchsorted(ends, last)) + 1)
        offsets = ends[chosen] - lengths[chosen]
        start = starts[chosen] + np.maximum(first - offsets, 0)
        stop = starts[chosen] + np.minimum(last - offsets, lengths[chosen])
        return np.stack([start, stop], axis=1)


@lru_cache(maxsize=4)
def _order(epoch: int, count: int) -> Array:
    """Return a permutation of ``count`` blocks.

    It is made of raw Philox words (Salmon et al., 2011), which no version of NumPy changes.
    """
    return np.argsort(np.random.Philox(key=epoch).random_raw(count), kind="stable")
