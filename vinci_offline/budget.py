"""The memory that a file may ask for, known before it is read.

A compressed file of a few kilobytes can name arrays of gigabytes. The reader of a file that may come from a stranger
adds up what it will hold at one time, and asks here first. What streams in blocks of a few megabytes need not ask.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from vinci_offline.errors import DatasetError

FLOOR = 2**28
"""A file of any size may ask for this many bytes. Reading makes up to three copies, and a process stays below 1 GiB."""
RATIO = 50
"""A larger file may ask for this many times its own bytes.

A constant column shrinks a thousandfold, but a whole file seldom does: tables of numbers shrink two- to tenfold, and
screens of simple video games, which shrink the most, 20- to 50-fold.
"""
DEEPEST = 200
"""Levels of nested lists or objects in a text. Data has a handful; parsers overflow their stack at thousands."""
VARIABLE = "VINCI_OFFLINE_TRUST"
"""The environment variable that lifts the budget, set to 1."""

STREAMED_FLOOR = 2**30
"""What is read in blocks takes time, not memory: about this many bytes in ten seconds."""
STREAMED_RATIO = 200
TRUST = f"if you trust the file, set {VARIABLE}=1"
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[{]+|[\]}]+', re.DOTALL)


def afford(where: str, what: str, *, asked: int, present: int) -> None:
    """Refuse a file that asks for far more memory than its bytes can honestly hold.

    Args:
        where: the file, for the message.
        what: the part of it that is held in memory, such as "the column 'rewards'".
        asked: the bytes it takes in memory.
        present: the bytes of the file, or of the files that are read together.

    Raises:
        DatasetError: ``asked`` is beyond the budget, and the user did not lift it.
    """
    if asked > max(FLOOR, RATIO * present) and not trusted():
        raise DatasetError(
            f"{_line(where)}: {_line(what)} takes {size_text(asked)} of memory, and the file has {size_text(present)}: "
            f"{TRUST}"
        )


def limit(where: str, what: str, count: int, most: int) -> None:
    """Refuse a file that holds more of something than any honest one: objects, columns, levels.

    Raises:
        DatasetError: ``count`` is above ``most``, and the user did not lift the budget.
    """
    if count > most and not trusted():
        raise DatasetError(f"{_line(where)}: {count:,} {_line(what)}, and at most {most:,} are read: {TRUST}")


def afford_stream(where: str, what: str, *, asked: int, present: int) -> None:
    """Refuse a file whose content, read in blocks, unfolds to far more than its bytes: it would take for ever.

    Raises:
        DatasetError: ``asked`` is beyond the budget of a stream, and the user did not lift it.
    """
    if asked > max(STREAMED_FLOOR, STREAMED_RATIO * present) and not trusted():
        raise DatasetError(
            f"{_line(where)}: {_line(what)} unfolds to {size_text(asked)}, and the file has {size_text(present)}: "
            f"{TRUST}"
        )


class Tally:
    """The sum of what one file asks for, where several of its parts are held at one time.

    Attributes:
        where: the file.
        present: its bytes.
        asked: the bytes of memory so far.
    """

    def __init__(self, where: str, present: int) -> None:
        self.where, self.present, self.asked = where, present, 0

    def add(self, what: str, asked: int) -> None:
        """Count a part of the file that will be held, and refuse the sum as `afford` does.

        Raises:
            DatasetError: all parts together are beyond the budget.
        """
        self.asked += asked
        afford(
            self.where,
            what if self.asked == asked else f"{what}, with what is read before it,",
            asked=self.asked,
            present=self.present,
        )


def check_nesting(where: str, what: str, text: str | bytes, most: int = DEEPEST) -> None:
    """Refuse JSON text nested deeper than any honest one; brackets inside its strings do not count.

    Raises:
        DatasetError: it has more than ``most`` levels, with or without trust: a parser would overflow its stack.
    """
    content = text.encode(errors="replace") if isinstance(text, str) else text
    if content.count(b"[") + content.count(b"{") <= most:
        return
    depth = 0
    for found in _BRACKETS.finditer(content):
        piece = found.group()
        if piece[0] in b"[{":
            depth += len(piece)
            if depth > most:
                raise DatasetError(
                    f"{_line(where)}: {_line(what)} is nested more than {most} levels deep: write it flatter"
                )
        elif piece[0] in b"]}":
            depth -= len(piece)


def trusted() -> bool:
    """Return whether the user lifted the budget."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


@contextmanager
def trusting(trust: bool = True) -> Iterator[None]:
    """Lift the budget inside the block, in this process and those it starts; False leaves it as it is."""
    if not trust or trusted():
        yield
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def size_text(size: int) -> str:
    """Return a number of bytes in a readable unit: 1,536 is "1.5 KiB"."""
    value, unit = float(min(size, 2**80)), "bytes"
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024 or unit == "PiB":
            break
        value /= 1024
    return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 100 else f"{value:.1f} {unit}"


def _line(text: str) -> str:
    """Return a text on one line: names come from the file."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
