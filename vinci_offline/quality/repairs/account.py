"""What a repair did, in words and numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from vinci_offline.data.problem import printable


@dataclass(frozen=True)
class Repair:
    """One kind of change that a repair made; its text is one line.

    Attributes:
        where: the columns or the part of the file.
        what: what was done there.
        count: the rows, episodes or columns that it concerned.
    """

    where: str
    what: str
    count: int

    def __str__(self) -> str:
        return printable(f"{self.where}: {self.what}")

    def to_json(self) -> dict[str, Any]:
        """Its attributes by name."""
        return asdict(self)
