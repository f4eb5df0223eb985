"""The rows of a CSV file in blocks: pandas reads those that are plain, and Python's own reader all others.

Both find the same cells. The slow reader knows the line of each, so that a block with a fault is named by its line.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import chain
from typing import Any

import numpy as np

from vinci_offline.convert.sources.text import next_lines
from vinci_offline.convert.tables.cells import Piece
from vinci_offline.data.assembly.roles import Role
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array

_ROWS = 2**13
_CELLS = 2**20
_BLANK = frozenset({"\n", "\r", "\r\n"})
_EXACT_BY_DEFAULT = (3, 1)
"""From this version of pandas on, a decimal number becomes the nearest float, as in Python, without being asked."""
_TEXTS: tuple[Role, ...] = ("text", "flag")


class CsvRows:
    """Reader of the rows below a header.

    Args:
        lines: the lines of the file from the first row on.
        first: the number of the first of them.
        header: the names of all columns.
        kinds: the roles of the columns that are taken.
        separator: what is between two cells.
        where: the source, for messages.
        decimal: the decimal sign; None leaves all cells as texts.
    """

    def __init__(
        self,
        lines: Iterator[str],
        first: int,
        header: Sequence[str],
        kinds: Mapping[str, Role],
        separator: str,
        where: str,
        decimal: str | None = ".",
    ) -> None:
        self._decimal = decimal
        self._lines, self._next = lines, first
        self._header, self._separator, self._where = header, separator, where
        self._kinds = {header.index(name): role for name, role in kinds.items()}
        cell = re.escape(separator)
        self._quoted = re.compile(rf'(?:^|(?<={cell}))"([^"{cell}\r\n]*)"(?=[{cell}\r\n]|\Z)', re.MULTILINE)

    def pieces(self) -> Iterator[Piece]:
        """Yield the columns by name in pieces, and the line of each row.

        Raises:
            DatasetError: a row has more or fewer cells than the header.
            csv.Error: quotes are not closed, or a cell is endless.
        """
        count = max(1, min(_ROWS, _CELLS // len(self._header)))
        while block := next_lines(self._lines, count):
            piece = self._fast(block)
            if piece is None:
                piece = self._exact(block)
            else:
                self._next += len(block)
            if len(piece[1]):
                yield piece

    def _fast(self, block: list[str]) -> Piece | None:
        """Return the columns of a block as pandas reads them; None if the block is not plain."""
        rows = [(number, line) for number, line in enumerate(block, self._next) if line not in _BLANK]
        text = "".join(line for _, line in rows)
        if '"' in text:
            text = self._quoted.sub(r"\1", text)
        if (
            not rows
            or '"' in text
            or "\0" in text
            or text.startswith("\ufeff")
            or not self._separator.isascii()
            or max(map(len, block)) > csv.field_size_limit()
            or {line.count(self._separator) for _, line in rows} != {len(self._header) - 1}
        ):
            return None
        try:
            columns = self._columns(text.encode())
        except (ValueError, OverflowError):
            return None
        return columns, [number for number, _ in rows]

    def _columns(self, content: bytes) -> dict[str, Array | list[str]]:
        as_texts = [place for place, role in self._kinds.items() if role in _TEXTS or self._decimal is None]
        frame = self._frame(content, list(self._kinds), as_texts)
        found = {place: _column(frame[place], role) for place, role in self._kinds.items()}
        if refused := [place for place, column in found.items() if column is None]:
            texts = self._frame(content, refused, refused)
            found |= {place: texts[place].tolist() for place in refused}
        return {self._header[place]: column for place, column in found.items() if column is not None}

    def _frame(self, content: bytes, places: list[int], as_texts: list[int]) -> Any:
        import pandas as pd

        version = tuple(int(part) for part in re.findall(r"\d+", pd.__version__)[:2])
        exact: Any = {} if version >= _EXACT_BY_DEFAULT else {"float_precision": "round_trip"}
        return pd.read_csv(
            BytesIO(content),
            sep=self._separator,
            decimal=self._decimal or ".",
            header=None,
            usecols=places,
            dtype=dict.fromkeys(as_texts, object),
            na_filter=False,
            skip_blank_lines=False,
            quoting=csv.QUOTE_NONE,
            low_memory=False,
            engine="c",
            **exact,
        )

    def _exact(self, block: list[str]) -> Piece:
        """Return the cells of a block as texts; a cell in quotes may go on in the lines behind it."""
        reader = csv.reader(chain(block, self._lines), delimiter=self._separator, strict=True)
        rows: list[list[str]] = []
        lines: list[int] = []
        while reader.line_num < len(block) and (row := next(reader, None)) is not None:
            line = self._next + reader.line_num - 1
            if row and len(row) != len(self._header):
                raise DatasetError(
                    f"{self._where}: line {line} has {len(row)} cells, the header {len(self._header)}"
                )
            if row:
                rows.append(row)
                lines.append(line)
        self._next += reader.line_num
        return {self._header[place]: [row[place] for row in rows] for place in self._kinds}, lines


def _column(series: Any, role: Role) -> Array | list[str] | None:
    """Return a column of numbers that Python would read alike, or texts; None if it must be read as texts first."""
    if role not in _TEXTS and isinstance(series.dtype, np.dtype) and series.dtype.kind in "bif":
        values: Array = series.to_numpy()
        # An infinity may be a number too large, which is refused.
        return values if np.isfinite(values).all() else None
    cells: list[Any] = series.tolist()
    return cells if {str}.issuperset(map(type, cells)) else None
