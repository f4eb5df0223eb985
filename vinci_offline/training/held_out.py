"""Held-out episodes: what a run does not learn from, and how well what it learned fits there."""

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
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.engines.engine import Engine
from vinci_offline.training.learner import BoundUpdate
from vinci_offline.types import Array, Columns

_SPLIT_KEY = 0x76696E63
_MOST_ROWS, _BLOCK_ROWS, _SLICE_ROWS = 16_384, 256, 4_096


@dataclass(frozen=True)
class Split:
    """A dataset in two.

    Attributes:
        training: the episodes to learn from.
        held_out: the other ones, or None.
        rows: the dataset's row of each row of ``training``; None where they are the same.
    """

    training: Dataset
    held_out: Dataset | None = None
    rows: Array | None = None


def split_episodes(dataset: Dataset, fraction: float | None) -> Split:
    """Hold out a fraction of the episodes, at random.

    The same episodes for every seed of a run, so that agents and seeds compare on what none of them saw.

    Args:
        dataset: E episodes.
        fraction: of the episodes, at least one of them and not all; None holds out nothing.

    Raises:
        UsageError: there is one episode only.
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


def held_out_sample(data: Dataset, agent: Agent, config: TrainingConfig, known: Survey) -> Columns:
    """Read the held-out rows, or blocks of them spread evenly where there are many.

    At most 16,384 rows: a look at their losses then costs as much as a few tens of gradient steps, and the memory that
    they take is bounded, whatever the dataset's size.

    Args:
        data: the held-out episodes.
        agent: says which columns it needs.
        config: the run's discount and steps.
        known: what `batches.first_read.first_read` found in them.

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
    """Read a block of rows for a place in a pool; runs end with the block."""
    stop = start + count
    columns = reader.read(start, stop)
    if reader.trajectories:
        for name, rows in zip((FIRST_ROW, LAST_ROW), reader.runs.bounds(start, stop), strict=True):
            columns[name] = (np.clip(rows, start, stop - 1) - start + place).astype(np.int32)
    return columns


class HeldOut:
    """The losses of a learner on rows that it does not learn from, in equal slices.

    Args:
        engine: computes the losses.
        columns: a pool's columns, NumPy arrays with leading axis N.
    """

    def __init__(self, engine: Engine, columns: Columns) -> None:
        self._engine = engine
        count = len(columns[REWARD])
        slices = math.ceil(count / _SLICE_ROWS)
        size = count // slices  # equal ones compile once
        self._pool = {name: ops.convert_to_tensor(column) for name, column in columns.items()}
        self._batches = [np.arange(i * size, (i + 1) * size, dtype=np.int32) for i in range(slices)]

    def losses(self, updates: Sequence[BoundUpdate]) -> dict[str, float]:
        """Return ``validation/NETWORK``: each update's loss, with draws that are the same at every call."""
        losses = self._engine.losses(updates, self._batches, self._pool)
        return {f"validation/{name}": loss for name, loss in losses.items()}


def deciding_loss(updates: Sequence[BoundUpdate], losses: Mapping[str, float]) -> float:
    """Return the held-out loss that patience and the best checkpoint go by.

    It is the actor's where an actor is trained, for the policy is what is kept; otherwise the sum of all. A critic's
    error is measured against its own moving target and may grow while the policy improves.
    """
    roles = {bound.update.role for bound in updates}
    deciding = {"actor"} if "actor" in roles else roles
    return sum(losses[f"validation/{b.update.name}"] for b in updates if b.update.role in deciding)
