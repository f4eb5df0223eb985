"""Untrusted Arrow and Parquet files. Every offset of a table is checked before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.convert.sources.arrow_sizes import check_arrow
from vinci_offline.convert.sources.parquet_sizes import check_parquet
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import printable
from vinci_offline.types import Array

_BLOCK_BYTES = 2**22
_BLOCK_ROWS = 2**16
_PROBE_ROWS = 64
_BUFFER_BYTES = 2**16


def pyarrow() -> Any:
    """Return the package.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise UsageError("Arrow and Parquet files need pyarrow: pip install 'vinci-offline[arrow]'") from None
    return pyarrow


def read_table(path: Path, columns: list[str] | None = None) -> Any:
    """Read the table of an Arrow (``.arrow``) or Parquet file; of a Parquet file, those of ``columns`` that it has.

    Raises:
        DatasetError: it is missing, none, or damaged.
        UsageError: pyarrow is not installed.
    """
    pa = pyarrow()
    if not path.is_file():
        raise DatasetError(f"{path} does not exist")
    if path.suffix == ".parquet":
        check_parquet(path, columns, whole=True)
    else:
        check_arrow(path)
    with arrow_errors(path):
        if path.suffix == ".parquet":
            table = pa.parquet.ParquetFile(path, page_checksum_verification=True).read(columns)
        else:
            with pa.OSFile(str(path)) as source:
                table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)
    return table


def read_blocks(path: Path, columns: list[str]) -> Iterator[Any]:
    """Yield the rows of a Parquet file in tables of about 4 MiB, with those of ``columns`` that it has.

    Raises:
        DatasetError: it is missing, none, or damaged.
        UsageError: pyarrow is not installed.
    """
    pa = pyarrow()
    if not path.is_file():
        raise DatasetError(f"{path} does not exist")
    check_parquet(path, columns, whole=False)
    with arrow_errors(path), path.open("rb") as source:
        # A buffer, so that of a row group only the pages under way are in memory.
        file = pa.parquet.ParquetFile(
            source, page_checksum_verification=True, buffer_size=_BUFFER_BYTES, pre_buffer=False
        )
        names = [name for name in dict.fromkeys(file.schema_arrow.names) if name in columns]
        probe = next(file.iter_batches(_PROBE_ROWS, columns=names), None)
        if probe is None or not len(probe):
            return
        count = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES * len(probe) // max(1, probe.nbytes)))
        for batch in file.iter_batches(count, columns=names):
            batch.validate(full=True)
            yield pa.Table.from_batches([batch])


@contextmanager
def arrow_errors(path: Path) -> Iterator[None]:
    """Turn pyarrow's errors into a DatasetError.

    Raises:
        DatasetError: the file is damaged.
    """
    try:
        yield
    except (
        pyarrow().ArrowException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        MemoryError,
        OverflowError,
    ) as error:
        reason = printable(" ".join(str(error).split()))[:200]
        raise DatasetError(f"{path} is no Arrow or Parquet file, or damaged ({reason})") from error


def single(column: Any) -> Any:
    """Return a column's chunks as one array; of an extension type, its storage."""
    pa = pyarrow()
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks)
    return whole.storage if isinstance(whole, pa.ExtensionArray) else whole


def part(values: Any, name: str) -> Any | None:
    """Return a named part of structs; None if there is none."""
    pa = pyarrow()
    if not pa.types.is_struct(values.type) or values.type.get_field_index(name) < 0:
        return None
    return pa.compute.struct_field(values, name)


def is_list(kind: Any) -> bool:
    """Tell whether a type is one of lists."""
    types = pyarrow().types
    return any((types.is_list(kind), types.is_large_list(kind), types.is_fixed_size_list(kind)))


def numbers(values: Any, where: str, shape: tuple[int, ...] | None = None) -> Array:
    """Return rows of numbers: single ones, or lists of one length.

    Args:
        values: an Arrow array.
        where: what it is, for messages.
        shape: of a row; by default the lengths of the lists.

    Raises:
        DatasetError: it holds something else, or nothing in some row.
    """
    pa, count, sizes = pyarrow(), len(values), []
    kinds = pa.types
    while (
        kinds.is_fixed_size_list(values.type)
        or kinds.is_list(values.type)
        or kinds.is_large_list(values.type)
    ):
        rows = len(values)
        if values.null_count:
            raise DatasetError(f"{where} is empty in some rows")
        if not kinds.is_fixed_size_list(values.type):
            lengths = np.diff(values.offsets.to_numpy(zero_copy_only=False))
            if len(lengths) and (lengths != lengths[0]).any():
                raise DatasetError(f"{where} has rows of different lengths")
        values = values.flatten()
        sizes.append(len(values) // rows if rows else 0)
    wanted = (count, *(sizes if shape is None else shape))
    if values.null_count:
        raise DatasetError(f"{where} is empty in some rows")
    if not (kinds.is_integer(values.type) or kinds.is_floating(values.type) or kinds.is_boolean(values.type)):
        raise DatasetError(f"{where} holds {values.type} values, not numbers")
    found: Array = values.to_numpy(zero_copy_only=False)
    if found.size != math.prod(wanted):
        raise DatasetError(
            f"{where} has {found.size} numbers in {count} rows, not rows of shape {wanted[1:]}"
        )
    return found.reshape(wanted)


def lists(values: Array) -> Any:
    """Return rows of any shape as fixed-size lists."""
    pa = pyarrow()
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    kind = pa.list_(pa.from_numpy_dtype(flat.dtype), flat.shape[1])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), type=kind)
