"""The context of an import: the source, the user's options, and the decisions."""

from __future__ import annotations

from pathlib import Path

from vinci_offline.data.assembly.options import ImportOptions


class ImportContext:
    """The facts that every step of an import needs, and the notes that it leaves.

    Attributes:
        where: the source, for messages.
        options: what the user says of it.
        decisions: one line each, in the order in which they were made.
        dropped: rows or episodes that were left out, counted by reason.
    """

    def __init__(self, where: str | Path, options: ImportOptions | None = None) -> None:
        self.where = str(where)
        self.options = options or ImportOptions()
        self.decisions: list[str] = []
        self.dropped: dict[str, int] = {}

    def decide(self, text: str) -> None:
        """Note a decision in one line."""
        self.decisions.append(text)

    def drop(self, count: int, reason: str) -> None:
        """Count rows or episodes that are left out; zero is not noted."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    def setting(self, name: str) -> str | None:
        """Return what ``--set NAME=VALUE`` says; None where it is not given."""
        return self.options.settings.get(name)
