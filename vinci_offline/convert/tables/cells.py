"""The columns of a table, gathered in pieces: numbers, texts that stand for choices, and empty cells."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NoReturn, TypeAlias

import numpy as np

from vinci_offline.budget import Tally
from vinci_offline.convert.sources.spool import Spool
from vinci_offline.data.assembly.bad_rows import BadRows
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.mapping import Choice, listed
from vinci_offline.data.assembly.roles import SETTINGS as TABLE_SETTINGS
from vinci_offline.data.assembly.roles import Role, roles
from vinci_offline.data.assembly.steps import MISSING
from vinci_offline.data.assembly.texts import NOTHING, Texts, kind_of_time, times, truths
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.inputs import bytes_at
from vinci_offline.text import printable
from vinci_offline.types import Array

SETTINGS = (*TABLE_SETTINGS, "missing")
"""Settings of every table's importer."""

_TEXT_BYTES = 150
_TRUTH = {"true": True, "false": False}
_TIMES = "mM"
_TIMED: tuple[Role, ...] = ("step", "observed")
_SEPARATED = re.compile(r"\s*[+-]?\d+[.,' ][\d.,' ]*\s*")


Piece: TypeAlias = tuple[Mapping[str, Sequence[object] | Array], Sequence[int]]
"""Columns of some rows by name, and the line of each row. Numbers may be an array already."""


class Cells:
    """Converter of one column's cells.

    Args:
        name: the source's name for the column.
        where: the source, for messages.
        role: how cells are read; texts, flags and steps are never filled.
        missing: the text that fills an empty cell; None refuses empty cells.
        plain: writes a text that is a number as Python does; None if they are written so.

    Attributes:
        filled: how many empty cells were filled.
    """

    def __init__(
        self,
        name: str,
        where: str,
        *,
        role: Role = "number",
        missing: str | None = None,
        plain: Callable[[str], str] | None = None,
    ) -> None:
        self._plain = plain if role in {"number", *_TIMED} else None
        self._name, self._where, self._role = printable(name), where, role
        self._missing = missing if role in {"number", "observed"} else None
        self._kind: str | None = None
        self.filled = 0

    def values(self, cells: Sequence[object] | Array, lines: Sequence[int]) -> Array | list[str]:
        """Return cells as numbers, flags or times, or as texts where the column has texts.

        Args:
            cells: texts, or what a JSON parser makes of them, with None for nothing.
            lines: the line of each.

        Raises:
            DatasetError: one cannot be read, or there is nothing in it.
        """
        if self._role == "text":
            values = cells.tolist() if isinstance(cells, np.ndarray) else cells
            return ["" if cell is None else str(cell) for cell in values]
        if isinstance(cells, np.ndarray):
            found = cells
        else:
            self.filled += sum(cell is None or cell in NOTHING for cell in cells) if self._missing else 0
            try:
                found = self._read(self._filled(self._plainly(cells), lines))
            except (ValueError, OverflowError):
                self._blame(cells, lines)
        if self._role in _TIMED:
            self._check_kind(cells if found.dtype.kind in _TIMES else ["0"], lines)
        return found

    def _plainly(self, cells: Sequence[object]) -> Sequence[object]:
        plain = self._plain
        return cells if plain is None else [plain(cell) if isinstance(cell, str) else cell for cell in cells]

    def _read(self, cells: Sequence[object]) -> Array:
        if self._role == "flag" and not {bool, int, float}.issuperset(map(type, cells)):
            return truths(cells)
        if self._role not in _TIMED:
            return numbers(cells)
        try:
            return numbers(cells)
        except ValueError:
            return times(cells)

    def _check_kind(self, cells: Iterable[object], lines: Sequence[int]) -> None:
        """Refuse a step column in which some cells are numbers, others times, or some times have a time zone."""
        for cell, line in zip(cells, lines, strict=False):
            kind = kind_of_time(cell) or "a number"
            if self._kind not in {None, kind}:
                raise DatasetError(
                    f"{self._where}: line {line}: {self._name} is {kind} after {self._kind}: write all alike"
                )
            self._kind = kind

    def _filled(self, cells: Sequence[object], lines: Sequence[int]) -> Sequence[object]:
        empty = [index for index, cell in enumerate(cells) if cell is None or cell in NOTHING]
        if not empty:
            return cells
        if self._missing is None:
            advice = (
                "say what stands for it, as with --set missing=0, or leave the column out with --map"
                if self._role in {"number", "observed"}
                else MISSING
            )
            raise DatasetError(f"{self._where}: line {lines[empty[0]]}: nothing in {self._name}: {advice}")
        filled = list(cells)
        stand_in = self._missing if any(isinstance(cell, str) for cell in cells) else _number(self._missing)
        for index in empty:
            filled[index] = stand_in
        return filled

    def _blame(self, cells: Sequence[object], lines: Sequence[int]) -> NoReturn:
        for cell, line in zip(cells, lines, strict=True):
            try:
                self._read(self._filled(self._plainly([cell]), [line]))
            except (ValueError, OverflowError):
                shown = printable(str(cell))[:40]
                raise DatasetError(
                    f"{self._where}: line {line}: {self._name} is {shown!r}, {self._advice(shown)}"
                ) from None
        if self._role in _TIMED:
            self._check_kind(cells, lines)
        raise DatasetError(f"{self._where}: {self._name} holds numbers that no column of 64 bits holds")

    def _advice(self, cell: str) -> str:
        if self._role == "flag":
            return "neither true nor false: write true/false, yes/no or 1/0"
        if self._role == "step":
            return (
                "neither a number of 64 bits nor a date or time such as 2024-05-01 or 2024-05-01T08:30:00Z: write it "
                "so, or map another column to step"
            )
        if _SEPARATED.fullmatch(cell):
            return "which is no number as the others are: say --set decimal or --set thousands, or write all alike"
        if self._role == "number" and kind_of_time(cell) is not None:
            return (
                "a date or time, not a number: map it to step if it orders rows, or to an observation, or choose the "
                "columns with --map"
            )
        return (
            "which is no number of 64 bits: choose the columns with --map, or say --set "
            f"categories={self._name} if texts stand for choices"
        )


