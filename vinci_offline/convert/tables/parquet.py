"""Parquet files as a table (https://parquet.apache.org/docs/file-format/): columns of numbers, or lists of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.budget import limit
from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.sources.arrow import (
    arrow_errors,
    is_list,
    numbers,
    part,
    pyarrow,
    read_blocks,
    single,
)
from vinci_offline.convert.sources.parquet_sizes import check_parquet
from vinci_offline.convert.tables.arrow_cells import ArrowCells
from vinci_offline.convert.tables.cells import SETTINGS, TableRows, say_filled, stand_in
from vinci_offline.convert.tables.episode_lines import ROWS
from vinci_offline.convert.tables.parquet_episodes import episode_rows
from vinci_offline.convert.tables.spread import LOST, spread_blocks, spread_names
from vinci_offline.data.assembly.bad_rows import BadRows
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.mapping import choose, wanted
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.assembly.table import from_table
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError
from vinci_offline.files import disk_errors, make_folder, published, refuse_existing
from vinci_offline.text import printable
from vinci_offline.types import Array

_MAGIC = b"PAR1"
_FREE_VALUES = 2**25
_BEST_RATIO = 1100
"""Values a byte: columns that repeat themselves pack better still, but not a whole table of logged rows."""
_MOST_ENTRIES = 2**16
_INDEX = re.compile(r"__index_level_\d+__")


class ParquetFormat(Format):
    """A file of one table, or a folder of its parts; objects and lists are ``NAME/KEY`` or ``NAME_0 …``."""

    name = "parquet"
    title = "a Parquet table"
    suffixes = (".parquet",)
    maps = True

    def recognises(self, path: Path) -> bool:
        """Tell whether it begins and ends as such a file, or is a folder of such files."""
        if path.is_dir():
            return bool(parts := _part_files(path)) and self.recognises(parts[0])
        try:
            with path.open("rb") as file:
                begins = file.read(4) == _MAGIC
                file.seek(-4, 2)
                return begins and file.tell() > 0 and file.read(4) == _MAGIC
        except OSError:
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; ``options.columns`` says which column is which."""
        self.check_settings(options.settings, (*SETTINGS, ROWS))
        context = ImportContext(path, options)
        files = _files(path, context)
        if (found := episode_rows(files, context)) is not None:
            return Imported.of(found)
        fill, is_wanted = stand_in(options.settings), wanted(options.columns)
        rows: TableRows | None = None
        names, left_out = _names(files[0], is_wanted, context)
        for table in _blocks(files, names, left_out, is_wanted):
            flat = _flat(table, is_wanted, context.where)
            if rows is None:
                choice = choose([*flat, *left_out], options.columns, context.where)
                rows = TableRows(choice, context)
                bad = BadRows(choice, context)
                cells = {name: ArrowCells(name, path, rows.roles[name], fill) for name in rows.names}
            if missing := [name for name in rows.names if name not in flat]:
                raise DatasetError(f"{path}: {printable(missing[0])} has rows of different lengths")
            rows.append(
                {
                    name: bad.read(
                        column, partial(_some, column, flat[name], rows.count), len(flat[name]), rows.count
                    )
                    for name, column in cells.items()
                }
            )
        if rows is None:
            raise DatasetError(f"{path} holds no rows: there is nothing to convert")
        say_filled({name: column.filled for name, column in cells.items()}, context)
        return Imported.of(from_table(bad.dropped(rows.columns()), choice, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export the frame of `Dataset.to_pandas`, the vectors of Dict spaces as columns too."""
        self.check_settings(options.settings)
        pa = pyarrow()
        names = spread_names(dataset, "parquet")
        kinds = {
            name: _kind(dataset.columns.dtype(column)) for column, found in names.items() for name in found
        }
        schema = pa.schema({"episode": pa.int64(), "step": pa.int64()} | kinds)
        refuse_existing(path, overwrite=options.overwrite)
        with disk_errors(path):
            make_folder(path.parent)
            with published(path) as temporary, _writer(temporary, schema) as file:
                for block in spread_blocks(dataset, names):
                    arrays = [
                        pa.array(np.ascontiguousarray(block[field.name]), field.type) for field in schema
                    ]
                    file.write_table(pa.table(arrays, schema=schema))
        return Exported(path, (f"{len(dataset):,} rows, a column for every number",), LOST)


def _some(column: ArrowCells, values: Any, first_row: int, places: Array | None) -> Array | list[str]:
    """Return the cells at some places, converted; None for all."""
    if places is None:
        return column.values(values, first_row)
    some = values[places] if isinstance(values, np.ndarray) else values.take(pyarrow().array(places))
    return column.values(some, first_row + int(places[0]))


def _part_files(folder: Path) -> list[Path]:
    """Return the Parquet files of a folder, in the order of the numbers in their names."""
    files = [each for each in folder.iterdir() if each.suffix == ".parquet" and each.name[0] not in "._"]
    return sorted(files, key=lambda file: [text.zfill(20) for text in re.split(r"(\d+)", file.name)])


def _files(path: Path, context: ImportContext) -> list[Path]:
    """Return the files of a table: one, or the parts in a folder.

    Raises:
        DatasetError: there are none.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DatasetError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    if not (files := _part_files(path)):
        raise DatasetError(f"{path} is a folder without .parquet files: there is nothing to convert")
    context.decide(f"{len(files)} files, in the order of their names")
    return files


def _blocks(
    files: Sequence[Path], names: list[str], left_out: list[str], is_wanted: Callable[[str], bool]
) -> Iterator[Any]:
    """Yield the rows of files of the same columns in tables."""
    for number, file in enumerate(files):
        if number and _names(file, is_wanted, ImportContext(file)) != (names, left_out):
            raise DatasetError(f"{file} has other columns than {files[0].name}: convert such files apart")
        yield from read_blocks(file, names)


def _writer(path: Path, schema: Any) -> Any:
    return pyarrow().parquet.ParquetWriter(path, schema, write_page_checksum=True)


def _kind(dtype: np.dtype[Any]) -> Any:
    """Return a column's type in the file. Half precision becomes single: few tools read it."""
    pa = pyarrow()
    return pa.float32() if dtype == np.float16 else pa.from_numpy_dtype(dtype)


def _names(
    path: Path, is_wanted: Callable[[str], bool], context: ImportContext
) -> tuple[list[str], list[str]]:
    """Return the columns that may be taken, and the others."""
    pa = pyarrow()
    check_parquet(path, (), whole=False)
    with arrow_errors(path), pa.parquet.ParquetFile(path) as file:
        schema, metadata = file.schema_arrow, file.metadata
    # Not the sum over column chunks: pyarrow ends the process where the metadata of a damaged one is asked for.
    claimed = metadata.num_rows * metadata.num_columns
    if claimed > max(_FREE_VALUES, _BEST_RATIO * path.stat().st_size):
        raise DatasetError(
            f"{path} claims {claimed:,} values: more than a table of logged rows has in so few bytes"
        )
    if len(set(schema.names)) < len(schema.names):
        choose(schema.names, {}, str(path))
    indices = [name for name in schema.names if _INDEX.fullmatch(name)]
    if indices:
        context.decide("the index of the frame that was written was left out")
    found = [
        field.name
        for field in schema
        if field.name not in indices and _may_be_wanted(field.name, field.type, is_wanted)
    ]
    return found, [name for name in schema.names if name not in found and name not in indices]


def _flat(table: Any, is_wanted: Callable[[str], bool], where: str) -> dict[str, Any]:
    """Return single columns by name: Arrow arrays, and arrays of numbers that were entries of lists."""
    flat: dict[str, Any] = {}
    for name, column in zip(table.schema.names, table.columns, strict=True):
        for entry, values in _spread(name, single(column), is_wanted, where):
            if entry in flat:
                raise DatasetError(f"{where} has several columns named {printable(entry)}")
            flat[entry] = values
    return flat


def _may_be_wanted(name: str, kind: Any, is_wanted: Callable[[str], bool]) -> bool:
    if pyarrow().types.is_struct(kind):
        return any(_may_be_wanted(f"{name}/{field.name}", field.type, is_wanted) for field in kind)
    return is_wanted(f"{name}_0") if is_list(kind) else is_wanted(name)


def _spread(
    name: str, values: Any, is_wanted: Callable[[str], bool], where: str
) -> Iterator[tuple[str, Any]]:
    """Yield single columns: Arrow arrays, and arrays of numbers that were entries of lists."""
    if not _may_be_wanted(name, values.type, is_wanted):
        return
    if pyarrow().types.is_struct(values.type):
        for field in values.type:
            yield from _spread(f"{name}/{field.name}", part(values, field.name), is_wanted, where)
    elif is_list(values.type):
        rows = numbers(values, f"{where}: {printable(name)}")
        if rows.ndim > 2:
            raise DatasetError(
                f"{where}: {printable(name)} has rows of shape {list(rows.shape[1:])}, not vectors"
            )
        limit(where, f"entries in each row of {printable(name)}", rows.shape[1], _MOST_ENTRIES)
        yield from ((f"{name}_{index}", rows[:, index]) for index in range(rows.shape[1]))
    elif pyarrow().types.is_dictionary(values.type):
        yield name, values.dictionary_decode()
    else:
        yield name, values
