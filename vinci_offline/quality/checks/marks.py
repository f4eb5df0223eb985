"""Rows that a check marked: the first one, and their number."""

from __future__ import annotations

import numpy as np

from vinci_offline.text import counted
from vinci_offline.types import Array


class Marks:
    """Count of marked rows, fed block by block in row order.

    Attributes:
        first: the first marked row; -1 while there is none.
        count: the number of marked rows.
    """

    def __init__(self) -> None:
        self.first = -1
        self.count = 0

    def add(self, start: int, marks: Array) -> None:
        """Add the marks of a block, ``[B]``; its first row is ``start``."""
        found = int(np.count_nonzero(marks))
        if found and self.first < 0:
            self.first = start + int(np.argmax(marks))
        self.count += found

    def __str__(self) -> str:
        return counted(self.count, "row")


def any_in_row(marks: Array) -> Array:
    """Return ``[B]``: whether each row of ``[B, …]`` holds a mark."""
    return np.asarray(marks.any(axis=tuple(range(1, marks.ndim))))
