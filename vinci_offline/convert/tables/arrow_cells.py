"""The cells of a Parquet table's column: numbers, texts, flags, and times that order rows."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from vinci_offline.convert.sources.arrow import numbers, pyarrow
from vinci_offline.data.assembly.roles import Role
from vinci_offline.data.assembly.steps import MISSING
from vinci_offline.data.assembly.texts import is_truth, times, truths
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array


class ArrowCells:
    """Converter of one column's Arrow arrays.

    Args:
        name: the source's name for the column.
        path: the file.
        role: how cells are read; texts, flags and steps are never filled.
        fill: the number that fills an empty cell; None refuses empty cells.

    Attributes:
        filled: how many empty cells were filled.
    """

    def __init__(self, name: str, path: Path, role: Role, fill: str | None) -> None:
        self._name, self._path, self._role = printable(name), path, role
        self._where = f"{path}: {self._name}"
        self._fill = fill if role in {"number", "observed"} else None
        self.filled = 0

    def values(self, values: Any, first_row: int) -> Array | list[str]:
        """Return cells as numbers, flags or times, or as texts where the column has texts.

        Args:
            values: an Arrow array, or numbers that were entries of lists.
            first_row: the row of the first of them.

        Raises:
            DatasetError: one cannot be read, or there is nothing in it.
        """
        if self._role == "text":
            cells = values.tolist() if isinstance(values, np.ndarray) else values.to_pylist()
            return ["" if cell is None else str(cell) for cell in cells]
        if isinstance(values, np.ndarray):
            return values
        if values.null_count and self._fill is None:
            self._refuse_nothing(first_row + int(np.argmax(_nulls(values))))
        types = pyarrow().types
        if types.is_integer(values.type) or types.is_floating(values.type) or types.is_boolean(values.type):
            return self._numbers(values)
        if self._role == "flag" and _is_text(values.type):
            return self._flags(values, first_row)
        if self._role == "step":
            return self._steps(values, first_row)
        if self._role == "observed" and (found := _times(values)) is not None:
            return found
        raise DatasetError(
            f"{self._where} holds {values.type} values, not numbers: choose the columns with --map, or say --set "
            "categories=NAME if texts stand for choices"
        )

    def _numbers(self, values: Any) -> Array:
        if not values.null_count or self._fill is None:
            return numbers(values, self._where)
        self.filled += values.null_count
        known = numbers(values.drop_null(), self._where)
        whole = known.dtype.kind in "iu" and float(self._fill).is_integer()
        dtype = np.result_type(known.dtype, np.int64) if whole else np.float64
        filled = np.full(len(values), float(self._fill), dtype)
        filled[~_nulls(values)] = known
        return filled

    def _flags(self, values: Any, first_row: int) -> Array:
        cells = values.to_pylist()
        try:
            return truths(cells)
        except ValueError:
            row = next(row for row, cell in enumerate(cells) if not is_truth(cell))
            raise DatasetError(
                f"{self._path}: row {first_row + row}: {self._name} is {printable(cells[row])[:40]!r}, "
                "neither true nor false: write true/false, yes/no or 1/0"
            ) from None

    def _steps(self, values: Any, first_row: int) -> Array:
        types = pyarrow().types
        if (found := _times(values)) is not None:
            return found
        if types.is_time(values.type):
            whole = pyarrow().int32() if types.is_time32(values.type) else pyarrow().int64()
            clock: Array = values.cast(whole).to_numpy(zero_copy_only=False)
            return clock.astype(np.int64)
        raise DatasetError(
            f"{self._where} holds {values.type} values from row {first_row} on that are neither numbers nor dates or "
            "times such as 2024-05-01T08:30:00Z: map another column to step"
        )

    def _refuse_nothing(self, row: int) -> NoReturn:
        advice = (
            "say what stands for it, as with --set missing=0, or leave the column out with --map"
            if self._role in {"number", "observed"}
            else MISSING
        )
        raise DatasetError(f"{self._where}: nothing in row {row}: {advice}")


def _times(values: Any) -> Array | None:
    """Return dates, times and durations, or texts of dates and times; None if the values are others."""
    types = pyarrow().types
    if types.is_timestamp(values.type) or types.is_date(values.type) or types.is_duration(values.type):
        found: Array = values.to_numpy(zero_copy_only=False)
        return found
    if _is_text(values.type):
        with suppress(ValueError):
            return times(values.to_pylist())
    return None


def _is_text(kind: Any) -> bool:
    types = pyarrow().types
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _nulls(values: Any) -> Array:
    found: Array = values.is_null().to_numpy(zero_copy_only=False)
    return found
