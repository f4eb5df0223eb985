"""Numbers of rows and episodes from slices, indices and masks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array


def chosen_indices(wanted: slice | Sequence[int] | Array, count: int, what: str) -> Array:
    """Return the numbers that a slice, indices or a mask select out of ``count``.

    Args:
        wanted: a slice, indices (negative ones count from the end), or a mask.
        count: how many there are.
        what: ``row`` or ``episode``, for messages.

    Raises:
        UsageError: it is a single value.
        DatasetError: an index is out of range, or nothing is selected.
    """
    if isinstance(wanted, slice):
        chosen = np.arange(count)[wanted]
    else:
        given = np.asarray(wanted)
        if given.ndim == 0:
            raise UsageError(f"{what} numbers must be a slice, a list or an array, not {wanted!r}")
        if given.dtype == np.bool_ and given.shape != (count,):
            raise DatasetError(f"a mask of shape {given.shape} over {count} {what}s")
        chosen = np.flatnonzero(given) if given.dtype == np.bool_ else given
    if chosen.ndim != 1 or not len(chosen):
        raise DatasetError(f"no {what}s are selected, and a dataset cannot be empty")
    if chosen.dtype.kind not in "iu":
        raise DatasetError(f"{what} numbers must be whole, not {chosen.dtype}")
    wrong = chosen[(chosen < -count) | (chosen >= count)]
    if len(wrong):
        raise DatasetError(f"there is no {what} {wrong[0]}: the dataset has {count}")
    return np.where(chosen < 0, chosen + count, chosen).astype(np.int64)


def spaced_rows(count: int, most: int) -> Array:
    """Return at most ``most`` of ``count`` row numbers, ascending, at equal distances."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def rows_within(rows: Array, start: int, stop: int) -> Array:
    """Return those of some ascending rows that lie in ``start:stop``, counted from ``start``."""
    first, last = np.searchsorted(rows, [start, stop])
    return np.asarray(rows[first:last] - start)


def episode_rows(start: Array, length: Array) -> slice | Array:
    """Return the rows of episodes; a slice where the episodes follow each other."""
    if (start[1:] == start[:-1] + length[:-1]).all():
        return slice(int(start[0]), int(start[-1] + length[-1]))
    offsets = np.repeat(start - (np.cumsum(length) - length), length)
    return offsets + np.arange(int(length.sum()))
