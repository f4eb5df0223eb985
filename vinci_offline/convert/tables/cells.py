"""The columns of a table, gathered in pieces: numbers, texts that stand for choices, and empty cells."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn, TypeAlias

import numpy as np

from vinci_offline.convert.sources.spool import Spool
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.mapping import Choice, category_names, listed
from vinci_offline.data.assembly.order import Texts
from vinci_offline.data.columns import Column
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array

SETTINGS = ("actions", "categories", "missing", "reward")
"""Settings of every table's importer."""

_NOTHING = {"", "NA", "N/A", "null", "NULL", "None"}
_TRUTH = {"true": True, "false": False}


Piece: TypeAlias = tuple[Mapping[str, Sequence[object] | Array], Sequence[int]]
"""Columns of some rows by name, and the line of each row. Numbers may be an array already."""


class Cells:
    """Converter of one column's cells.

    Args:
        name: the source's name for the column.
        where: the source, for messages.
        is_text: keep texts: they tell episodes apart, or stand for choices.
        missing: the text that fills an empty cell; None refuses empty cells.
    """

    def __init__(self, name: str, where: str, *, is_text: bool = False, missing: str | None = None) -> None:
        self._name, self._where = printable(name), where
        self._is_text, self._missing = is_text, missing

    def values(self, cells: Sequence[object] | Array, lines: Sequence[int]) -> Array | list[str]:
        """Return cells as numbers, or as texts where the column has texts.

        Args:
            cells: texts, or what a JSON parser makes of them, with None for nothing.
            lines: the line of each.

        Raises:
            DatasetError: one is no number, or there is nothing in it.
        """
        if self._is_text:
            values = cells.tolist() if isinstance(cells, np.ndarray) else cells
            return ["" if cell is None else str(cell) for cell in values]
        if isinstance(cells, np.ndarray):
            return cells
        try:
            return numbers(self._filled(cells, lines))
        except (ValueError, OverflowError):
            self._blame(cells, lines)

    def _filled(self, cells: Sequence[object], lines: Sequence[int]) -> Sequence[object]:
        empty = [index for index, cell in enumerate(cells) if cell is None or cell in _NOTHING]
        if not empty:
            return cells
        if self._missing is None:
            raise DatasetError(
                f"{self._where}: line {lines[empty[0]]}: nothing in {self._name}: say what stands for it, as "
                "with --set missing=0, or leave the column out with --map"
            )
        filled = list(cells)
        stand_in = self._missing if any(isinstance(cell, str) for cell in cells) else _number(self._missing)
        for index in empty:
            filled[index] = stand_in
        return filled

    def _blame(self, cells: Sequence[object], lines: Sequence[int]) -> NoReturn:
        for cell, line in zip(cells, lines, strict=True):
            try:
                numbers(self._filled([cell], [line]))
            except (ValueError, OverflowError):
                shown = printable(str(cell))[:40]
                raise DatasetError(
                    f"{self._where}: line {line}: {self._name} is {shown!r}, which is no number of 64 bits: choose "
                    f"the columns with --map, or say --set categories={self._name} if texts stand for choices"
                ) from None
        raise DatasetError(f"{self._where}: {self._name} holds numbers that no column of 64 bits holds")


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
    if any("_" in text for text in texts):  # which Python takes for a separator of digits
        raise ValueError("no number")
    try:
        return _array([int(text) for text in texts])
    except ValueError:
        return _array([_number(text) for text in texts])


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
        texts: those of them that are texts.

    Args:
        choice: the columns.
        context: the import; its settings have ``categories``.

    Raises:
        UsageError: ``categories`` names a column that is not taken.
    """

    def __init__(self, choice: Choice, context: ImportContext) -> None:
        self.names = list(dict.fromkeys(choice.sources.values()))
        self.texts = text_names(choice, context.options.settings)
        self._spool = Spool(context.where)
        self._numbers: dict[str, dict[str, int]] = {name: {} for name in self.names if name in self.texts}

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
                known = self._numbers[name]
                values = np.array([known.setdefault(text, len(known)) for text in values], np.int64)
            taken[name] = values
        self._spool.append(taken)

    def columns(self) -> dict[str, Column | Texts]:
        """Return the columns of all rows."""
        columns = self._spool.columns()
        return {
            name: Texts(columns[name], list(self._numbers[name])) if name in self.texts else columns[name]
            for name in self.names
        }


def gathered(pieces: Iterable[Piece], choice: Choice, context: ImportContext) -> dict[str, Column | Texts]:
    """Return the chosen columns, by their names in the source.

    Args:
        pieces: the rows; a column may be missing from a piece.
        choice: which are taken.
        context: the import; its settings have ``missing`` and ``categories``.

    Raises:
        DatasetError: there are no rows, or a cell is no number.
        UsageError: ``missing`` is no number, or ``categories`` names a column that is not taken.
    """
    fill, rows = stand_in(context.options.settings), TableRows(choice, context)
    cells = {
        name: Cells(name, context.where, is_text=name in rows.texts, missing=fill) for name in rows.names
    }
    for piece, lines in pieces:
        rows.append(
            {
                name: column.values(piece[name] if name in piece else [None] * len(lines), lines)
                for name, column in cells.items()
            }
        )
    if not rows.count:
        raise DatasetError(f"{context.where} holds no rows: there is nothing to convert")
    return rows.columns()


def text_names(choice: Choice, settings: Mapping[str, str]) -> set[str]:
    """Return the source's columns whose texts are kept: those of ``categories``, and the one that tells episodes apart.

    Raises:
        UsageError: ``categories`` names a column that is not taken.
    """
    categories, taken = category_names(settings), dict.fromkeys(choice.sources.values())
    if unknown := [name for name in categories if name not in taken]:
        raise UsageError(f"--set categories={unknown[0]}: no such column is taken; there are {listed(taken)}")
    return {*categories, *(choice.sources[name] for name in ("episode",) if name in choice.sources)}


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
