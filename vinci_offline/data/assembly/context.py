"""The context of an import: the source, the user's options, and the decisions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vinci_offline.budget import afford
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError
from vinci_offline.inputs import bytes_at
from vinci_offline.types import Array

_EPISODE_BYTES = 200
"""Of a row of the episode table, with the copies that are made of it."""
_FREE_EPISODES = 2**20
BAD = "bad episodes, as --skip-bad says"
"""Reason for dropping an episode."""


class ImportContext:
    """The facts that every step of an import needs, and the notes that it leaves.

    Attributes:
        where: the source, for messages.
        options: what the user says of it.
        decisions: one line each, in the order in which they were made.
        dropped: rows or episodes that were left out, counted by reason.
        place: returns what the source calls a row, for messages: its line where the source has lines.
    """

    def __init__(self, where: str | Path, options: ImportOptions | None = None) -> None:
        self.where = str(where)
        self.options = options or ImportOptions()
        self.decisions: list[str] = []
        self.dropped: dict[str, int] = {}
        self._first_bad: str | None = None
        self.place: Callable[[int], str] = "row {}".format

    def decide(self, text: str) -> None:
        """Note a decision in one line."""
        self.decisions.append(text)

    def drop(self, count: int, reason: str) -> None:
        """Count rows or episodes that are left out; zero is not noted."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + count

    @contextmanager
    def episode(self) -> Iterator[None]:
        """Read one of several separate episodes in here. A bad one is left out and counted where the options say so.

        Raises:
            DatasetError: the episode is bad, and the options do not leave it out.
        """
        try:
            yield
        except DatasetError as error:
            if not self.options.skip_bad:
                raise type(error)(f"{error} (--skip-bad leaves out episodes that are bad)") from error
            self.skip(1, str(error))

    def skip(self, count: int, reason: str) -> None:
        """Count bad episodes that are left out; the first reason is noted."""
        self.drop(count, BAD)
        if self._first_bad is None:
            self._first_bad = reason
            self.decide(f"the first bad episode: {reason.removeprefix(f'{self.where}: ')}")

    def check_bad(self, good: int) -> None:
        """Refuse a source of which most episodes are bad.

        Args:
            good: the number of episodes that were not.

        Raises:
            DatasetError: there are fewer than bad ones: then the good ones are perhaps those that are unlike.
        """
        bad = self.dropped.get(BAD, 0)
        if bad > good:
            raise DatasetError(f"{bad} of {bad + good} episodes are bad, too many to skip; {self._first_bad}")

    def reorder(self, order: Array) -> None:
        """Note that row t of the table is row ``order[t]`` of the source, so that messages still name its place."""
        place = self.place
        self.place = lambda row: place(int(order[row]))

    def afford_episodes(self, count: int) -> None:
        """Refuse a source that has far more episodes than its bytes can honestly hold.

        Raises:
            DatasetError: their table is beyond the budget of memory; see `vinci_offline.budget`.
        """
        if count > _FREE_EPISODES and (present := bytes_at(Path(self.where))):
            what = f"the table of {count:,} episodes"
            afford(self.where, what, asked=count * _EPISODE_BYTES, present=present)

    def setting(self, name: str) -> str | None:
        """Return what ``--set NAME=VALUE`` says; None where it is not given."""
        return self.options.settings.get(name)
