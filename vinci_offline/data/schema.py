"""Checks that columns make a dataset: names, lengths, shapes and dtypes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.casting import cast, paired, storage_dtype
from vinci_offline.data.hdf5.shared_frames import Frames
from vinci_offline.data.problem import Problem
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import convert_command
from vinci_offline.types import Array, Columns


@dataclass(frozen=True)
class StoredColumn:
    """A column of a file.

    Attributes:
        shape: its shape, rows first.
        dtype: the dtype in which it is read.
        frames: the shared frames that it shows; None where it has values of its own.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    frames: Frames | None = None


def table_problems(
    columns: Mapping[str, StoredColumn], native: bool, path: Path | None = None
) -> list[Problem]:
    """Find missing columns, no rows, unequal lengths."""
    problems = []
    required = [root for root in layout.REQUIRED_ROOTS if native or root != layout.TIMEOUTS]
    missing = [root for root in required if root not in _roots(columns)]
    if missing:
        problems.append(_missing(missing, columns, None if native else path))
    lengths = {path: column.shape[0] for path, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{path} {length}" for path, length in lengths.items())
        problems.append(
            Problem("columns", f"unequal lengths ({listed})", "cut all to whole rows", repairable=True)
        )
    elif lengths and not any(lengths.values()):
        problems.append(Problem("columns", "the file holds no rows", "record some transitions first"))
    # For a file that stores its spaces, `fit` says the same.
    return problems if native else [*problems, *_shapes_apart(columns)]


def _shapes_apart(columns: Mapping[str, StoredColumn]) -> list[Problem]:
    """Find rewards and flags that are not one number a row, and next observations of another shape."""
    problems = [
        Problem(path, f"rows have shape {columns[path].shape[1:]}, not one number", "see docs/format.md")
        for path in (layout.REWARDS, layout.TERMINALS, layout.TIMEOUTS)
        if path in columns and len(columns[path].shape) != 1
    ]
    for path, column in columns.items():
        following = columns.get(f"next_{path}")
        if following is not None and following.shape[1:] != column.shape[1:]:
            what = f"rows have shape {following.shape[1:]}, those of {path} {column.shape[1:]}"
            problems.append(Problem(f"next_{path}", what, "see docs/format.md"))
    return problems


def _missing(missing: list[str], columns: Mapping[str, StoredColumn], foreign: Path | None) -> Problem:
    if missing == [layout.NEXT_OBSERVATIONS]:
        what = "missing, and each row needs the observation that its action led to"
        advice = "D4RL files may leave it out: convert the file first"
        advice += ", as docs/format.md shows" if foreign is None else f" with: {convert_command(foreign)}"
        return Problem(layout.NEXT_OBSERVATIONS, what, advice)
    found = ", ".join(sorted(_roots(columns))) or "none"
    return Problem(
        "columns",
        f"missing {', '.join(missing)} (found: {found})",
        "a transition dataset has them: see docs/format.md",
    )


def fit(columns: Mapping[str, StoredColumn], spec: EnvironmentSpec) -> list[Problem]:
    """Find columns that do not fit the spec's spaces."""
    advice = "check the environment that the file says it comes from"
    try:
        slots = layout.spec_slots(spec)
    except SpecError as error:
        return [Problem("environment", str(error), advice)]
    problems = []
    absent = [path for path in slots if path not in columns and path.partition("/")[0] in _roots(columns)]
    if absent:
        problems.append(Problem(", ".join(absent), "missing, though the spaces have them", advice))
    for path, column in columns.items():
        slot = slots.get(path)
        if slot is None:
            if not path.startswith(f"{layout.INFOS}/"):
                problems.append(Problem(path, "not a part of the spaces", advice))
        elif column.shape[1:] != slot.shape:
            problems.append(
                Problem(path, f"rows have shape {column.shape[1:]}, the space {slot.shape}", advice)
            )
        elif not slot.accepts(column.dtype):
            problems.append(
                Problem(path, f"dtype {column.dtype} does not fit {slot.dtype}", "convert the column")
            )
    return problems


def _roots(columns: Mapping[str, StoredColumn]) -> set[str]:
    return {path.partition("/")[0] for path in columns}


def stored_arrays(columns: Mapping[str, Array], spec: EnvironmentSpec, *, float64: bool) -> Columns:
    """Check arrays, and return them in the dtypes in which they are stored.

    Args:
        columns: arrays by path.
        spec: the environment.
        float64: keep floating-point columns as they are given; otherwise float64 becomes float32.

    Raises:
        DatasetError: they make no dataset, or cannot be stored as they are.
    """
    arrays = {path: np.asarray(values) for path, values in columns.items()}
    check_arrays(arrays, spec)
    slots = layout.spec_slots(spec)
    dtypes = paired(
        {path: storage_dtype(values, slots.get(path), float64) for path, values in arrays.items()}
    )
    return {path: cast(values, dtypes[path], path) for path, values in arrays.items()}


def check_arrays(arrays: Mapping[str, Array], spec: EnvironmentSpec) -> None:
    """Refuse arrays that make no dataset, in the words in which a file of them would be refused.

    Raises:
        DatasetError: columns are missing, unknown, unequal, empty, or not of the spaces' shapes.
    """
    scalars = [path for path, values in arrays.items() if not values.ndim]
    if scalars:
        raise DatasetError(
            f"columns: {', '.join(scalars)} is a single value, not an array with a row a transition"
        )
    unknown = [path for path in arrays if path.partition("/")[0] not in layout.COLUMN_ROOTS]
    if unknown:
        raise DatasetError(f"columns: unknown {', '.join(unknown)}; put other columns under infos/")
    check_columns({path: StoredColumn(values.shape, values.dtype) for path, values in arrays.items()}, spec)


def check_columns(stored: Mapping[str, StoredColumn], spec: EnvironmentSpec) -> None:
    """Refuse columns that make no dataset, in the words in which a file of them would be refused. Read no values.

    Raises:
        DatasetError: columns are missing, unequal, empty, or not of the spaces' shapes.
    """
    problems = table_problems(stored, native=True)
    slots = layout.spec_slots(spec)
    shapes = {
        path: StoredColumn(column.shape, slots[path].dtype if path in slots else column.dtype)
        for path, column in stored.items()
    }
    problems = problems or fit(shapes, spec)
    if problems:
        raise DatasetError("; ".join(str(problem) for problem in problems))
