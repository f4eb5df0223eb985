"""Sources of batches: an engine draws from pools of rows. A source in memory has one pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeAlias

import numpy as np
from keras import ops

from vinci_offline.batches.batch import transition_columns
from vinci_offline.batches.names import LAST_ROW, REWARD
from vinci_offline.types import Array, Tensor, Transitions

Pool: TypeAlias = Mapping[str, Tensor]
"""The columns of a pool by name, all of one length: see `batches.names`."""


class Source(Protocol):
    """Pools of equal size, each drawn from for equally many steps."""

    @property
    def pool_rows(self) -> int:
        """Rows that are drawn from a pool. Its columns may be longer: they also hold the rest of cut runs."""

    @property
    def span(self) -> int | None:
        """Steps a pool: global step ``t`` draws from pool ``(t - 1) // span``. None where there is one pool."""

    @property
    def waited(self) -> float:
        """Seconds spent waiting for pools so far."""

    def pool(self, generation: int) -> Pool:
        """Return the columns of a pool. All pools have the same names, shapes and dtypes.

        Raises:
            VinciError: they cannot be read.
        """

    def prepare(self, generation: int) -> None:
        """Begin to read the pool that is asked for next."""

    def dataset_rows(self, generation: int) -> Array:
        """Return the dataset's row behind each row of a pool's columns, int64; -1 where there is none."""

    def example(self, count: int) -> Pool:
        """Return a pool of at most ``count`` rows, to look at shapes."""

    def close(self) -> None:
        """Stop reading."""


class Resident:
    """One pool of all rows. Engines that share it share the columns on the device.

    Args:
        columns: arrays by name, with leading axis N; or transitions.
    """

    span = None
    waited = 0.0

    def __init__(self, columns: Mapping[str, Tensor] | Transitions) -> None:
        self._columns = transition_columns(columns) if isinstance(columns, Transitions) else dict(columns)
        self.pool_rows = len(self._columns[REWARD])

    def pool(self, generation: int) -> Pool:
        """Return all rows, as tensors."""
        self._columns = {name: ops.convert_to_tensor(column) for name, column in self._columns.items()}
        return self._columns

    def prepare(self, generation: int) -> None:
        """Do nothing."""

    def dataset_rows(self, generation: int) -> Array:
        """Return ``[N]`` int64: 0 … N - 1."""
        return np.arange(self.pool_rows)

    def example(self, count: int) -> Pool:
        """Return the first rows."""
        return first_rows(self._columns, count)

    def close(self) -> None:
        """Do nothing."""


def first_rows(columns: Mapping[str, Tensor], count: int) -> Pool:
    """Return the first rows of columns. A run that goes beyond them ends with them."""
    cut = {name: column[:count] for name, column in columns.items()}
    if LAST_ROW in cut:
        cut[LAST_ROW] = np.minimum(ops.convert_to_numpy(cut[LAST_ROW]), len(cut[LAST_ROW]) - 1)
    return cut
