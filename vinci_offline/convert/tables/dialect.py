"""The way in which a CSV file is written: separator, comments, header, decimal sign, thousands.

What is certain is found; what could be read in two ways is asked for.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.errors import UsageError
from vinci_offline.text import printable

SETTINGS = ("separator", "delimiter", "comment", "header", "decimal", "thousands", "encoding")

_CANDIDATES = (",", ";", "\t", "|")
_WORDS = {"tab": "\t", "comma": ",", "semicolon": ";", "space": " "}
_SAMPLE_LINES = 200
_SAMPLE_CHARACTERS = 2**22
_BLANK = ("\n", "\r\n", "\r")
_NUMBER = re.compile(r"[+-]?(\d+[.,']?\d*|[.,]\d+)([eE][+-]?\d+)?")
_SHAPES = {
    "comma decimal": re.compile(
        r"[+-]?(?!0*[1-9]\d{0,2},\d{3}$)\d*,\d+([eE][+-]?\d+)?|[+-]?\d{1,3}(\.\d{3})+,\d+"
    ),
    "point decimal": re.compile(
        r"[+-]?(?!0*[1-9]\d{0,2}\.\d{3}$)\d*\.\d+([eE][+-]?\d+)?|[+-]?\d{1,3}(,\d{3})+\.\d+"
    ),
    "point thousands": re.compile(r"[+-]?\d{1,3}(\.\d{3}){2,}|[+-]?\d{1,3}(\.\d{3})+,\d+"),
    "comma thousands": re.compile(r"[+-]?\d{1,3}(,\d{3}){2,}|[+-]?\d{1,3}(,\d{3})+\.\d+"),
    "comma": re.compile(r"[+-]?\d{1,3},\d{3}"),
    "point": re.compile(r"[+-]?\d{1,3}\.\d{3}"),
}


@dataclass(frozen=True)
class Dialect:
    """The way in which a table's lines are written.

    Attributes:
        separator: what is between two cells.
        comment: what a line begins with that is no row; empty for nothing.
        is_asked: True if the user named the comment, so that every such line is one.
    """

    separator: str
    comment: str = ""
    is_asked: bool = False

    def rows(self, lines: Iterable[str], where: str) -> Iterator[str]:
        """Return the first lines of a file, blank ones in the place of comments."""
        comments = Comments(self, where)
        return (comments.blanked(line, number) for number, line in enumerate(lines, 1))


class Comments:
    """The comments among the lines of a file. They become blank lines, so that lines keep their numbers.

    Args:
        dialect: says what a comment is.
        where: the source, for messages.
        width: the cells of a row; None where that is not known yet.
    """

    def __init__(self, dialect: Dialect, where: str, width: int | None = None) -> None:
        self._dialect, self._where, self._width = dialect, where, width
        self._in_quotes = False

    def blanked(self, line: str, number: int) -> str:
        """Return the next line, or a blank one if it is a comment.

        Raises:
            UsageError: the line could be a comment or a row.
        """
        mark, width = self._dialect.comment, self._width
        if not mark:
            return line
        if not self._in_quotes and line.startswith(mark):
            if not self._dialect.is_asked and width and line.count(self._dialect.separator) == width - 1:
                _ask_comment(self._where, number)
            return "\n"
        self._in_quotes ^= line.count('"') % 2 == 1
        return line

    def may_be_in(self, block: str) -> bool:
        """Return False if each of the next lines stays as it is."""
        mark = self._dialect.comment
        return bool(mark) and (self._in_quotes or '"' in block or mark in block)


def sample(lines: Iterator[str]) -> list[str]:
    """Return the first lines of a file."""
    found, characters = [], 0
    for line in islice(lines, _SAMPLE_LINES):
        found.append(line)
        characters += len(line)
        if characters > _SAMPLE_CHARACTERS:
            break
    return found


def find_dialect(head: Sequence[str], context: ImportContext) -> Dialect:
    """Return the dialect of a file by its first lines and the settings.

    Raises:
        UsageError: a setting is wrong, or the lines could be read in two ways; the message names the setting.
    """
    asked = context.setting("comment")
    mark = "" if asked == "no" else asked or "#"
    if len(mark) > 1 or mark in {'"', "\n"}:
        raise UsageError(f"--set comment={asked}: give one character, or no")
    body = [line for line in head if line not in _BLANK and not (mark and line.startswith(mark))]
    separator = _separator(body, context)
    marked = [number for number, line in enumerate(head, 1) if mark and line.startswith(mark)]
    if asked is not None or not marked:
        return Dialect(separator, mark if asked is not None else "", asked is not None)
    if not body:
        return Dialect(separator)
    for number in marked:
        if head[number - 1].count(separator) == body[0].count(separator):
            _ask_comment(context.where, number)
    context.decide("lines that begin with # are comments, and were left out")
    return Dialect(separator, "#")


def has_header(row: Sequence[str], context: ImportContext) -> bool:
    """Return whether a file's first row holds the names of its columns.

    Raises:
        UsageError: it holds numbers alone, and nothing says what they are.
    """
    asked = context.setting("header")
    if asked not in {None, "yes", "no"}:
        raise UsageError(f"--set header={asked}: give yes or no")
    if asked is not None:
        return asked == "yes"
    mapped = {part.strip() for text in context.options.columns.values() for part in text.split(",")}
    if all(_NUMBER.fullmatch(cell.strip()) for cell in row) and not mapped & {cell.strip() for cell in row}:
        raise UsageError(
            f"{context.where}: the first line holds numbers alone: say --set header=no if they are a row (the columns "
            "are then column_0 …, for --map), or --set header=yes if they are names"
        )
    return True


def find_decimal(cells: Iterable[str], context: ImportContext) -> tuple[str, str]:
    """Return the decimal sign and the separator of thousands, empty for none.

    Args:
        cells: of the columns of numbers, in the first lines.
        context: the import, with its settings.

    Raises:
        UsageError: a setting is wrong, or the cells could be read in two ways; the message names the setting.
    """
    decimal, thousands = context.setting("decimal"), context.setting("thousands")
    thousands = _WORDS.get(thousands, thousands) if thousands else thousands
    if (
        decimal not in {None, ".", ","}
        or thousands not in {None, ".", ",", "'", " "}
        or (decimal is not None and decimal == thousands)
    ):
        raise UsageError("--set decimal is . or , and --set thousands is another of . , ' or space")
    if decimal or thousands:
        return decimal or ("," if thousands == "." else "."), thousands or ""
    found = {
        name: next((cell for cell in texts if shape.fullmatch(cell)), None)
        for texts in [[cell.strip() for cell in cells]]
        for name, shape in _SHAPES.items()
    }
    as_comma = found["comma decimal"] or found["point thousands"]
    as_point = found["point decimal"] or found["comma thousands"]
    if as_comma and as_point:
        raise UsageError(
            f"{context.where}: {printable(as_comma)} and {printable(as_point)} disagree about the decimal sign: say "
            "--set decimal=, or --set decimal=. and write all numbers so"
        )
    if as_comma:
        if found["point"] and not found["point thousands"]:
            _ask_number(found["point"], context.where, ".")
        context.decide(f"the decimal sign is the comma, as in {as_comma}")
        return ",", "." if found["point thousands"] else ""
    if found["comma thousands"]:
        context.decide(f"commas separate thousands, as in {found['comma thousands']}")
        return ".", ","
    if found["comma"]:
        _ask_number(found["comma"], context.where, ",")
    return ".", ""


def plain_numbers(decimal: str, thousands: str) -> Callable[[str], str] | None:
    """Return a function that writes a number as Python does; None if numbers are written so.

    A text that is no number stays as it is. A number in which the signs stand elsewhere becomes a text that is none.
    """
    if decimal == "." and not thousands:
        return None
    group = rf"\d{{1,3}}(?:{re.escape(thousands)}\d{{3}})+|" if thousands else ""
    number = re.compile(
        rf"\s*[+-]?(?:(?:{group}\d+)(?:{re.escape(decimal)}\d*)?|{re.escape(decimal)}\d+)(?:[eE][+-]?\d+)?\s*"
    )
    other = re.compile(r"\s*[+-]?[\d.,' ]*\d[\d.,' ]*(?:[eE][+-]?\d+)?\s*")

    def plain(cell: str) -> str:
        if number.fullmatch(cell):
            text = cell.replace(thousands, "") if thousands else cell
            return text.replace(decimal, ".")
        return f"?{cell}" if other.fullmatch(cell) and cell.strip() else cell

    return plain


def _separator(body: Sequence[str], context: ImportContext) -> str:
    asked = context.setting("separator") or context.setting("delimiter")
    if asked is not None:
        found = _WORDS.get(asked, asked)
        if len(found) != 1 or found in '"\r\n':
            name = "separator" if context.setting("separator") else "delimiter"
            raise UsageError(f"--set {name}={asked}: give one character, or tab, comma, semicolon or space")
        return found
    widths = {each: _widths(body, each) for each in _CANDIDATES}
    split = [each for each in _CANDIDATES if widths[each][:1] > [1]]
    alike = [each for each in split if len(set(widths[each])) == 1]
    if len(alike) > 1:
        shown = " or ".join(f"{_name(each)} ({widths[each][0]} columns)" for each in alike)
        raise UsageError(
            f"{context.where}: the cells may be separated by {shown}: say --set separator={_name(alike[-1])} or "
            f"--set separator={_name(alike[0])}"
        )
    certain = alike or ([each for each in split if each == ","] or split)[:1]
    if certain and certain[0] != ",":
        context.decide(f"the cells are separated by {_name(certain[0])}")
    return certain[0] if certain else ","


def _widths(body: Sequence[str], separator: str) -> list[int]:
    try:
        return [len(row) for row in csv.reader(body, delimiter=separator) if row]
    except csv.Error:
        return []


def _name(separator: str) -> str:
    return next((word for word, each in _WORDS.items() if each == separator), separator)


def _ask_comment(where: str, number: int) -> None:
    raise UsageError(
        f"{where}: line {number} begins with # and has as many cells as a row: say --set comment=# to leave such lines "
        "out, or --set comment=no if they are rows or names"
    )


def _ask_number(cell: str, where: str, sign: str) -> None:
    raise UsageError(
        f"{where}: {printable(cell)} may be {cell.replace(sign, '.')} or {cell.replace(sign, '')}: say --set "
        f"decimal={sign} or --set thousands={sign}"
    )
