"""Rows drawn from a pool, as an agent sees them inside the compiled loop: batches, windows, goals."""

from __future__ import annotations

import math
from collections.abc import Mapping

from keras import ops

from vinci_offline.batches.batch import Batch
from vinci_offline.batches.names import DRAWN_ROW, FIRST_ROW, LAST_ROW, POOL_ONLY, REWARD
from vinci_offline.errors import UsageError
from vinci_offline.functional import random
from vinci_offline.types import Tensor

_FARTHEST = 2**30


class Rows:
    """Rows drawn from a pool, and where to look from there. Everything works inside traced functions.

    A run is a maximal sequence of pool rows in which each row continues the one before, within one episode.
    `first`, `last`, `window`, `future` and `uniform_future` need runs: the agent declares ``trajectories = True``.

    Args:
        pool: the pool's columns by name.
        index: ``[B]`` int32 pool rows.

    Attributes:
        index: the rows that were drawn.
    """

    def __init__(self, pool: Mapping[str, Tensor], index: Tensor) -> None:
        self._pool = pool
        self.index = index

    @property
    def first(self) -> Tensor:
        """``[B]`` int32: the first pool row of each row's run."""
        return ops.take(self._run_column(FIRST_ROW), self.index, axis=0)

    @property
    def last(self) -> Tensor:
        """``[B]`` int32: the last pool row of each row's run."""
        return ops.take(self._run_column(LAST_ROW), self.index, axis=0)

    def at(self, index: Tensor) -> Batch:
        """Return the batch of some pool rows.

        Args:
            index: ``[B]`` or ``[B, K]`` int32.
        """
        return Batch(
            {
                name: ops.take(column, index, axis=0)
                for name, column in self._pool.items()
                if name not in POOL_ONLY
            }
        )

    def window(self, length: int) -> Batch:
        """Return each row and the rows that follow it in its run: fields of shape ``[B, length, ...]``.

        ``batch.valid``, float32 ``[B, length]``, is 1 where the run still goes on. Beyond its end the run's last row is
        repeated and `valid` is 0.
        """
        steps = self.index[:, None] + ops.arange(length, dtype="int32")[None, :]
        last = self.last[:, None]
        valid = ops.cast(ops.less_equal(steps, last), "float32")
        return self.at(ops.minimum(steps, last)).replace(valid=valid)

    def future(self, key: Tensor, gamma: float, *, least: int = 1) -> Tensor:
        """Draw a later row of the same run at a geometric distance, cut at the run's last row.

        The distance is ``least`` or more: P(least + k) = (1 - gamma) gamma^k (Park et al., 2025, OGBench,
        https://arxiv.org/abs/2410.20092, `impls/utils/datasets.py`). With ``least=0`` and the drawn row's
        ``next_observation`` as the goal, the final observation of a run can be a goal too.

        Args:
            key: keys the draw.
            gamma: from 0 to below 1.
            least: the smallest distance.

        Returns:
            ``[B]`` int32 pool rows.
        """
        if not 0.0 <= gamma < 1.0:
            raise UsageError(f"goals at a geometric distance need gamma from 0 to below 1, not {gamma}")
        tail = ops.log(1.0 - random.uniform(key, tuple(self.index.shape)))
        beyond = ops.floor(tail / math.log(gamma)) if gamma else ops.zeros_like(tail)
        distance = ops.cast(ops.minimum(beyond, float(_FARTHEST)), "int32") + least
        return self.index + ops.minimum(distance, self.last - self.index)

    def uniform_future(self, key: Tensor, *, least: int = 1) -> Tensor:
        """Draw a later row of the same run, each with equal probability; the run's last row stays where it is.

        Args:
            key: keys the draw.
            least: the smallest distance.

        Returns:
            ``[B]`` int32 pool rows.
        """
        start = ops.minimum(self.index + least, self.last)
        count = ops.cast(self.last - start + 1, "float32")
        steps = ops.floor(random.uniform(key, tuple(self.index.shape)) * count)
        return ops.minimum(start + ops.cast(steps, "int32"), self.last)

    def random(self, key: Tensor) -> Tensor:
        """Draw any rows of the pool, each with equal probability: ``[B]`` int32 pool rows."""
        return draw(self._pool, key, int(self.index.shape[0])).index

    def _run_column(self, name: str) -> Tensor:
        if name not in self._pool:
            raise UsageError(
                "this pool does not know which rows belong together: set trajectories = True in the agent's class"
            )
        return self._pool[name]


def draw(pool: Mapping[str, Tensor], key: Tensor, count: int) -> Rows:
    """Draw rows from a pool with replacement, each drawable row with equal probability.

    Args:
        pool: the pool's columns by name.
        key: keys the draw.
        count: how many.
    """
    drawn = pool.get(DRAWN_ROW)
    numbers = random.integers(key, (count,), int((pool[REWARD] if drawn is None else drawn).shape[0]))
    return Rows(pool, numbers if drawn is None else ops.take(drawn, numbers, axis=0))
