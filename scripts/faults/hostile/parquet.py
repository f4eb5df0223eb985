"""Parquet and Arrow files. Some are written byte by byte: no writer would."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hostile.frame import ARTIFACT, Reading, attack
from hostile.tables import ROWS, converted

I32, I64, TEXT, LIST, STRUCT = 5, 6, 8, 9, 12
DOUBLE, GZIP = 5, 2


def table(**changed: Any) -> pa.Table:
    """Return a sound table, with other columns."""
    numbers = np.arange(ROWS)
    columns = {
        "observation": [[each / 7, each / 5] for each in range(ROWS)],
        "action": pa.array(numbers / ROWS),
        "reward": pa.array(numbers * 1.0),
        "terminal": pa.array(numbers % 50 == 49),
        "timeout": pa.array(np.zeros(ROWS, np.bool_)),
    }
    return pa.table({**columns, **changed})


def written(folder: Path, content: pa.Table, **options: Any) -> Path:
    pq.write_table(content, folder / "data.parquet", **options)
    return folder / "data.parquet"


def varint(value: int) -> bytes:
    found = b""
    while value > 127:
        found, value = found + bytes([value & 127 | 128]), value >> 7
    return found + bytes([value])


def packed(kind: int, value: Any) -> bytes:
    """Return a value in Thrift's compact protocol; a structure is a list of (number, kind, value)."""
    if kind in (I32, I64):
        return varint((value << 1) ^ (value >> 63))
    if kind == TEXT:
        return varint(len(value)) + bytes(value)
    if kind == LIST:
        inner, values = value
        return bytes([0xF0 | inner]) + varint(len(values)) + b"".join(packed(inner, each) for each in values)
    found, last = b"", 0
    for number, inner, each in value:
        found, last = found + bytes([(number - last) << 4 | inner]) + packed(inner, each), number
    return found + b"\0"


def page(values: int, content: bytes, unfolded: int | None = None) -> bytes:
    """Return a page of plain numbers with its header."""
    about = [(1, I32, values), (2, I32, 0), (3, I32, 3), (4, I32, 3)]
    size = len(content) if unfolded is None else unfolded
    return packed(STRUCT, [(1, I32, 0), (2, I32, size), (3, I32, len(content)), (5, STRUCT, about)]) + content


def by_hand(
    folder: Path,
    pages: bytes,
    *,
    rows: int = ROWS,
    values: int = ROWS,
    codec: int = 0,
    groups: int = 1,
    names: tuple[str, ...] = ("observation_0", "action_0", "reward"),
    nodes: list[Any] | None = None,
    remark: bytes = b"",
) -> Path:
    """Write a file whose columns all have the same pages, as often as there are groups."""
    leaf = [[(1, I32, DOUBLE), (3, I32, 0), (4, TEXT, name.encode())] for name in names]
    schema = nodes or [[(4, TEXT, b"schema"), (5, I32, len(names))], *leaf]
    chunks = [
        [
            (2, I64, 4),
            (
                3,
                STRUCT,
                [
                    (1, I32, DOUBLE),
                    (2, LIST, (I32, [0])),
                    (3, LIST, (TEXT, [name.encode()])),
                    (4, I32, codec),
                    (5, I64, values),
                    (6, I64, len(pages)),
                    (7, I64, len(pages)),
                    (9, I64, 4),
                ],
            ),
        ]
        for name in names
    ]
    group = [(1, LIST, (STRUCT, chunks)), (2, I64, len(pages)), (3, I64, rows)]
    one = packed(STRUCT, group)
    remarks = [[(1, TEXT, b"remark"), (2, TEXT, remark)]] if remark else []
    footer = (
        packed(STRUCT, [(1, I32, 2), (2, LIST, (STRUCT, schema)), (3, I64, rows * groups)])[:-1]
        + bytes([0x19, 0xF0 | STRUCT])
        + varint(groups)
        + one * groups
        + packed(STRUCT, [(1, LIST, (STRUCT, remarks))])
    )
    path = folder / "data.parquet"
    path.write_bytes(b"PAR1" + pages + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return path


def numbers(count: int = ROWS) -> bytes:
    return np.linspace(0, 0.9, count).tobytes()


@attack
def parquet_that_is_sound(folder: Path) -> Reading:
    return converted(written(folder, table()), sound=True)


@attack
def parquet_by_hand_that_is_sound(folder: Path) -> Reading:
    """A sound file, written byte by byte as the lying ones below are."""
    return converted(by_hand(folder, page(ROWS, numbers())), "--ends", "terminal", sound=True)


@attack
def parquet_of_a_packed_list(folder: Path) -> Reading:
    """Lists of 60 million equal numbers in a few kilobytes."""
    count = 600_000
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(ROWS + 1, dtype=np.int32) * count), pa.array(np.zeros(ROWS * count))
    )
    return converted(written(folder, table(observation=lists)))


@attack
def parquet_of_wide_rows(folder: Path) -> Reading:
    """Vectors of 200,000 numbers are not 200,000 columns."""
    count = 200_000
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(ROWS + 1, dtype=np.int32) * count), pa.array(np.zeros(ROWS * count, np.int8))
    )
    return converted(written(folder, table(observation=lists)))


