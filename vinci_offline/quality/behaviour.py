"""The behaviour policy that recorded a dataset: its value and its randomness."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START, TERMINATED
from vinci_offline.data.episodes import episodes_of, returns, whole
from vinci_offline.errors import UsageError
from vinci_offline.quality.neighbours import level_from_neighbours
from vinci_offline.quality.recorded_log_probs import level_from_log_probs
from vinci_offline.types import Array


def behaviour_value(dataset: Dataset, gamma: float) -> dict[str, float] | None:
    """Estimate the behaviour policy's value at the starts of episodes by the mean discounted return.

    Fragments of episodes are left out: their rewards begin or stop anywhere. The rewards after the end of an episode
    that was cut off are unknown. ``unseen`` is the mean factor by which they would be discounted; it is 0 if all
    episodes terminated.

    Args:
        dataset: the episodes.
        gamma: the discount a step.

    Returns:
        ``gamma, mean, standard_error`` (of the mean over episodes; NaN for one) and ``unseen``; None if no episode is
        whole.

    Raises:
        UsageError: ``gamma`` is not in [0, 1].
    """
    if not 0 <= gamma <= 1:
        raise UsageError(f"gamma {gamma:g}: give a discount between 0 and 1")
    table = dataset.episode_columns
    start, counted = table[START], whole(table)
    if not counted.any():
        return None

    def discounted() -> Iterator[tuple[int, Array]]:
        for first, rewards in dataset.columns.blocks(layout.REWARDS):
            rows = np.arange(first, first + len(rewards))
            steps = rows - start[episodes_of(table, rows)]
            yield first, rewards * np.power(gamma, steps, dtype=np.float64)

    earned = returns(discounted(), start)[counted]
    with np.errstate(invalid="ignore", over="ignore"):
        spread = float(earned.std(ddof=1)) / math.sqrt(len(earned)) if len(earned) > 1 else math.nan
        mean = float(earned.mean())
    cut = ~table[TERMINATED].astype(np.bool_)
    unseen = float((cut * np.power(gamma, table[LENGTH], dtype=np.float64))[counted].mean())
    return {"gamma": gamma, "mean": mean, "standard_error": spread, "unseen": unseen}


def stochasticity(dataset: Dataset) -> dict[str, Any] | None:
    """Tell how random the behaviour policy was, from 0 (a function of the observation) to 1 (uniform).

    With recorded log probabilities it is measured, see `vinci_offline.quality.recorded_log_probs`. Otherwise it is
    estimated from neighbouring observations, see `vinci_offline.quality.neighbours`. Policies that differ between
    episodes count as one random policy.

    Returns:
        ``method`` (``log_probs`` or ``neighbours``), ``level``, ``upper_bound``, the number of ``rows`` used, and
        perhaps ``entropy`` or ``distance``; None if nothing can be told: images, few rows, constant actions.
    """
    return level_from_log_probs(dataset) or level_from_neighbours(dataset)
