"""Texts in a table: labels, words for true and false, dates and times, and texts that stand for nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vinci_offline.data.assembly.lazy import blocks, held, mapped
from vinci_offline.data.columns import Column
from vinci_offline.types import Array

NOTHING = frozenset({"", "NA", "N/A", "null", "NULL", "None"})
"""Texts of cells that hold nothing, as tools write them."""

NO_LABEL = NOTHING | {"nan", "NaN", "NAN", "NaT", "<NA>", "none"}
"""Texts that tell no episode: cells that hold nothing, and numbers and times that are none."""

_WORDS = {
    word: truth
    for truth, words in ((True, "true t yes y 1 1.0"), (False, "false f no n 0 0.0"))
    for word in words.split()
}
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?))?\s?(Z|UTC|([+-])(\d\d):?(\d\d))?"
)
_NANOSECONDS = 10**9
_YEARS = ("1678", "2261")
"""Nanoseconds in 64 bits reach from one to the other."""


@dataclass(frozen=True)
class Texts:
    """A column of texts, each once, and the number of its text in every row.

    Attributes:
        numbers: ``[N]`` places in ``texts``.
        texts: in any order, each once.
    """

    numbers: Column
    texts: list[str]

    @classmethod
    def of(cls, values: Array) -> Texts:
        """Number the texts of an array."""
        texts, numbers = np.unique(values.astype(np.str_), return_inverse=True)
        return cls(held(numbers.reshape(-1)), texts.tolist())

    def codes(self, order: Sequence[str]) -> Column:
        """Return the place of each row's text in ``order``, which has all texts."""
        places = {text: place for place, text in enumerate(order)}
        numbers = np.array([places[text] for text in self.texts], np.int64)
        return mapped(self.numbers, numbers.__getitem__, dtype=numbers.dtype)

    def labels(self) -> Column:
        """Return whole numbers in the order of the texts: as numbers if all are, else as words."""
        if all(text.isdecimal() and len(text) < 19 for text in self.texts):
            values = np.array([int(text) for text in self.texts], np.int64)
            return mapped(self.numbers, values.__getitem__, dtype=values.dtype)
        return self.codes(sorted(self.texts))

    def first_row(self, texts: frozenset[str]) -> int | None:
        """Return the first row that holds one of ``texts``; None if there is none."""
        places = [place for place, text in enumerate(self.texts) if text.strip() in texts]
        if not places:
            return None
        for first, block in blocks(self.numbers):
            if (found := np.isin(block, places)).any():
                return first + int(np.argmax(found))
        return None


def is_truth(cell: object) -> bool:
    """Return whether a cell is a word, number or boolean for true or false."""
    return str(cell).strip().lower() in _WORDS


def truths(cells: Sequence[object]) -> Array:
    """Return words for true and false as booleans: true/false, t/f, yes/no, y/n, 1/0, in any case.

    Raises:
        ValueError: one is another word.
    """
    words = {cell: _WORDS.get(str(cell).strip().lower()) for cell in set(cells)}
    if None in words.values():
        raise ValueError("neither true nor false")
    return np.array([words[cell] for cell in cells], np.bool_)


def kind_of_time(cell: object) -> str | None:
    """Return what a text is, ``a time`` or ``a time with a zone``; None if it is neither."""
    match = _TIME.fullmatch(str(cell).strip())
    return None if match is None else "a time with a zone" if match[3] else "a time"


def times(cells: Sequence[object]) -> Array:
    """Return dates, or dates and times, of ISO 8601 as ``datetime64[ns]``, those with a time zone in UTC.

    Raises:
        ValueError: one is no such text, or lies outside the years that 64 bits of nanoseconds hold.
    """
    plain, behind = [], []
    for cell in cells:
        match = _TIME.fullmatch(str(cell).strip())
        if match is None or not _YEARS[0] <= match[1][:4] <= _YEARS[1]:
            raise ValueError("no date")
        day, clock, zone, sign, hours, minutes = match.groups()
        plain.append(f"{day}T{clock}" if clock else day)
        offset = 60 * int(hours) + int(minutes) if sign else 0
        behind.append(None if zone is None else -offset if sign == "-" else offset)
    if any(offset is None for offset in behind):
        if any(offset is not None for offset in behind):
            raise ValueError("a time zone in some rows alone")
        return np.array(plain, "datetime64[ns]")
    offsets = np.array(behind, np.int64) * 60 * _NANOSECONDS
    universal: Array = np.array(plain, "datetime64[ns]") - offsets.astype("timedelta64[ns]")
    return universal
