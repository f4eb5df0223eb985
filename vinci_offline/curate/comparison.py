"""Compare columns with numbers as the columns hold them.

A file keeps 0.1 as float32, which is another number than the 0.1 that Python reads. A number is therefore rounded to
the column's own precision before it is compared, and so is a column of higher precision. Integers are compared exactly,
also beyond 2**53, where float64 holds every other one at best.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vinci_offline.types import Array

Number = bool | int | float
_Compare = Callable[[Any, Any], Any]
_MIRRORED: dict[_Compare, _Compare] = {
    operator.lt: operator.gt,
    operator.le: operator.ge,
    operator.gt: operator.lt,
    operator.ge: operator.le,
    operator.eq: operator.eq,
    operator.ne: operator.ne,
}


def compared(compare: _Compare, left: Array | Number, right: Array | Number) -> Any:
    """Compare two columns, a column and a number, or two numbers.

    Args:
        compare: a comparison of `operator`.
        left: a column, or a Python number.
        right: likewise.
    """
    if not isinstance(left, np.ndarray):
        if not isinstance(right, np.ndarray):
            return compare(left, right)
        return compared(_MIRRORED[compare], right, left)
    if not isinstance(right, np.ndarray):
        return _with_number(compare, _plain(left), right)
    left, right = _plain(left), _plain(right)
    kinds = left.dtype.kind + right.dtype.kind
    if kinds == "ff":
        narrow = min(left.dtype, right.dtype, key=lambda dtype: dtype.itemsize)
        return compare(left.astype(narrow), right.astype(narrow))
    if kinds in {"if", "uf"}:
        return _whole_with_float(compare, left, right)
    if kinds in {"fi", "fu"}:
        return _whole_with_float(_MIRRORED[compare], right, left)
    return compare(left, right)


def among(column: Array, numbers: Sequence[Number]) -> Array:
    """Return whether each entry of a column equals one of some numbers, in the column's own precision."""
    column = _plain(column)
    if column.dtype.kind == "f":
        return np.isin(column, np.array([_rounded(number, column.dtype) for number in numbers], column.dtype))
    limits = np.iinfo(column.dtype)
    whole = [
        int(number) for number in numbers if number == number // 1 and limits.min <= number <= limits.max
    ]
    return np.isin(column, np.array(whole, column.dtype))


def calculated(calculate: _Compare, left: Array | Number, right: Array | Number) -> Any:
    """Calculate with columns and numbers; the result has the precision of the least precise column.

    Whole numbers and flags become int64, because unsigned ones would wrap below zero; float64 beyond its range.
    """
    columns = [each for each in (left, right) if isinstance(each, np.ndarray)]
    floats = [each.dtype for each in columns if each.dtype.kind == "f"]
    if not floats:
        return calculate(*map(_signed, (left, right)))
    wide = (each.astype(np.float64) if isinstance(each, np.ndarray) else each for each in (left, right))
    return calculate(*wide).astype(min(floats, key=lambda dtype: dtype.itemsize))


def _signed(value: Array | Number) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    fits = value.dtype != np.uint64 or value.max(initial=0) <= np.iinfo(np.int64).max
    return value.astype(np.int64 if fits else np.float64)


def _plain(column: Array) -> Array:
    """Return flags as the integers 0 and 1."""
    return column.view(np.uint8) if column.dtype.kind == "b" else column


def _with_number(compare: _Compare, column: Array, number: Number) -> Any:
    if column.dtype.kind == "f":
        return compare(column, _rounded(number, column.dtype))
    if isinstance(number, float):
        return _whole_with_float(compare, column, np.asarray(number))
    return compare(column, int(number))  # NumPy compares with Python's integers exactly, whatever their size


def _rounded(number: Number, dtype: np.dtype[Any]) -> Any:
    """Return a number as a column of floats holds it."""
    try:
        return dtype.type(float(number))
    except OverflowError:  # an integer beyond all floats
        return dtype.type(np.inf if number > 0 else -np.inf)


def _whole_with_float(compare: _Compare, whole: Array, values: Array) -> Any:
    """Compare whole numbers with floats exactly: float64 does not hold all of them."""
    limits = np.iinfo(whole.dtype)
    values = values.astype(np.float64)
    above, below = values >= float(limits.max) + 1, values < limits.min
    inside = ~(above | below | np.isnan(values))
    floor = np.where(inside, np.floor(values), 0)
    floored = floor.astype(whole.dtype)
    # The sign of the difference. A whole number that equals the floor is less if there is a fraction.
    fraction = inside & (values > floor)
    order = np.greater(whole, floored).astype(np.int8) - (
        np.less(whole, floored) | (fraction & (whole == floored))
    )
    order = np.where(above, -1, np.where(below, 1, order))
    return np.where(np.isnan(values), compare is operator.ne, compare(order, 0))
