"""A dataset as a DataFrame with one row a transition, and back.

| column of the file | columns of the frame |
| --- | --- |
| ``observations`` (N, k) | ``observation_0 …``; likewise ``actions``, ``next_observations`` |
| ``observations`` (N,) | ``observation`` |
| ``observations`` (N, h, w, c) | ``observation``: an object column of arrays |
| ``observations/KEY`` | ``observation/KEY``: numbers where a row is one, else an object column of arrays |
| ``rewards``, ``terminals``, ``timeouts`` | ``reward``, ``terminal``, ``timeout`` |
| ``infos/KEY`` | ``KEY``, ``KEY_0 …`` for vectors; ``infos/KEY`` where that could mean another column |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.texts import is_truth, truths
from vinci_offline.data.columns import non_finite_rows
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.data.episodes import are_whole_numbers
from vinci_offline.errors import DatasetError
from vinci_offline.text import did_you_mean, printable
from vinci_offline.types import Array, Columns

if TYPE_CHECKING:
    import pandas as pd

    from vinci_offline.data.columns import LazyColumns

_NAMES = {
    layout.OBSERVATIONS: "observation",
    layout.ACTIONS: "action",
    layout.REWARDS: "reward",
    layout.NEXT_OBSERVATIONS: "next_observation",
    layout.TERMINALS: "terminal",
    layout.TIMEOUTS: "timeout",
}
_ROOTS = {name: root for root, name in _NAMES.items()}
_VECTORS = {"observation", "action", "next_observation"}
_RESERVED = {"episode", "step", layout.INFOS, *_ROOTS}
_NUMBERED = re.compile(r"(.+)_(\d+)", re.DOTALL)


def to_frame(
    columns: Mapping[str, Array], episodes: Mapping[str, Array], chosen: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the rows of a dataset as a frame; `Dataset.to_pandas` says how it is laid out.

    Args:
        columns: a dataset's columns by path.
        episodes: its episode table.
        chosen: the paths to include; all where it is None.

    Raises:
        DatasetError: there is no such column.
    """
    import pandas as pd

    unknown = [path for path in chosen or () if path not in columns]
    if unknown:
        raise DatasetError(
            f"no column {', '.join(unknown)}; there are {', '.join(columns)}{did_you_mean(unknown[0], columns)}"
        )
    numbers = np.repeat(np.arange(len(episodes[START])), episodes[LENGTH])
    steps = np.arange(len(numbers)) - np.repeat(episodes[START], episodes[LENGTH])
    blocks = [pd.DataFrame({"episode": numbers, "step": steps}, copy=False)]
    blocks += [_block(path, columns[path]) for path in columns if chosen is None or path in chosen]
    return pd.concat(blocks, axis="columns")


def from_frame(frame: pd.DataFrame) -> tuple[Columns, tuple[Array, Array | None] | None]:
    """Return the columns of a frame, and its pieces: the rows that begin one, and the step of each row.

    There are no pieces where the frame does not tell, and no steps where it has none.

    Raises:
        DatasetError: a column is missing, comes twice, or holds no numbers.
    """
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise DatasetError(f"the frame has several columns named {', '.join(twice)}")
    if not len(frame):
        raise DatasetError("the frame holds no rows")
    frame = frame.set_axis(names, axis="columns")
    order = _together(frame)
    columns: Columns = {}
    for path, members, is_vector in groups(names):
        read = flags if path in {layout.TERMINALS, layout.TIMEOUTS} else plain
        parts = [read(frame[name]) for name in members]
        columns[path] = vector(parts) if is_vector else parts[0]
    missing = [
        name
        for name, root in _ROOTS.items()
        if name != "timeout" and not any(path == root or path.startswith(f"{root}/") for path in columns)
    ]
    if missing:
        raise DatasetError(
            f"the frame has no column {', '.join(missing)} (nor {missing[0]}_0 …); it has {', '.join(names)}"
            f"{did_you_mean(missing[0], names)}"
        )
    columns.setdefault(layout.TIMEOUTS, np.zeros(len(frame), np.bool_))
    if (wrong := non_finite_rows(columns.get(layout.ACTIONS, np.zeros(0)))).any():
        nothing = wrong & np.isnan(columns[layout.ACTIONS]).reshape(len(wrong), -1).any(axis=1)
        _refuse(nothing, "action")
    if order is not None:
        columns, frame = {path: values[order] for path, values in columns.items()}, frame.iloc[order]
    return columns, _pieces(frame)


