"""Parquet tables in which a row is an episode: its cells are lists of steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.convert.sources.arrow import arrow_errors, is_list, numbers, pyarrow, read_blocks
from vinci_offline.convert.sources.parquet_sizes import check_parquet
from vinci_offline.convert.tables.episode_lines import Episode, holds_episodes, read_episodes
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.parts import Parts
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array


def episode_rows(files: Sequence[Path], context: ImportContext) -> Parts | None:
    """Return the parts of a dataset of which each row is an episode; None if rows are steps.

    Raises:
        DatasetError: a file is damaged, or an episode's arrays do not fit each other.
        UsageError: an option must say what rows are, or how episodes ended.
    """
    check_parquet(files[0], (), whole=False)
    with arrow_errors(files[0]), pyarrow().parquet.ParquetFile(files[0]) as file:
        schema = file.schema_arrow
    depths = {name: level for field in schema for name, level in _leaves(field.name, field.type, 0)}
    if not holds_episodes(depths, context):
        return None
    return read_episodes(list(depths), _episodes(files, schema.names), context)


def _episodes(files: Sequence[Path], columns: list[str]) -> Iterator[Episode]:
    row = 0
    for file in files:
        for table in read_blocks(file, columns):
            for index in range(len(table)):
                yield f"row {row}", partial(_arrays, file, table.slice(index, 1))
                row += 1


def _leaves(name: str, kind: Any, level: int) -> Iterator[tuple[str, int]]:
    """Yield the paths of a column's numbers, and how deep they lie in lists; a list of steps has no name."""
    types = pyarrow().types
    if is_list(kind):
        inner = kind.value_type
        if types.is_struct(inner):
            for field in inner:
                yield from _leaves(field.name, field.type, level + 1)
        else:
            yield from _leaves(name, inner, level + 1)
    elif types.is_struct(kind):
        for field in kind:
            yield from ((f"{name}/{path}", found) for path, found in _leaves(field.name, field.type, level))
    else:
        yield name, level


def _arrays(file: Path, row: Any) -> dict[str, Array]:
    """Return the numbers of a table of one row, and its lists of numbers that are alike, by name."""
    found: dict[str, Array] = {}
    with arrow_errors(file):
        for name, column in zip(row.schema.names, row.columns, strict=True):
            found |= dict(_values(name, column.combine_chunks(), f"{file}: {name}"))
    return found


def _values(name: str, values: Any, where: str) -> Iterator[tuple[str, Array]]:
    """Yield the arrays of a single cell."""
    pa = pyarrow()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks)
    if pa.types.is_struct(values.type):
        for field in values.type:
            inner = pa.compute.struct_field(values, field.name)
            yield from ((f"{name}/{path}", array) for path, array in _values(field.name, inner, where))
        return
    steps = values.flatten() if is_list(values.type) else values
    if pa.types.is_struct(steps.type):
        for field in steps.type:
            yield from _steps(field.name, pa.compute.struct_field(steps, field.name), where)
        return
    yield from _steps(name, steps, where)


def _steps(name: str, steps: Any, where: str) -> Iterator[tuple[str, Array]]:
    if pyarrow().types.is_struct(steps.type):
        for field in steps.type:
            inner = pyarrow().compute.struct_field(steps, field.name)
            yield from ((f"{name}/{path}", array) for path, array in _steps(field.name, inner, where))
        return
    try:
        array = numbers(steps, where)
    except DatasetError:  # texts, or lists of different lengths: no rows
        return
    if array.size:
        yield name, np.atleast_1d(array)