def numbers(cells: Sequence[object]) -> Array:
    """Return cells as booleans if all are, else as whole numbers if all are, else as floats.

    Raises:
        ValueError: one is no number.
        OverflowError: one is too large a number.
    """
    kinds = set(map(type, cells))
    if kinds <= {bool, int, float}:
        return _array(cells)
    if kinds != {str}:
        raise ValueError("no number")
    texts = [cell for cell in cells if isinstance(cell, str)]
    if "_" in "".join(texts):  # which Python takes for a separator of digits
        raise ValueError("no number")
    try:
        return _array(list(map(int, texts)))
    except ValueError:
        pass
    try:
        floats = np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        return _array([_number(text) for text in texts])
    return _array([_number(text) for text in texts]) if np.isinf(floats).any() else floats


def _array(cells: Sequence[object]) -> Array:
    found = np.array(cells)
    if found.dtype.kind == "u" or found.dtype.kind not in "bif":
        floats = np.array(cells, np.float64)
        if any(int(value) != cell for value, cell in zip(floats, cells, strict=True)):
            raise OverflowError("more than 64 bits")
        return floats
    return found


def _number(text: str) -> float | bool:
    truth = _TRUTH.get(text.strip().lower())
    if truth is not None:
        return truth
    value = float(text)
    if math.isinf(value) and any(character.isdigit() for character in text):
        raise OverflowError("more than 64 bits")
    return value


