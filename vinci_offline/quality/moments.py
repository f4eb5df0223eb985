"""Mean, standard deviation and range of a column, gathered block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vinci_offline.data.dataset import Dataset
from vinci_offline.types import Array, FloatArray


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation, least and greatest value of each entry of a column's rows, in float64.

    The deviation divides by the number of rows. What is printed or stored is the sample's: see `deviation`.

    Attributes:
        mean: the mean.
        std: the standard deviation.
        low: the least value.
        high: the greatest value.
        rounding: the most that float32 moves a value.
    """

    mean: FloatArray
    std: FloatArray
    low: FloatArray
    high: FloatArray
    rounding: FloatArray


class MomentSums:
    """Moments of the blocks added so far, merged by the rule of Chan, Golub and LeVeque (1983).

    Merging keeps float64 precision where a sum of squares would cancel.

    Args:
        shape: the shape of a row.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._count = 0
        self._mean, self._squares = np.zeros(shape), np.zeros(shape)
        self._low, self._high = np.full(shape, np.inf), np.full(shape, -np.inf)
        self._rounding = np.zeros(shape)

    def add(self, block: Array) -> None:
        """Add rows, ``[B, ...]``. Values that are not finite make the moments not finite, without a warning."""
        with np.errstate(invalid="ignore", over="ignore"):
            values = block.astype(np.float64)
            block_mean = values.mean(axis=0)
            self._low = np.minimum(self._low, values.min(axis=0))
            self._high = np.maximum(self._high, values.max(axis=0))
            if not np.can_cast(block.dtype, np.float32):
                moved = np.abs(values - block.astype(np.float32)).max(axis=0)
                self._rounding = np.maximum(self._rounding, moved)
            values -= block_mean
            delta, total = block_mean - self._mean, self._count + len(block)
            between = delta**2 * (self._count * len(block) / total)
            self._squares = self._squares + np.square(values).sum(axis=0) + between
            self._mean = self._mean + delta * (len(block) / total)
        self._count = total

    def result(self) -> Moments:
        """Return the moments of all rows added; there must be some."""
        return Moments(
            self._mean, np.sqrt(self._squares / self._count), self._low, self._high, self._rounding
        )


def merged_moments(one: Moments, other: Moments, rows: tuple[int, int]) -> Moments:
    """Return the moments of two sets of rows together, by the same rule.

    Args:
        one: the moments of the first set.
        other: the moments of the second set.
        rows: the numbers of rows of the two sets.
    """
    first, second = rows[0] / sum(rows), rows[1] / sum(rows)
    with np.errstate(invalid="ignore", over="ignore"):
        delta = other.mean - one.mean
        variance = first * one.std**2 + second * other.std**2 + first * second * delta**2
        mean = one.mean + delta * second
    return Moments(
        mean,
        np.sqrt(variance),
        np.minimum(one.low, other.low),
        np.maximum(one.high, other.high),
        np.maximum(one.rounding, other.rounding),
    )


def column_moments(dataset: Dataset, path: str) -> Moments:
    """Return the moments of one column over all rows. Reads in blocks."""
    sums = MomentSums(dataset.columns.shape(path)[1:])
    for _, block in dataset.columns.blocks(path):
        sums.add(block)
    return sums.result()
