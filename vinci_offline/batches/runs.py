"""Runs: maximal sequences of rows in which each row continues the one before, within one episode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vinci_offline.data import continuity
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import last_rows
from vinci_offline.types import Array


@dataclass(frozen=True, eq=False)
class Runs:
    """The runs of a dataset, in row order. They cover all rows.

    Attributes:
        first: ``[R]`` int64, the first row of each.
        length: ``[R]`` int64, its number of rows.
    """

    first: Array
    length: Array

    @property
    def last(self) -> Array:
        """``[R]`` int64, the last row of each."""
        return self.first + self.length - 1

    @property
    def longest(self) -> int:
        """The rows of the longest run."""
        return int(self.length.max())

    def bounds(self, start: int, stop: int) -> tuple[Array, Array]:
        """Return the first and the last row of the run of each of the rows ``start … stop - 1``."""
        begin = int(np.searchsorted(self.first, start, "right")) - 1
        end = int(np.searchsorted(self.first, stop))
        first, last = self.first[begin:end], self.last[begin:end]
        counts = np.minimum(last + 1, stop) - np.maximum(first, start)
        return np.repeat(first, counts), np.repeat(last, counts)

    def around(self, pieces: Array) -> Array:
        """Extend pieces of rows to whole runs.

        Args:
            pieces: ``[K, 2]`` the start and the stop of each.

        Returns:
            ``[K, 2]``: the first row of the run of each start, and the row after the run of each last row.
        """
        begin = np.searchsorted(self.first, pieces[:, 0], "right") - 1
        end = np.searchsorted(self.first, pieces[:, 1] - 1, "right") - 1
        return np.stack([self.first[begin], self.last[end] + 1], axis=1)


def dataset_runs(dataset: Dataset) -> Runs:
    """Find the runs of a dataset. Observations are compared in blocks."""
    return Runs(*continuity.runs(dataset.columns, last_rows(dataset.episode_columns)))