class TableRows:
    """Collector of the chosen columns of a table.

    Numbers go to a spool. Texts are numbered: each different one is in memory once.

    Attributes:
        names: of the columns in the source.
        roles: how the cells of each are read.

    Args:
        choice: the columns.
        context: the import; its settings have ``categories``.

    Raises:
        UsageError: ``categories`` names a column that is not taken, or that cannot be a category.
    """

    def __init__(self, choice: Choice, context: ImportContext) -> None:
        self.names = list(dict.fromkeys(choice.sources.values()))
        self.roles = roles(choice, context.options.settings)
        self._spool = Spool(context.where)
        self._numbers: dict[str, dict[str, int]] = {
            name: {} for name in self.names if self.roles[name] == "text"
        }
        self._tally = Tally(context.where, bytes_at(Path(context.where)))

    @property
    def count(self) -> int:
        """The number of rows so far."""
        return self._spool.rows

    def append(self, rows: Mapping[str, Array | list[str]]) -> None:
        """Add rows.

        Raises:
            DatasetError: a column is not alike in all rows.
        """
        taken = {}
        for name in self.names:
            values = rows[name]
            if isinstance(values, list):
                values = self._numbered(name, values)
            taken[name] = values
        self._spool.append(taken)

    def _numbered(self, name: str, texts: list[str]) -> Array:
        import pandas as pd

        known = self._numbers[name]
        before = len(known)
        places, different = pd.factorize(np.array(texts, object))
        numbers = np.array([known.setdefault(text, len(known)) for text in different], np.int64)
        new = islice(reversed(known), len(known) - before)
        self._tally.add(f"the texts of {printable(name)}", sum(len(text) + _TEXT_BYTES for text in new))
        return numbers[places]

    def columns(self) -> dict[str, Column | Texts]:
        """Return the columns of all rows."""
        columns = self._spool.columns()
        return {
            name: Texts(columns[name], list(self._numbers[name])) if name in self._numbers else columns[name]
            for name in self.names
        }


class Lines:
    """Lines of rows, kept as the few rows at which the distance between the two changes."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._ahead: list[int] = []

    def add(self, first: int, lines: Sequence[int]) -> None:
        """Note the lines of the rows from ``first`` on."""
        ahead = np.asarray(lines, np.int64) - np.arange(first, first + len(lines))
        changes = np.flatnonzero(np.diff(ahead, prepend=self._ahead[-1] if self._ahead else ahead[0] - 1))
        self._rows += (first + changes).tolist()
        self._ahead += ahead[changes].tolist()

    def place(self, row: int) -> str:
        """Return what messages call a row: its line."""
        return f"line {row + self._ahead[bisect_right(self._rows, row) - 1]}"


def gathered(
    pieces: Iterable[Piece],
    choice: Choice,
    context: ImportContext,
    plain: Callable[[str], str] | None = None,
) -> dict[str, Column | Texts]:
    """Return the chosen columns, by their names in the source; the context then calls rows by their lines.

    Args:
        pieces: the rows; a column may be missing from a piece.
        choice: which are taken.
        context: the import; its settings have ``missing`` and ``categories``.
        plain: writes a text that is a number as Python does; None if they are written so.

    Raises:
        DatasetError: there are no rows, or a cell cannot be read.
        UsageError: ``missing`` is no number, or ``categories`` names a column that is not taken.
    """
    fill, rows, places = stand_in(context.options.settings), TableRows(choice, context), Lines()
    bad = BadRows(choice, context)
    cells = {
        name: Cells(name, context.where, role=rows.roles[name], missing=fill, plain=plain)
        for name in rows.names
    }
    for piece, lines in pieces:
        places.add(rows.count, lines)
        table = {name: piece[name] if name in piece else [None] * len(lines) for name in cells}
        rows.append(
            {
                name: bad.read(column, partial(_some, column, table[name], lines), len(lines), rows.count)
                for name, column in cells.items()
            }
        )
    if not rows.count:
        raise DatasetError(f"{context.where} holds no rows: there is nothing to convert")
    context.place = places.place
    say_filled({name: column.filled for name, column in cells.items()}, context)
    return bad.dropped(rows.columns())


def _some(
    column: Cells, cells: Sequence[object] | Array, lines: Sequence[int], places: Array | None
) -> Array | list[str]:
    """Return the cells at some places, converted; None for all."""
    if places is None:
        return column.values(cells, lines)
    return column.values([cells[place] for place in places], [lines[place] for place in places])


def say_filled(filled: Mapping[str, int], context: ImportContext) -> None:
    """Note how many empty cells were filled, and in which columns."""
    if count := sum(filled.values()):
        names = listed([name for name, each in filled.items() if each])
        context.decide(
            f"{count:,} empty cells are {context.setting('missing')}, as --set missing says ({names})"
        )


def stand_in(settings: Mapping[str, str]) -> str | None:
    """Return the number that ``missing`` puts into empty cells; None if it is not set.

    Raises:
        UsageError: it is no number.
    """
    text = settings.get("missing")
    if text is not None:
        try:
            float(text)
        except ValueError:
            raise UsageError(f"--set missing={text}: give a number, or nan") from None
    return text
