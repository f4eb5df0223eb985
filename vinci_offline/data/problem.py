"""What is wrong with a file."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a dataset; its text is one line.

    Attributes:
        where: the column, attribute or part of the file, and the row where one is to blame.
        what: what is wrong there.
        advice: what to do about it.
    """

    where: str
    what: str
    advice: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.what}; {self.advice}")


def printable(text: str) -> str:
    """``text`` on one line without control characters: names in a file are a stranger's."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