def frame_name(path: str, shape: tuple[int, ...]) -> str:
    """Return the frame's name of a column whose rows have this shape; entries of a vector add ``_0 …`` to it."""
    root, _, key = path.partition("/")
    if root in _NAMES:
        return f"{_NAMES[root]}/{key}" if key else _NAMES[root]
    mistakable = key.partition("/")[0] in _RESERVED or _NUMBERED.fullmatch(key)
    return path if mistakable or shape == (0,) else key


def is_spread(path: str, shape: tuple[int, ...]) -> bool:
    """Return whether each entry of the column's rows has a column of its own in the frame."""
    return len(shape) == 1 and frame_name(path, shape) in _VECTORS | {path.removeprefix(f"{layout.INFOS}/")}


def frame_names(columns: LazyColumns) -> dict[str, tuple[str, int | None]]:
    """Return the frame's columns of numbers: each one's path, and its place in the rows of a vector. Reads nothing."""
    found: dict[str, tuple[str, int | None]] = {}
    for path in columns:
        shape = columns.shape(path)[1:]
        name = frame_name(path, shape)
        if not shape:
            found[name] = path, None
        elif is_spread(path, shape):
            found |= {f"{name}_{index}": (path, index) for index in range(shape[0])}
    return found


def _block(path: str, values: Array) -> pd.DataFrame:
    import pandas as pd

    name = frame_name(path, values.shape[1:])
    if values.ndim == 1:
        return pd.DataFrame({name: values})
    if is_spread(path, values.shape[1:]):
        return pd.DataFrame(values, columns=[f"{name}_{index}" for index in range(values.shape[1])])
    return pd.DataFrame({name: pd.Series(list(values), dtype=object)})


def groups(names: list[str], *, deep: bool = False) -> Iterator[tuple[str, list[str], bool]]:
    """Yield each column's path, the frame columns that make it, and whether they are the entries of a vector.

    Args:
        names: the frame's columns.
        deep: whether vectors of a Dict space are spread too (``observation/KEY_0 …``), as in files of numbers alone.
    """
    known = set(names)
    widths = {name[:-2]: _width(name[:-2], known) for name in names if name.endswith("_0")}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if (
            match is not None
            and _is_vector(match[1], known, deep)
            and _in_run(match[2], widths.get(match[1], 0))
        ):
            if match[2] == "0":
                yield _path(match[1]), [f"{match[1]}_{index}" for index in range(widths[match[1]])], True
        elif name not in {"episode", "step"}:
            yield _path(name), [name], False


def _is_vector(base: str, known: set[str], deep: bool) -> bool:
    root = base.partition("/")[0]
    return base not in known and (
        base in _VECTORS or root not in _RESERVED or (deep and root in _VECTORS and root != base)
    )


def _width(base: str, known: set[str]) -> int:
    return next(count for count in range(1, len(known) + 1) if f"{base}_{count}" not in known)


def _in_run(number: str, width: int) -> bool:
    return int(number) < width and str(int(number)) == number


def _path(name: str) -> str:
    first, _, key = name.partition("/")
    if first in _ROOTS:
        return f"{_ROOTS[first]}/{key}" if key else _ROOTS[first]
    return name if first == layout.INFOS else f"{layout.INFOS}/{name}"


def vector(parts: list[Array]) -> Array:
    """Return rows whose entries are the parts."""
    result = np.empty((len(parts[0]), len(parts)), np.result_type(*parts))
    for index, part in enumerate(parts):
        result[:, index] = part
    return result


