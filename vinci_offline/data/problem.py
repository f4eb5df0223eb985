"""What is wrong with a file, and what is only worth a look."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing that a check found in a dataset; its text is one line.

    Attributes:
        where: the column, attribute or part of the file, and the row where one is to blame.
        what: what was found there.
        advice: what to do about it.
    """

    where: str
    what: str
    advice: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.what}; {self.advice}")

    def to_json(self) -> dict[str, Any]:
        """Its attributes by name."""
        return asdict(self)


@dataclass(frozen=True)
class Problem(Finding):
    """A fault: the file cannot be used as it is, or something in it is not what it says.

    Attributes:
        repairable: whether `vinci_offline.quality.repair` can put it right without guessing.
    """

    repairable: bool = False


@dataclass(frozen=True)
class Note(Finding):
    """Something that may be as it should be, and is worth a look; a file with notes alone is sound."""


def printable(text: str) -> str:
    """``text`` on one line without control characters: names in a file are a stranger's."""
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )
