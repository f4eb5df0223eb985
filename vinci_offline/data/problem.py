"""Findings in a file: problems, and notes that are only worth a look."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vinci_offline.text import printable


@dataclass(frozen=True)
class Finding:
    """A finding of a check in a dataset. Its text is one line.

    Attributes:
        where: the column, attribute or part of the file, and the row if one is at fault.
        what: the finding.
        advice: what to do.
    """

    where: str
    what: str
    advice: str

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.what}; {self.advice}")

    def to_json(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return asdict(self)


@dataclass(frozen=True)
class Problem(Finding):
    """A fault: the file cannot be used as it is, or contradicts itself.

    Attributes:
        repairable: whether `vinci_offline.quality.repair` can mend it without guessing.
    """

    repairable: bool = False


@dataclass(frozen=True)
class Note(Finding):
    """A finding that may be right and is worth a look. A file with notes alone is sound."""
