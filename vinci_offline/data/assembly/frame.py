"""Frames of any layout: their columns as those of a table."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import held
from vinci_offline.data.assembly.mapping import choose
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.assembly.parts import Parts
from vinci_offline.data.assembly.roles import SETTINGS, Role, roles
from vinci_offline.data.assembly.table import from_table
from vinci_offline.data.assembly.texts import Texts, kind_of_time, times
from vinci_offline.data.columns import Column
from vinci_offline.data.dataframe import flags, plain
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import did_you_mean, printable
from vinci_offline.types import Array

if TYPE_CHECKING:
    import pandas as pd


def from_mapped_frame(frame: pd.DataFrame, options: ImportOptions, *, float64: bool = True) -> Parts:
    """Make the parts of a dataset from a frame of any column names, as ``options.columns`` maps them.

    Raises:
        DatasetError: a column is missing, or holds no numbers.
        UsageError: it does not tell how episodes ended, and an option must.
    """
    context = ImportContext("the frame", options)
    if unknown := sorted(set(options.settings) - set(SETTINGS)):
        raise UsageError(
            f"from_pandas has no setting {', '.join(unknown)}: it has {', '.join(SETTINGS)}"
            f"{did_you_mean(unknown[0], SETTINGS)}"
        )
    if not len(frame):
        raise DatasetError(f"{context.where} holds no rows")
    frame = frame.set_axis([str(name) for name in frame.columns], axis="columns")
    choice = choose(list(frame.columns), options.columns, context.where)
    source = {name: _column(frame[name], role) for name, role in roles(choice, options.settings).items()}
    return from_table(source, choice, context, float64=float64)


def _column(series: pd.Series, role: Role) -> Column | Texts:
    if role == "text":
        values = series.to_numpy()
        return held(values) if values.dtype.kind in "biu" else _texts(series)
    if role == "flag":
        return held(flags(series))
    if role == "step" or (role == "observed" and _holds_times(series)):
        return held(_steps(series))
    return held(plain(series))


def _texts(series: pd.Series) -> Texts:
    """Return a column of texts; nothing is an empty text."""
    filled = series.astype(object).where(series.notna(), "")
    return Texts.of(np.array([str(cell) for cell in filled], np.str_))


def _holds_times(series: pd.Series) -> bool:
    """Return whether a column holds datetimes, durations, dates, or texts that are dates or times."""
    values = series.to_numpy()
    return values.dtype.kind in "mM" or (
        values.dtype.kind in "OUT"
        and any(isinstance(cell, str | date) and kind_of_time(cell) is not None for cell in values)
    )


def _steps(series: pd.Series) -> Array:
    """Return numbers, or dates and times of any kind as nanoseconds of UTC."""
    import pandas as pd

    if isinstance(series.dtype, pd.DatetimeTZDtype):
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    values = series.to_numpy()
    if values.dtype.kind in "mM":
        return values
    words = [isinstance(cell, str | date) for cell in values] if values.dtype.kind in "OUT" else [False]
    if not any(words):
        return plain(series)
    for row, cell in enumerate(values):
        if kind_of_time(cell) is None:
            shown = "nothing" if pd.isna(cell) else repr(printable(str(cell))[:40])
            raise DatasetError(
                f"the frame: row {row}: {series.name} is {shown}, no date or time such as 2024-05-01 or "
                "2024-05-01T08:30:00Z: write it so, or choose another column"
            )
    try:
        return times([str(cell) for cell in values])
    except ValueError:
        raise DatasetError(
            f"the frame's column {series.name}: a time zone in some rows alone, or a date that there is not: write all "
            "alike"
        ) from None