def plain(series: pd.Series[Any]) -> Array:
    """Return a series as an array of numbers; an object column of arrays becomes one array.

    Raises:
        DatasetError: the values are no numbers, or arrays of different shapes; or one is missing that cannot be NaN.
    """
    numpy_dtype = getattr(series.dtype, "numpy_dtype", None)
    if numpy_dtype is not None:
        _refuse(series.isna().to_numpy(), series.name)
    values: Array = series.to_numpy() if numpy_dtype is None else series.to_numpy(dtype=numpy_dtype)
    if values.dtype.kind == "O":
        values = _stacked(series)
    if values.dtype.kind not in "biuf":
        raise DatasetError(f"the frame's column {series.name}: {series.dtype} values are no numbers")
    return values


def flags(series: pd.Series[Any]) -> Array:
    """Return a series of flags as numbers or booleans; words for true and false are read.

    Raises:
        DatasetError: a row holds nothing, or another word.
    """
    _refuse(series.isna().to_numpy(), series.name)
    values = series.to_numpy()
    if values.dtype.kind in "biuf" or getattr(series.dtype, "numpy_dtype", None) is not None:
        return plain(series)
    for row, cell in enumerate(values):
        if not isinstance(cell, str | bool | int | float | np.generic) or not is_truth(cell):
            raise DatasetError(
                f"the frame: row {row}: {series.name} is {printable(str(cell))[:40]!r}, neither true nor false: write "
                "true/false, yes/no or 1/0"
            )
    return truths(list(values))


def _stacked(series: pd.Series[Any]) -> Array:
    """Return an object column as one array: rows of numbers, or of arrays of one shape."""
    cells: list[Array] = []
    for row, cell in enumerate(series):
        try:
            cells.append(np.asarray(cell))
        except ValueError:
            raise DatasetError(
                f"the frame's column {series.name}: row {row} has lists of different lengths"
            ) from None
        if cells[row].dtype.kind not in "biuf":
            _refuse(series.isna().to_numpy(), series.name)
            raise DatasetError(
                f"the frame's column {series.name}: {series.dtype} values are no numbers, the first in row {row}"
            )
        if cells[row].shape != cells[0].shape:
            _refuse(series.isna().to_numpy(), series.name)
            raise DatasetError(
                f"the frame's column {series.name}: rows of different shapes, {cells[row].shape} in row {row} and "
                f"{cells[0].shape} in row 0"
            )
    return np.stack(cells)


def _refuse(missing: Array, name: object) -> None:
    """Raise a DatasetError that names the first row in which something is missing, if there is one."""
    if missing.any():
        raise DatasetError(
            f"the frame: row {int(np.argmax(missing))}: nothing in {name}: write it, or leave the row out"
        )


def _together(frame: pd.DataFrame) -> Array | None:
    """Return row numbers that put the rows of each episode together; None where they are, or where there are steps.

    Raises:
        DatasetError: a row lacks its episode or its step.
    """
    for name in ("episode", "step"):
        if name in frame:
            _refuse(frame[name].isna().to_numpy(), name)
    if "episode" not in frame or "step" in frame:
        return None
    numbers = frame["episode"].factorize()[0]
    return None if np.isin(np.diff(numbers), (0, 1)).all() else np.argsort(numbers, kind="stable")


def _pieces(frame: pd.DataFrame) -> tuple[Array, Array | None] | None:
    if "episode" not in frame and "step" not in frame:
        return None
    begins = np.zeros(len(frame) - 1, np.bool_)
    if "episode" in frame:
        numbers = frame["episode"].factorize()[0]
        begins |= numbers[1:] != numbers[:-1]
    steps = None
    if "step" in frame:
        steps = frame["step"].to_numpy()
        if steps.dtype.kind not in "iu" and not (steps.dtype.kind == "f" and are_whole_numbers(steps)):
            raise DatasetError(
                f"the frame's column step: {frame['step'].dtype} values do not count the steps of an episode: map it, "
                "as in columns={'step': 'step'}, settings={'step': 'order'}"
            )
        begins |= np.diff(steps.astype(np.int64)) != 1
    return np.flatnonzero(begins) + 1, steps
