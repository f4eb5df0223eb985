"""Find rows that repeat an earlier row exactly, among any number of rows in bounded memory.

Rows are hashed to 64 bits in one read. Many hashes go to a temporary file. They are searched part by part; a part holds
the hashes with the same last bits. Rows of equal hashes are compared byte by byte.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.columns import BLOCK_BYTES, LazyColumns
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.hdf5.inspect import Structure
from vinci_offline.data.problem import Finding, Note
from vinci_offline.quality.checks.row_hash import RowHash, row_bytes
from vinci_offline.text import counted
from vinci_offline.types import Array

PART_ROWS = 2**21
"""Hashes searched at a time: about 60 MB at the peak, and 200 MB if all rows are repeated."""
_HASH_BYTES = 8


def duplicate_findings(dataset: Dataset, structure: Structure) -> Iterator[Finding]:
    """Find transitions that the file holds more than once."""
    count, first, earlier = 0, -1, -1
    for rows, originals in duplicates(dataset.columns):
        lowest = int(np.argmin(rows))
        if not count or rows[lowest] < first:
            first, earlier = int(rows[lowest]), int(originals[lowest])
        count += len(rows)
    if count:
        what = (
            f"{counted(count, 'row')} that repeat an earlier transition exactly, here that of row {earlier}"
        )
        advice = "they count more than once in training; --repair OUT --drop-duplicates leaves them out"
        yield Note(f"columns row {first}", what, advice)


def duplicates(columns: LazyColumns) -> Iterator[tuple[Array, Array]]:
    """Find rows that repeat the transition of an earlier row, and those earlier rows.

    A transition is ``(s, a, r, s', terminal)``, compared by its bytes; timeouts and infos may differ.

    Args:
        columns: any number of rows.

    Yields:
        ``[M]`` rows and ``[M]`` the first row that each of them equals, part by part.
    """
    paths = [path for path in columns if path.partition("/")[0] not in {layout.TIMEOUTS, layout.INFOS}]
    count = columns.shape(layout.REWARDS)[0]
    parts = 1 << max(0, (count - 1) // PART_ROWS).bit_length()
    with tempfile.SpooledTemporaryFile(max_size=PART_ROWS * _HASH_BYTES) as file:
        hashing = RowHash()
        for _, block in columns.together(paths):
            file.write(hashing(block).tobytes())
        for part in range(parts):
            rows, hashes = _part(file, count, part, parts)
            yield from _equal_rows(columns, paths, rows, hashes)


def _part(
    file: tempfile.SpooledTemporaryFile[bytes], count: int, part: int, parts: int
) -> tuple[Array, Array]:
    """Return the rows whose hash occurs more than once in the part, and their hashes, in the order of the hashes."""
    rows, hashes = [], []
    file.seek(0)
    for start in range(0, count, BLOCK_BYTES // _HASH_BYTES):
        block = np.frombuffer(file.read(BLOCK_BYTES), np.uint64)
        chosen = np.flatnonzero((block & np.uint64(parts - 1)) == part)
        rows.append(start + chosen)
        hashes.append(block[chosen])
    row, value = np.concatenate(rows), np.concatenate(hashes)
    ascending = np.sort(value)
    repeated = ascending[1:][ascending[1:] == ascending[:-1]]
    del ascending
    members = np.isin(value, repeated) if len(repeated) else np.zeros(len(value), np.bool_)
    row, value = row[members], value[members]
    order = np.argsort(value, kind="stable")
    return row[order], value[order]


def _equal_rows(
    columns: LazyColumns, paths: list[str], rows: Array, hashes: Array
) -> Iterator[tuple[Array, Array]]:
    """Compare each row with the first row of its hash; then the rows that differ with the first of them, and so on."""
    while len(rows):
        begins = np.flatnonzero(np.append(True, hashes[1:] != hashes[:-1]))
        first = np.repeat(rows[begins], np.diff(begins, append=len(rows)))
        others = rows != first
        rows, hashes, first = rows[others], hashes[others], first[others]
        equal = _equal(columns, paths, rows, first)
        if equal.any():
            yield rows[equal], first[equal]
        rows, hashes = rows[~equal], hashes[~equal]


def _equal(columns: LazyColumns, paths: list[str], rows: Array, others: Array) -> Array:
    """Return ``[M]``: whether two rows hold the same bytes. Gathers rows in blocks of neighbours."""
    equal = np.ones(len(rows), np.bool_)
    order = np.argsort(rows)
    for path in paths:
        size = max(1, int(columns.dtype(path).itemsize * np.prod(columns.shape(path)[1:], dtype=np.int64)))
        step = max(1, BLOCK_BYTES // size)
        for start in range(0, len(rows), step):
            some = order[start : start + step]
            one, two = (columns.gather(path, each[some]) for each in (rows, others))
            equal[some] &= (row_bytes(one) == row_bytes(two)).all(axis=1)
    return equal
