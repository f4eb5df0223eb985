"""Cast values to the dtype that a column stores, without changing a value unnoticed."""

from __future__ import annotations

import numpy as np

from vinci_offline.data.layout import Slot, stored_dtype
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array


def storage_dtype(values: Array, slot: Slot | None, float64: bool) -> np.dtype[np.generic]:
    """Return the dtype that stores a column of ``values``; ``float64`` keeps floats as they are given."""
    if float64 and values.dtype.kind == "f" and (slot is None or slot.dtype.kind == "f"):
        return values.dtype.newbyteorder("=")
    return slot.dtype if slot is not None else stored_dtype(values.dtype)


def cast(values: Array, dtype: np.dtype[np.generic], where: str) -> Array:
    """Return ``values`` as ``dtype``. Only rounding of floats may change them.

    Raises:
        DatasetError: the values are not numbers, or ``dtype`` cannot hold one of them.
    """
    if values.dtype == dtype:
        return values
    if values.dtype.kind not in "biuf":
        raise DatasetError(f"{where}: {values.dtype} values cannot be stored; give numbers or booleans")
    if dtype.kind == "f":
        try:
            with np.errstate(over="raise"):
                return values.astype(dtype)
        except FloatingPointError:
            raise DatasetError(f"{where}: a value overflows {dtype}; store it with float64=True") from None
    with np.errstate(invalid="ignore"):
        exact = values.astype(dtype)
    if not np.array_equal(exact, values):
        raise DatasetError(f"{where}: {values.dtype} values that {dtype} cannot hold exactly")
    return exact
