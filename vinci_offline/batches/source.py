"""Where an engine draws its batches from: pools of rows, of which there may be only one."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from keras import ops

from vinci_offline.types import Array, Transitions


class Source(Protocol):
    """Pools of equal size, each for as many steps as any other."""

    @property
    def pool_rows(self) -> int:
        """Rows of a pool."""

    @property
    def span(self) -> int | None:
        """Steps a pool is for: global step ``t`` draws from pool ``(t - 1) // span``; None where there is one pool."""

    @property
    def waited(self) -> float:
        """Seconds spent waiting for pools so far."""

    def pool(self, generation: int) -> Transitions:
        """The rows of a pool.

        Raises:
            VinciError: they cannot be read.
        """

    def prepare(self, generation: int) -> None:
        """Begin to read a pool that will be asked for next."""

    def dataset_rows(self, generation: int) -> Array:
        """``[P]`` int64: the dataset's row behind each row of a pool."""

    def example(self, count: int) -> Transitions:
        """At most ``count`` rows, to look at their shapes."""

    def close(self) -> None:
        """Stop reading."""


class Resident:
    """One pool of all rows; engines that share it share what is on the device.

    Args:
        transitions: leading axis N.
    """

    span = None
    waited = 0.0

    def __init__(self, transitions: Transitions) -> None:
        self._transitions = transitions
        self.pool_rows = len(transitions.reward)

    def pool(self, generation: int) -> Transitions:
        """All rows, as tensors."""
        self._transitions = Transitions(*(ops.convert_to_tensor(column) for column in self._transitions))
        return self._transitions

    def prepare(self, generation: int) -> None:
        """Nothing to do."""

    def dataset_rows(self, generation: int) -> Array:
        """``[N]`` int64: 0 … N - 1."""
        return np.arange(self.pool_rows)

    def example(self, count: int) -> Transitions:
        """The first rows."""
        return Transitions(*(column[:count] for column in self._transitions))

    def close(self) -> None:
        """Nothing to do."""
