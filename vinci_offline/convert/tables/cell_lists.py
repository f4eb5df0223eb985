"""Lists of numbers in the cells of a text table: ``[0.1, 0.2]``, ``0.1 0.2``, ``[np.float32(0.1)]``.

So are choices, ``3,7``, where a setting says that an action has several. Cells are taken apart by a closed grammar of
one level; nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from vinci_offline.budget import limit
from vinci_offline.convert.tables.cells import Piece
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import printable

_MOST = 2**16
_WRAPPED = re.compile(r"(?:np\.|numpy\.)?(?:float|int|uint)(?:\d{1,3})?\(([^()]{1,40})\)")
_ARRAY = re.compile(r"(?:np\.|numpy\.)?array\((.*?)(?:,\s*dtype=[\w.]+)?\)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
_BRACKETS = {"[": "]", "(": ")"}
_CHOICES = re.compile(r"\s*-?\d+(?:\s*,\s*-?\d+)+\s*")


def entries(cell: str, *, is_choices: bool = False) -> list[str] | None:
    """Return the numbers of a list as texts; None if the cell is no list of numbers.

    Args:
        cell: the text.
        is_choices: whole numbers with commas between them are a list, too, and no decimals.
    """
    text = cell.strip()
    if is_choices and _CHOICES.fullmatch(text):
        return [part.strip() for part in text.split(",")]
    if array := _ARRAY.fullmatch(text):
        text = array[1].strip()
    is_bracketed = text[:1] in _BRACKETS and text[-1:] == _BRACKETS[text[:1]]
    if is_bracketed:
        text = _WRAPPED.sub(r"\1", text[1:-1]).strip()
    parts = [part.strip() for part in text.removesuffix(",").split(",")] if "," in text else text.split()
    if not parts or ((len(parts) == 1 or "," in text) and not is_bracketed):
        return None
    return parts if all(map(_NUMBER.fullmatch, parts)) else None


def list_columns(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    texts: frozenset[str],
    choices: frozenset[str],
    where: str,
) -> dict[str, list[str]]:
    """Return the columns that hold lists, and the names of their entries.

    Args:
        header: the names of the columns.
        rows: the first rows.
        texts: columns that hold texts, whatever they look like.
        choices: columns in which ``3,7`` is two choices.
        where: the source, for messages.
    """
    found = {}
    columns = zip(*(row for row in rows if len(row) == len(header)), strict=True)
    for name, cells in zip(header, columns, strict=False):
        lists = (
            []
            if name in texts
            else [entries(cell, is_choices=name in choices) for cell in cells if cell.strip()]
        )
        if lists and all(lists):
            count = len(lists[0] or ())
            limit(where, f"numbers in a cell of {printable(name)}", count, _MOST)
            found[name] = [f"{name}_{index}" for index in range(count)]
    return found


def ask_choices(name: str, cells: Iterable[str], where: str) -> None:
    """Refuse cells of an action that may be one number with a decimal comma, or several choices.

    Raises:
        UsageError: each of them is whole numbers with commas between them.
    """
    shown = [cell for cell in cells if cell.strip()]
    if shown and all(map(_CHOICES.fullmatch, shown)):
        raise UsageError(
            f"{where}: {printable(name)} is {printable(shown[0])[:40]!r}: say --set actions=N,N if these are several "
            "choices at once (N is how many there are of each), or --set decimal=, if it is one number"
        )


def spread_lists(
    pieces: Iterable[Piece], lists: Mapping[str, Sequence[str]], choices: frozenset[str], where: str
) -> Iterator[Piece]:
    """Yield pieces with a column for every entry of a list.

    Raises:
        DatasetError: a cell holds another number of entries, or is no list.
    """
    for columns, lines in pieces:
        spread = {name: values for name, values in columns.items() if name not in lists}
        for name, names in lists.items():
            if name in columns:
                rows = [
                    _checked(
                        entries(str(cell), is_choices=name in choices),
                        str(cell),
                        len(names),
                        f"{where}: line {line}: {printable(name)}",
                    )
                    for cell, line in zip(columns[name], lines, strict=True)
                ]
                spread |= dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        yield spread, lines


def _checked(found: list[str] | None, cell: str, count: int, where: str) -> list[str]:
    if found is None:
        raise DatasetError(f"{where} is {printable(cell)[:40]!r}, no list of {count} numbers")
    if len(found) != count:
        raise DatasetError(f"{where} has {len(found)} numbers, the first row {count}")
    return found
