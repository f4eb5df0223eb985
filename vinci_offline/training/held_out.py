"""Held-out episodes: the split, the sample of their rows, and the losses on it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

from vinci_offline.agents.agent import Agent
from vinci_offline.batches.names import FIRST_ROW, LAST_ROW, REWARD
from vinci_offline.batches.reader import ColumnReader
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.errors import UsageError
from vinci_offline.quality.survey import Survey
from vinci_offline.spec.units import Units
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.engines.engine import Engine
from vinci_offline.training.learner import BoundUpdate
from vinci_offline.types import Array, Columns

_SPLIT_KEY = 0x76696E63
_MOST_ROWS, _BLOCK_ROWS, _SLICE_ROWS = 16_384, 256, 4_096


@dataclass(frozen=True)
class Split:
    """Dataset split into training and held-out episodes.

    Attributes:
        training: the episodes to learn from.
        held_out: the other episodes; None if none are held out.
        rows: the dataset row of each row of ``training``; None if they are equal.
    """

    training: Dataset
    held_out: Dataset | None = None
    rows: Array | None = None


def split_episodes(dataset: Dataset, fraction: float | None) -> Split:
    """Hold out a fraction of the episodes, at random.

    The choice depends on the number of episodes alone. So agents and seeds are compared on the same held-out episodes.

    Args:
        dataset: E episodes.
        fraction: share of the episodes to hold out, at least one and not all; None holds out nothing.

    Raises:
        UsageError: the dataset has one episode.
    """
    if fraction is None:
        return Split(dataset)
    table = dataset.episode_columns
    count = len(table[START])
    if count < 2:
        raise UsageError("--validation holds out whole episodes, and the dataset has one: leave it out")
    order = np.random.default_rng([_SPLIT_KEY, count]).permutation(count)
    held = min(max(1, round(fraction * count)), count - 1)
    kept = np.sort(order[held:])
    rows = np.concatenate(
        [np.arange(s, s + n) for s, n in zip(table[START][kept], table[LENGTH][kept], strict=True)]
    )
    return Split(dataset.select_episodes(kept), dataset.select_episodes(np.sort(order[:held])), rows)


def held_out_sample(
    data: Dataset, agent: Agent, config: TrainingConfig, known: Survey, units: Units | None = None
) -> Columns:
    """Read at most 16,384 held-out rows; of more rows, read blocks that are spread evenly.

    The limit bounds memory, and one computation of the losses costs no more than a few tens of gradient steps.

    Args:
        data: the held-out episodes.
        agent: names the columns.
        config: the run's discount and steps.
        known: the survey from `batches.first_read.first_read`.
        units: the units of the training rows; None takes those that the spaces alone give.

    Returns:
        A pool's columns, NumPy arrays with leading axis N.

    Raises:
        DatasetError: a column holds NaN or infinite values.
    """
    reader = ColumnReader(
        data,
        agent.columns,
        gamma=config.gamma,
        n_step=config.n_step,
        trajectories=agent.trajectories,
        known=known,
        units=units,
    )
    reader.check_finite()
    if len(data) <= _MOST_ROWS:
        return _block(reader, 0, len(data), 0)
    starts = np.linspace(0, len(data) - _BLOCK_ROWS, _MOST_ROWS // _BLOCK_ROWS).astype(np.int64)
    blocks = [
        _block(reader, int(start), _BLOCK_ROWS, place * _BLOCK_ROWS) for place, start in enumerate(starts)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def _block(reader: ColumnReader, start: int, count: int, place: int) -> Columns:
    """Read ``count`` rows for position ``place`` of a pool; runs end at the end of the block."""
    stop = start + count
    columns = reader.read(start, stop)
    if reader.trajectories:
        for name, rows in zip((FIRST_ROW, LAST_ROW), reader.runs.bounds(start, stop), strict=True):
            columns[name] = (np.clip(rows, start, stop - 1) - start + place).astype(np.int32)
    return columns


class HeldOut:
    """Validation losses of a learner on held-out rows, computed in slices of equal size.

    Args:
        engine: computes the losses.
        columns: a pool's columns, NumPy arrays with leading axis N.
    """

    def __init__(self, engine: Engine, columns: Columns) -> None:
        self._engine = engine
        count = len(columns[REWARD])
        slices = math.ceil(count / _SLICE_ROWS)
        size = count // slices  # one size compiles once
        self._pool = {name: ops.convert_to_tensor(column) for name, column in columns.items()}
        self._batches = [np.arange(i * size, (i + 1) * size, dtype=np.int32) for i in range(slices)]

    def losses(self, updates: Sequence[BoundUpdate], step: int) -> dict[str, float]:
        """Return each update's validation loss after a global step as ``validation/NAME``.

        Each call uses the same random draws.
        """
        losses = self._engine.losses(updates, self._batches, self._pool, step=step, validation=True)
        return {f"validation/{name}": loss for name, loss in losses.items()}


def deciding_loss(updates: Sequence[BoundUpdate], losses: Mapping[str, float]) -> float:
    """Return the held-out loss that decides patience and the best checkpoint.

    If an actor is trained, its loss decides; otherwise the sum of all losses. A critic's error is measured against
    its own moving target and may grow while the policy improves.
    """
    roles = {bound.update.role for bound in updates}
    deciding = {"actor"} if "actor" in roles else roles
    return sum(losses[f"validation/{b.update.name}"] for b in updates if b.update.role in deciding)
