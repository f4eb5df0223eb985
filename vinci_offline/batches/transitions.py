"""Transitions as a tuple of five arrays, for callers that do not yet take columns by name."""

from __future__ import annotations

from vinci_offline.batches.names import TRANSITION
from vinci_offline.batches.reader import ColumnReader, load_columns, sample_observations
from vinci_offline.batches.returns import n_step_returns
from vinci_offline.data.dataset import Dataset
from vinci_offline.types import Columns, Transitions

__all__ = ["TransitionReader", "as_transitions", "load_transitions", "n_step_returns", "sample_observations"]


def as_transitions(columns: Columns) -> Transitions:
    """Return the five columns of a transition."""
    return Transitions(*(columns[name] for name in TRANSITION))


def load_transitions(dataset: Dataset, gamma: float = 0.99, n_step: int = 1) -> Transitions:
    """Load every row of a dataset as a transition; see `load_columns`."""
    return as_transitions(load_columns(dataset, gamma=gamma, n_step=n_step))


class TransitionReader:
    """Reads rows of a dataset as transitions; see `ColumnReader`."""

    def __init__(self, dataset: Dataset, gamma: float = 0.99, n_step: int = 1) -> None:
        self._reader = ColumnReader(dataset, gamma=gamma, n_step=n_step)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._reader)

    def read(self, start: int, stop: int) -> Transitions:
        """Read rows ``start … stop - 1``."""
        return as_transitions(self._reader.read(start, stop))
