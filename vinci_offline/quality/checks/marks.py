"""Which rows a check marked: the first, and how many."""

from __future__ import annotations

import numpy as np

from vinci_offline.types import Array


class Marks:
    """Counts marked rows, fed block by block in row order.

    Attributes:
        first: the first row that is marked; -1 as long as there is none.
        count: how many are.
    """

    def __init__(self) -> None:
        self.first = -1
        self.count = 0

    def add(self, start: int, marks: Array) -> None:
        """Add a block of marks, ``[B]``, the first of which is row ``start``."""
        found = int(np.count_nonzero(marks))
        if found and self.first < 0:
            self.first = start + int(np.argmax(marks))
        self.count += found

    def __str__(self) -> str:
        return counted(self.count, "row")


def any_in_row(marks: Array) -> Array:
    """``[B]``: which rows of ``[B, …]`` hold a mark."""
    return np.asarray(marks.any(axis=tuple(range(1, marks.ndim))))


def counted(count: int, noun: str) -> str:
    """A number and what it counts, as ``1 row`` or ``3,000 rows``."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"
