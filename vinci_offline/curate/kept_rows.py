"""The rows that a selection keeps of one source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.data.episodes import episodes_of, whole
from vinci_offline.data.indexing import episode_rows
from vinci_offline.types import Array


@dataclass(frozen=True)
class KeptRows:
    """Rows of one source.

    Attributes:
        source: the dataset.
        episodes: numbers of its episodes, ascending.
        rows: numbers of the rows kept in them, ascending; None where all rows are kept.
    """

    source: Dataset
    episodes: Array
    rows: Array | None = None

    @property
    def size(self) -> int:
        """The number of rows."""
        if self.rows is not None:
            return len(self.rows)
        return int(self.source.episode_columns[LENGTH][self.episodes].sum())

    def only(self, episodes: Array) -> KeptRows:
        """Return the rows that lie in some of the episodes."""
        rows = None if self.rows is None else self.rows[np.isin(self.episodes_of(self.rows), episodes)]
        return KeptRows(self.source, episodes, rows)

    def episodes_of(self, rows: Array) -> Array:
        """Return the source's episode of each row."""
        return episodes_of(self.source.episode_columns, rows)

    def all_rows(self) -> Array:
        """Return the numbers of the rows."""
        if self.rows is not None:
            return self.rows
        table = self.source.episode_columns
        rows = episode_rows(table[START][self.episodes], table[LENGTH][self.episodes])
        return np.arange(rows.start, rows.stop) if isinstance(rows, slice) else rows

    def episodes_with_rows(self) -> Array:
        """Return the episodes with at least one kept row."""
        return self.episodes if self.rows is None else np.unique(self.episodes_of(self.rows))

    def whole_episodes(self) -> Array:
        """Return the episodes with at least one kept row that are no fragments in the source."""
        episodes = self.episodes_with_rows()
        return np.asarray(episodes[whole(self.source.episode_columns)[episodes]])

    def view(self) -> Dataset:
        """Return the rows as a view of the source; whole episodes keep their facts."""
        if self.rows is None:
            return self.source.select_episodes(self.episodes)
        return self.source.rows(self.rows)
