"""Held-out episodes: what a run does not learn from, and how well what it learned fits there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from keras import ops

from vinci_offline.batches.transitions import TransitionReader
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.errors import UsageError
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.engines.engine import Engine
from vinci_offline.training.learner import BoundUpdate
from vinci_offline.types import Array, Transitions

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


def held_out_sample(split: Split, config: TrainingConfig) -> Transitions | None:
    """The held-out transitions, or blocks of them spread evenly over the held-out rows where there are many.

    At most 16,384 of them: a look at their losses then costs as much as a few tens of gradient steps, and the memory
    that they take is bounded, whatever the dataset's size.

    Raises:
        DatasetError: a column holds NaN or infinite values.
    """
    if split.held_out is None:
        return None
    split.held_out.check_finite()
    reader = TransitionReader(split.held_out, config.gamma, config.n_step)
    if len(reader) <= _MOST_ROWS:
        return reader.read(0, len(reader))
    starts = np.linspace(0, len(reader) - _BLOCK_ROWS, _MOST_ROWS // _BLOCK_ROWS).astype(np.int64)
    blocks = [reader.read(start, start + _BLOCK_ROWS) for start in starts.tolist()]
    return Transitions(*(np.concatenate(columns) for columns in zip(*blocks, strict=True)))


class HeldOut:
    """The losses of a learner on transitions that it does not learn from, in equal slices.

    Args:
        engine: computes the losses.
        transitions: NumPy arrays with leading axis N.
    """

    def __init__(self, engine: Engine, transitions: Transitions) -> None:
        self._engine = engine
        count = len(transitions.reward)
        slices = math.ceil(count / _SLICE_ROWS)
        size = count // slices  # equal ones compile once
        self._batches = [
            Transitions(*(ops.convert_to_tensor(column[i * size : (i + 1) * size]) for column in transitions))
            for i in range(slices)
        ]

    def losses(self, updates: Sequence[BoundUpdate]) -> dict[str, float]:
        """``validation/NETWORK``: the loss of each update, with draws that are the same at every call."""
        return {
            f"validation/{name}": loss for name, loss in self._engine.losses(updates, self._batches).items()
        }


def deciding_loss(updates: Sequence[BoundUpdate], losses: Mapping[str, float]) -> float:
    """The held-out loss that patience and the best checkpoint go by.

    The actor's where an actor is trained, for the policy is what is kept; otherwise the sum of the critics'. A critic's
    error is measured against its own moving target and may grow while the policy improves.
    """
    roles = {bound.update.role for bound in updates}
    role = "actor" if "actor" in roles else "critic"
    return sum(losses[f"validation/{b.update.trains}"] for b in updates if b.update.role == role)
