"""Cast values to the dtype that a column stores, without changing a value unnoticed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vinci_offline.data.layout import NEXT_OBSERVATIONS, OBSERVATIONS, Slot, stored_dtype
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array


def storage_dtype(values: Array, slot: Slot | None, float64: bool) -> np.dtype[np.generic]:
    """Return the dtype that stores a column of ``values``.

    ``float64`` keeps floats as they are given. Whole numbers that a float32 column cannot hold become float64 then.
    """
    if slot is not None and slot.dtype.kind == "f" and values.dtype.kind in "iu":
        return np.dtype(np.float64) if float64 and not fits(values, slot.dtype) else slot.dtype
    if float64 and values.dtype.kind == "f" and (slot is None or slot.dtype.kind == "f"):
        return values.dtype.newbyteorder("=")
    return slot.dtype if slot is not None else stored_dtype(values.dtype)


def paired(dtypes: Mapping[str, np.dtype[np.generic]]) -> dict[str, np.dtype[np.generic]]:
    """Return dtypes by path, with one dtype for a column of observations and its next observations.

    One of the two may hold a number that float32 cannot hold, and the other not.
    """
    found = dict(dtypes)
    for path in dtypes:
        following = f"{NEXT_OBSERVATIONS}{path.removeprefix(OBSERVATIONS)}"
        if (
            path.startswith(OBSERVATIONS)
            and following in found
            and found[path].kind == found[following].kind == "f"
        ):
            found[path] = found[following] = np.promote_types(found[path], found[following])
    return found


def fits(values: Array, dtype: np.dtype[np.generic]) -> bool:
    """Return whether ``dtype`` holds each of ``values`` exactly, there and back."""
    with np.errstate(invalid="ignore", over="ignore"):
        held = values.astype(dtype)
        # Back in the values' own dtype: compared as floats, 2^53 and 2^53 + 1 would be equal.
        return np.array_equal(held.astype(values.dtype), values) and np.array_equal(held, values)


def cast(values: Array, dtype: np.dtype[np.generic], where: str) -> Array:
    """Return ``values`` as ``dtype``. Only rounding of floats may change them.

    Raises:
        DatasetError: the values are not numbers, or ``dtype`` cannot hold one of them.
    """
    if values.dtype == dtype:
        return values
    if values.dtype.kind not in "biuf":
        raise DatasetError(f"{where}: {values.dtype} values cannot be stored; give numbers or booleans")
    if dtype.kind == "f" and values.dtype.kind == "f":
        try:
            with np.errstate(over="raise"):
                return values.astype(dtype)
        except FloatingPointError:
            raise DatasetError(f"{where}: a value overflows {dtype}; store it with float64=True") from None
    if not fits(values, dtype):
        advice = "; store them with float64=True" if dtype == np.float32 else ""
        raise DatasetError(f"{where}: {values.dtype} values that {dtype} cannot hold exactly{advice}")
    with np.errstate(invalid="ignore"):
        return values.astype(dtype)
