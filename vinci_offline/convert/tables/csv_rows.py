"""The rows of a CSV file in blocks: pandas reads those that are plain, and Python's own reader all others.

Both find the same cells. The slow reader knows the line of each, so that a block with a fault is named by its line.
"""

from __future__ import annotations

import csv
import io
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from vinci_offline.convert.sources.text import Lines, next_lines
from vinci_offline.convert.tables.cells import Piece
from vinci_offline.convert.tables.dialect import Comments, Dialect
from vinci_offline.data.assembly.roles import Role
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array

_THREADS = 2
"""Threads that read blocks, while a third one checks and keeps them; pandas lets them run side by side."""
_ROWS = 2**13
_CELLS = 2**20
_BLANK = frozenset({"\n", "\r", "\r\n"})
_NEWLINE = ord("\n")
_LINE_ENDS = (_NEWLINE, ord("\r"))
_EXACT_BY_DEFAULT = (3, 1)
"""From this version of pandas on, a decimal number becomes the nearest float, as in Python, without being asked."""
_TEXTS: tuple[Role, ...] = ("text", "flag")


@dataclass(frozen=True)
class _Ahead:
    """A block that a thread reads: its text, the line of each row, and the columns."""

    block: str
    lines: range
    columns: Future[dict[str, Array | list[str]]]


class CsvRows:
    """Reader of the rows below a header.

    Args:
        lines: the lines of the file.
        dialect: how they are written.
        first: the number of the first line below the header.
        header: the names of all columns.
        kinds: the roles of the columns that are taken.
        where: the source, for messages.
        decimal: the decimal sign; None leaves all cells as texts.
    """

    def __init__(
        self,
        lines: Lines,
        dialect: Dialect,
        first: int,
        header: Sequence[str],
        kinds: Mapping[str, Role],
        where: str,
        decimal: str | None = ".",
    ) -> None:
        self._lines, self._comments = lines, Comments(dialect, where, len(header))
        self._rows = (self._comments.blanked(line, lines.number) for line in lines)
        self._first, self._decimal = first, decimal
        self._at_once = max(1, min(_ROWS, _CELLS // len(header)))
        self._header, self._separator, self._where = header, dialect.separator, where
        self._kinds = {header.index(name): role for name, role in kinds.items()}
        cell = re.escape(self._separator)
        self._quoted = re.compile(rf'(?:^|(?<={cell}))"([^"{cell}\r\n]*)"(?=[{cell}\r\n]|\Z)', re.MULTILINE)

    def pieces(self) -> Iterator[Piece]:
        """Yield the columns by name in pieces, and the line of each row.

        Raises:
            DatasetError: a row has more or fewer cells than the header.
            csv.Error: quotes are not closed, or a cell is endless.
        """
        next_lines(self._rows, self._first - 1)
        ahead: deque[_Ahead] = deque()
        with ThreadPoolExecutor(_THREADS) as pool:
            while block := self._lines.block():
                following = self._submitted(block, pool)
                while ahead and (following is None or len(ahead) == _THREADS):
                    yield from self._finished(ahead.popleft())
                if following is not None:
                    ahead.append(following)
                    continue
                self._lines.put_back(block)
                while self._lines.is_put_back:
                    yield from self._line_by_line(self._rows, self._lines.number + 1)
            while ahead:
                yield from self._finished(ahead.popleft())

    def _submitted(self, block: str, pool: Executor) -> _Ahead | None:
        """Let a thread read a block; None if a line of it needs a look of its own."""
        if self._comments.may_be_in(block) or (plain := self._plain(block)) is None:
            return None
        content, count = plain
        first = self._lines.number + 1
        self._lines.accept(block, count)
        return _Ahead(block, range(first, first + count), pool.submit(self._columns, content))

    def _finished(self, ahead: _Ahead) -> Iterator[Piece]:
        try:
            columns = ahead.columns.result()
        except (ValueError, OverflowError):
            lines, number = io.StringIO(ahead.block, newline=""), ahead.lines[0]
            while lines.tell() < len(ahead.block):
                some = next_lines(lines, self._at_once)
                yield self._exact(some, number)
                number += len(some)
        else:
            yield columns, ahead.lines

    def _line_by_line(self, lines: Iterator[str], first: int) -> Iterator[Piece]:
        """Yield the next lines as pandas reads them, without blank ones, or as Python's reader does."""
        some = next_lines(lines, self._at_once)
        rows = [(number, line) for number, line in enumerate(some, first) if line not in _BLANK]
        piece: Piece | None = None
        if (plain := self._plain("".join(line for _, line in rows))) is not None:
            with suppress(ValueError, OverflowError):
                piece = self._columns(plain[0]), [number for number, _ in rows]
        piece = piece or self._exact(some, first)
        if len(piece[1]):
            yield piece

    def _plain(self, text: str) -> tuple[bytes, int] | None:
        """Return a text that pandas reads as Python does, and its lines; None if it is not that plain."""
        if '"' in text:
            text = self._quoted.sub(r"\1", text)
        if not text or '"' in text or "\0" in text or text.startswith("\ufeff"):
            return None
        content = text.encode()
        count = _even_lines(content, self._separator, len(self._header))
        return (content, count) if count else None

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
            io.BytesIO(content),
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

    def _exact(self, block: list[str], first: int) -> Piece:
        """Return the cells of lines as texts; a cell in quotes may go on in the lines behind them."""
        reader = csv.reader(chain(block, self._rows), delimiter=self._separator, strict=True)
        rows: list[list[str]] = []
        lines: list[int] = []
        while reader.line_num < len(block) and (row := next(reader, None)) is not None:
            line = first + reader.line_num - 1
            if row and len(row) != len(self._header):
                raise DatasetError(
                    f"{self._where}: line {line} has {len(row)} cells, the header {len(self._header)}"
                )
            if row:
                rows.append(row)
                lines.append(line)
        return {self._header[place]: [row[place] for row in rows] for place in self._kinds}, lines


def _even_lines(content: bytes, separator: str, width: int) -> int:
    """Return how many lines a text has; 0 unless all have as many cells as the header, and none is blank or long."""
    if not separator.isascii() or (b"\r" in content and content.count(b"\r") != content.count(b"\r\n")):
        return 0
    characters = np.frombuffer(content, np.uint8)
    ends = np.flatnonzero(characters == _NEWLINE)
    if not len(ends) or ends[-1] < len(content) - 1:
        ends = np.append(ends, len(content))
    starts = np.concatenate(([0], ends[:-1] + 1))
    is_separator = (characters == ord(separator)).view(np.uint8)
    # Sums of 16 bits are the fastest by far. They may overflow, but not all of them while the total is right.
    separators = np.add.reduceat(is_separator, starts, dtype=np.uint16)
    is_even = (
        (separators == width - 1).all()
        and np.count_nonzero(is_separator) == len(ends) * (width - 1)
        and not np.isin(characters[starts], _LINE_ENDS).any()
        and (ends - starts).max() <= csv.field_size_limit()
    )
    return len(ends) if is_even else 0


def _column(series: Any, role: Role) -> Array | list[str] | None:
    """Return a column of numbers that Python would read alike, or texts; None if it must be read as texts first."""
    if role not in _TEXTS and isinstance(series.dtype, np.dtype) and series.dtype.kind in "bif":
        values: Array = series.to_numpy()
        # An infinity may be a number too large, which is refused.
        return values if np.isfinite(values).all() else None
    cells: list[Any] = series.tolist()
    return cells if {str}.issuperset(map(type, cells)) else None
