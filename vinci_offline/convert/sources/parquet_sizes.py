"""What a Parquet file asks for in memory (https://parquet.apache.org/docs/file-format/), read from its headers alone.

A run of a million equal values takes a few bytes, and a page says itself how many bytes it unfolds to. pyarrow believes
all of it. So the headers of all pages that will be read are looked at before pyarrow is asked for one.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vinci_offline.budget import Tally, limit
from vinci_offline.convert.sources.thrift import Thrift
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable

_MAGIC = b"PAR1"
_LARGEST_FOOTER = 2**23
_MOST_COLUMNS = 2**16
_DEEPEST = 50
_HEADER_BYTES = 2**12
_LARGEST_HEADER = 2**20
_WIDTHS = {0: 1, 1: 4, 2: 8, 3: 12, 4: 4, 5: 8}
"""Bytes of a value by its physical type; 6 is a text of any length, 7 one of a given length."""
_TEXT, _FIXED = 6, 7
_LEVELS = 8
"""Bytes that a value in a list takes besides itself while it is read."""
_DATA, _DICTIONARY, _DATA_2 = 0, 2, 3
_BY_DICTIONARY, _BY_PREFIX = (2, 8), 7
_CODECS = {1: "snappy", 2: "gzip", 4: "brotli", 6: "zstd", 7: "lz4_raw"}
_REPEATED = 2
_SCHEMA, _ROW_GROUPS = 2, 4


@dataclass(frozen=True)
class _Leaf:
    """A column of single values.

    Attributes:
        name: of the column that it is a part of.
        in_lists: whether a row may have any number of values.
    """

    name: str
    kind: int
    width: int
    in_lists: bool


@dataclass
class _Chunk:
    """What the pages of a leaf in a group of rows unfold to.

    Attributes:
        values: in all data pages.
        text_bytes: of texts, if they are all there at once.
        page: bytes of the largest page.
        read: bytes of the pages in the file.
    """

    values: int = 0
    text_bytes: int = 0
    page: int = 0
    read: int = 0
    longest: int = field(default=0, repr=False)


def check_parquet(path: Path, columns: Collection[str] | None = None, *, whole: bool) -> None:
    """Refuse a Parquet file that asks for more memory than its bytes can honestly hold.

    Args:
        path: the file.
        columns: those that will be read; None for all.
        whole: whether all rows will be in memory at one time; otherwise a block of them.

    Raises:
        DatasetError: it asks for too much, or its headers are damaged.
    """
    with _headers(path), path.open("rb") as file:
        present = os.fstat(file.fileno()).st_size
        tally, read = Tally(str(path), present), 0
        asked: dict[int, int] = {}
        for leaves, group in _groups(path, file, present):
            if len(group[1]) != len(leaves):
                raise ValueError("a group of rows without some columns")
            for number, leaf in enumerate(leaves):
                if columns is None or leaf.name in columns:
                    chunk = _chunk(file, leaf, group[1][number][3], present)
                    read += chunk.read
                    if read > present:
                        raise ValueError("columns that lie at one place")
                    mine, before = _asked(leaf, chunk, whole=whole), asked.get(number, 0)
                    asked[number] = before + mine if whole else max(before, mine)
        for number, size in asked.items():
            tally.add(f"the column {printable(leaves[number].name)[:60]}", size)


def _asked(leaf: _Leaf, chunk: _Chunk, *, whole: bool) -> int:
    """Return the bytes that a leaf takes in memory."""
    values = chunk.values * (leaf.width + _LEVELS * leaf.in_lists)
    held = values + chunk.text_bytes if whole or leaf.in_lists or leaf.kind in (_TEXT, _FIXED) else 0
    return held + 2 * chunk.page


@contextmanager
def _headers(path: Path) -> Iterator[None]:
    try:
        yield
    except (IndexError, KeyError, TypeError, ValueError, AttributeError, OSError) as error:
        raise DatasetError(
            f"{path} is no Parquet file, or damaged ({printable(str(error))[:100]}): copy or write it again"
        ) from error


def _groups(path: Path, file: Any, present: int) -> Iterator[tuple[list[_Leaf], dict[int, Any]]]:
    """Yield the columns of single values with each group of rows, one after the other: a file may have thousands."""
    file.seek(max(0, present - 8))
    end = file.read(8)
    size = int.from_bytes(end[:4], "little")
    if end[4:] != _MAGIC or size > present - 12:
        raise ValueError("it does not end as such a file does")
    limit(str(path), "bytes of description at its end", size, _LARGEST_FOOTER)
    file.seek(present - 8 - size)
    reader, leaves = Thrift(file.read(size)), None
    for number, kind in reader.fields():
        if number == _ROW_GROUPS:
            if leaves is None:
                raise ValueError("groups of rows before the columns")
            yield from ((leaves, group) for group in reader.structs())
        else:
            value = reader.value(kind)
            leaves = _leaves(path, value) if number == _SCHEMA else leaves
    if leaves is None:
        raise ValueError("no columns")


def _leaves(path: Path, schema: Sequence[dict[int, Any]]) -> list[_Leaf]:
    """Return the columns of single values, in the order of their chunks."""
    limit(str(path), "columns", len(schema), _MOST_COLUMNS)
    leaves: list[_Leaf] = []
    open_groups = [[schema[0].get(5, 0), "", False]]  # children that are still to come, column, in lists
    for node in schema[1:]:
        while open_groups and not open_groups[-1][0]:
            open_groups.pop()
        if not open_groups or len(open_groups) > _DEEPEST:
            raise ValueError(f"columns that are nested more than {_DEEPEST} deep, or belong nowhere")
        open_groups[-1][0] -= 1
        name = open_groups[-1][1] or node[4].decode("utf-8", "replace")
        in_lists = open_groups[-1][2] or node.get(3) == _REPEATED
        if node.get(5):
            open_groups.append([node[5], name, in_lists])
        else:
            kind = node[1]
            width = max(0, node.get(2, 0)) if kind == _FIXED else _WIDTHS.get(kind, 8)
            leaves.append(_Leaf(name, kind, width, in_lists))
    return leaves


def _chunk(file: Any, leaf: _Leaf, described: dict[int, Any], present: int) -> _Chunk:
    """Look at the headers of all pages of a chunk, as far as pyarrow would."""
    place, expected = described[9], described[5]
    if 0 < described.get(11, 0) < place:
        place = described[11]
    found, end = _Chunk(), min(present, place + described[7] + 100)
    while found.values < expected and 0 <= place < end:
        header, size = _page_header(file, place)
        place, packed, unfolded = place + size, header[3], header[2]
        if packed < 0 or unfolded < 0 or place + packed > present:
            raise ValueError("a page of more bytes than there are")
        found.read += size + packed
        found.page = max(found.page, unfolded)
        if header[1] == _DICTIONARY and leaf.kind == _TEXT:
            found.longest = _longest(file, place, header, described[4])
        elif header[1] in (_DATA, _DATA_2):
            about = header[5 if header[1] == _DATA else 8]
            if about[1] < 0:
                raise ValueError("a page of less than no values")
            found.values += about[1]
            encoding = about[2 if header[1] == _DATA else 4]
            if encoding in _BY_DICTIONARY:
                found.text_bytes += about[1] * found.longest
            elif leaf.kind == _TEXT:
                found.text_bytes += unfolded * (about[1] if encoding == _BY_PREFIX else 1)
        place += packed
    return found


def _page_header(file: Any, place: int) -> tuple[dict[int, Any], int]:
    """Return the header of a page, and its size; statistics may make it long."""
    size = _HEADER_BYTES
    while True:
        content = os.pread(file.fileno(), size, place)
        reader = Thrift(content)
        try:
            return reader.struct(), reader.place
        except IndexError:
            if len(content) < size or size > _LARGEST_HEADER:
                raise
            size *= 16


def _longest(file: Any, place: int, header: dict[int, Any], codec: int) -> int:
    """Return the bytes of the longest text of a dictionary; those of the whole page where it cannot be unfolded."""
    import pyarrow as pa

    content: bytes = os.pread(file.fileno(), header[3], place)
    size: int = header[2]
    if codec in _CODECS and size <= _LARGEST_FOOTER:
        try:
            content = pa.decompress(content, size, _CODECS[codec], asbytes=True)
        except (pa.ArrowException, OSError, ValueError):
            return size
    elif codec:
        return size
    longest = start = 0
    while start + 4 <= len(content):
        length = int.from_bytes(content[start : start + 4], "little")
        longest, start = max(longest, length), start + 4 + length
    return min(longest, size)