@attack
def parquet_of_packed_texts(folder: Path) -> Reading:
    """A text of 10 MB, in a dictionary, for each of 100 rows."""
    texts = pa.array(["x" * 10**7] * ROWS)
    return converted(
        written(folder, table(remark=texts)), "--set", "categories=remark", "--map", "observation=remark"
    )


@attack
def parquet_of_texts_with_one_beginning(folder: Path) -> Reading:
    """100 texts of 20 MB that differ in their ends, packed by their beginnings."""
    texts = pa.array(["x" * 2 * 10**7 + str(each) for each in range(ROWS)])
    path = written(
        folder,
        table(episode=texts),
        use_dictionary=["reward"],
        column_encoding={"episode": "DELTA_BYTE_ARRAY"},
        compression="zstd",
    )
    return converted(path, "--ends", "terminal")


@attack
def parquet_of_a_packed_page(folder: Path) -> Reading:
    """A page of 1.5 GB in 1.5 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = b"".join(packer.compress(bytes(10**6)) for _ in range(1500)) + packer.flush()
    return converted(by_hand(folder, page(ROWS, content, 1500 * 10**6), codec=GZIP))


@attack
def parquet_whose_page_lies(folder: Path) -> Reading:
    """A page that says it unfolds to 2 GiB."""
    return converted(by_hand(folder, page(ROWS, zlib.compress(numbers()), 2**31 - 1), codec=GZIP))


@attack
def parquet_of_too_many_values(folder: Path) -> Reading:
    """A page of 100 numbers that says it has 2 billion."""
    return converted(by_hand(folder, page(2 * 10**9, numbers()), values=2 * 10**9), "--ends", "terminal")


@attack
def parquet_of_too_many_rows(folder: Path) -> Reading:
    return converted(by_hand(folder, page(ROWS, numbers()), rows=10**12))


@attack
def parquet_of_negative_sizes(folder: Path) -> Reading:
    return converted(by_hand(folder, page(-5, numbers(), -1), rows=-5, values=-5), "--ends", "terminal")


@attack
def parquet_of_a_page_beyond_its_file(folder: Path) -> Reading:
    head = packed(
        STRUCT,
        [
            (1, I32, 0),
            (2, I32, 800),
            (3, I32, 2**31 - 1),
            (5, STRUCT, [(1, I32, 100), (2, I32, 0), (3, I32, 3), (4, I32, 3)]),
        ],
    )
    return converted(by_hand(folder, head + numbers()))


@attack
def parquet_of_many_groups(folder: Path) -> Reading:
    """50,000 groups of rows that all lie at one place."""
    return converted(by_hand(folder, page(ROWS, numbers()), groups=50_000))


@attack
def parquet_of_many_columns(folder: Path) -> Reading:
    names = tuple(f"c{each}" for each in range(100_000))
    return converted(by_hand(folder, page(ROWS, numbers()), names=names))


@attack
def parquet_of_deep_groups(folder: Path) -> Reading:
    """A column in 100,000 groups, one in the other."""
    nodes = [[(3, I32, 0), (4, TEXT, b"a"), (5, I32, 1)] for _ in range(100_000)]
    return converted(
        by_hand(
            folder, page(ROWS, numbers()), nodes=[*nodes, [(1, I32, DOUBLE), (3, I32, 0), (4, TEXT, b"a")]]
        )
    )


@attack
def parquet_of_children_that_are_not_there(folder: Path) -> Reading:
    nodes = [[(4, TEXT, b"schema"), (5, I32, 2**31 - 1)], [(1, I32, DOUBLE), (3, I32, 0), (4, TEXT, b"a")]]
    return converted(by_hand(folder, page(ROWS, numbers()), nodes=nodes))


@attack
def parquet_of_a_long_remark(folder: Path) -> Reading:
    return converted(by_hand(folder, page(ROWS, numbers()), remark=bytes(10**8)))


@attack
def parquet_of_pickled_types(folder: Path) -> Reading:
    """Arrow's description of the schema names a pickled type, as pyarrow itself once unpickled."""
    content = table()
    pickled = f"cbuiltins\nopen\n(V{ARTIFACT}\nVw\ntR.".encode()
    marks = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickled}
    field = pa.field("reward", pa.float64(), metadata=marks)
    schema = content.schema.set(content.schema.get_field_index("reward"), field)
    return converted(written(folder, content.cast(schema)), sound=True)


@attack
def parquet_of_a_lying_fixed_list(folder: Path) -> Reading:
    """Arrow's description says that lists have a billion entries; those in the pages have two."""
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(2 * ROWS)), 2)
    content = table(observation=lists)
    wrong = content.schema.set(0, pa.field("observation", pa.list_(pa.float64(), 10**9)))
    with pq.ParquetWriter(folder / "data.parquet", content.schema, store_schema=False) as file:
        file.write_table(content)
        file.add_key_value_metadata({"ARROW:schema": base64.b64encode(wrong.serialize().to_pybytes())})
    return converted(folder / "data.parquet")
