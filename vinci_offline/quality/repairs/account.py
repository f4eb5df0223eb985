"""The account of a repair, in words and numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vinci_offline.text import printable


@dataclass(frozen=True)
class Repair:
    """One kind of change that a repair made. Its text is one line.

    Attributes:
        where: the columns or the part of the file.
        what: the change.
        count: the number of rows, episodes or columns changed.
    """

    where: str
    what: str
    count: int

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.what}")

    def to_json(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return asdict(self)
