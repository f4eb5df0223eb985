"""The parts of a dataset, checked and ready to be put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import blocks, read
from vinci_offline.data.casting import cast, paired, storage_dtype
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.episodes import complete
from vinci_offline.data.inference import infer_spec
from vinci_offline.data.layout import Slot
from vinci_offline.data.schema import StoredColumn, check_columns
from vinci_offline.errors import DatasetError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array, Columns

_ASK = "say --env ENV"


@dataclass(frozen=True)
class Parts:
    """Columns, environment and episodes of a dataset, and how they came to be.

    Attributes:
        columns: rows by path, in the dtypes in which they are stored.
        spec: the environment.
        episodes: the episode table.
        attributes: where the data comes from.
        decisions: one line each: how terminals were told from timeouts, where next observations came from, what was
            converted.
        dropped: how many rows, or episodes, were left out, by the reason in words.
    """

    columns: LazyColumns
    spec: EnvironmentSpec
    episodes: Columns
    attributes: Mapping[str, Any] = field(default_factory=dict)
    decisions: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def make_parts(
    columns: Mapping[str, Column],
    spec: EnvironmentSpec | None,
    episodes: Mapping[str, Array],
    context: ImportContext,
    attributes: Mapping[str, Any] | None = None,
    *,
    float64: bool = False,
) -> Parts:
    """Check columns against the spaces, and complete the episode table.

    Shapes and dtypes are checked at once. Values are cast, and checked, block by block as they are read.

    Args:
        columns: all that a dataset needs.
        spec: the environment; Box spaces of the columns' shapes are inferred where it is None.
        episodes: ``length`` of each episode, and what else is known of it.
        context: the import.
        attributes: where the data comes from.
        float64: keep float64 columns; otherwise they become float32, unless the import's options keep them.

    Raises:
        DatasetError: columns are missing, unequal, empty, or not of the spaces' shapes; or the spec must be given.
    """
    try:
        spec = spec or infer_spec(LazyColumns(columns), _ASK)
        check_columns({path: StoredColumn(each.shape, each.dtype) for path, each in columns.items()}, spec)
        slots = layout.spec_slots(spec)
    except DatasetError as error:
        raise DatasetError(f"{context.where}: {error}") from error
    float64 = float64 or context.options.float64
    dtypes = paired({path: _dtype(column, slots.get(path), float64) for path, column in columns.items()})
    if any(columns[path].dtype == np.float64 and dtype == np.float32 for path, dtype in dtypes.items()):
        context.decide("float64 values became float32; --float64 keeps them")
    stored = LazyColumns(
        {path: _stored(column, dtypes[path], path, context.where) for path, column in columns.items()}
    )
    try:
        table = complete(stored, dict(episodes))
    except DatasetError as error:
        if str(error).startswith(context.where):
            raise
        raise DatasetError(f"{context.where}: {error}") from error
    return Parts(stored, spec, table, attributes or {}, tuple(context.decisions), dict(context.dropped))


def _dtype(column: Column, slot: Slot | None, float64: bool) -> np.dtype[np.generic]:
    """Return the dtype that stores a column. Whole numbers are read, block by block, where float64 may be needed."""
    dtype = storage_dtype(np.empty(0, column.dtype), slot, float64)
    if float64 and column.dtype.kind in "iu" and dtype.kind == "f":
        found = (storage_dtype(block, slot, float64) for _, block in blocks(column))
        return max(found, key=lambda each: each.itemsize, default=dtype)
    return dtype


def _stored(column: Column, dtype: np.dtype[np.generic], path: str, where: str) -> Column:
    """Return a column cast to the dtype in which it is stored."""
    if column.dtype == dtype:
        return column

    def load(rows: slice) -> Array:
        values = read(column, rows)
        try:
            return cast(values, dtype, path)
        except DatasetError as error:
            raise DatasetError(f"{where}: {error}") from error

    return Column(column.shape, dtype, load)
