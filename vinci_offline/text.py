"""Text from files on its way to a reader: a terminal, a page of Markdown, a plot.

Names in a file come from strangers. Everything that shows them passes through one of these functions.
"""

from __future__ import annotations

import html
import re
import shlex
from collections.abc import Iterable
from pathlib import Path

_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#!|]")


def printable(text: str) -> str:
    """Return ``text`` on one line without control characters, for a terminal or a message.

    Escape sequences, line breaks, marks that turn the direction of writing, and halves of characters (in names of files
    that are not UTF-8) become the replacement character.
    """
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def one_line(text: str) -> str:
    """Return ``text`` as `printable` does, with line breaks and tabs as single spaces."""
    return printable(re.sub(r"\s*[\t\n\v\f\r\x85\u2028\u2029]\s*", " ", text))


def markup(text: str) -> str:
    """Return ``text`` for a place where Rich reads markup, such as a progress bar: it shows as it is."""
    from rich.markup import escape  # not at the top: few commands show a bar

    return escape(one_line(text))


def markdown(text: str) -> str:
    """Return ``text`` for a page of Markdown or a cell of its tables: it shows as it is, and holds no HTML."""
    return _MARKDOWN.sub(r"\\\g<0>", html.escape(one_line(text), quote=False))


def plotted(text: str) -> str:
    """Return ``text`` for a plot, where Matplotlib would read formulas between dollar signs."""
    return one_line(text).replace("$", r"\$")


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, as ``1 row`` or ``3,000 rows``."""
    return f"1 {noun}" if count == 1 else f"{count:,} {noun}s"


def text_of(value: object) -> str:
    """Return the value of a setting as ``--set KEY=VALUE`` takes it: a list with commas, None as ``none``."""
    if hasattr(value, "tolist"):  # of NumPy
        value = value.tolist()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return "none" if value is None else str(value)


def command(*words: object) -> str:
    """Return a command of this package as a shell takes it: words with spaces are quoted."""
    return shlex.join(["vinci-offline", *map(str, words)])


def convert_command(path: Path) -> str:
    """Return the command that converts a file of another tool, to a name that is free."""
    names = (path.with_suffix(".h5"), *(path.with_name(f"{path.stem}-{n}.h5") for n in range(2, 100)))
    return command("convert", path, next((name for name in names if not name.exists()), names[-1]))


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str | None:
    """Return the known name that is most like a mistaken one; None if none is. Capital letters do not count."""
    from difflib import get_close_matches  # not at the top: mistakes alone need it

    lowered = {each.lower(): each for each in known}
    close = get_close_matches(name.lower(), lowered, 1, likeness)
    return lowered[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the question that ends a message about an unknown name; nothing if no known one is near."""
    close = nearest(name, known)
    return "" if close is None else f"; did you mean {close!r}?"
