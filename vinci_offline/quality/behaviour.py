"""The behaviour policy that recorded a dataset: its value and its randomness."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START, TERMINATED
from vinci_offline.data.episodes import episodes_of, returns
from vinci_offline.data.indexing import spaced_rows
from vinci_offline.errors import UsageError
from vinci_offline.spec import BoxSpace, DiscreteSpace, is_countable
from vinci_offline.types import Array, FloatArray

_MOST_DIMENSIONS = 256
_REFERENCES = 20_000
_QUERIES = 1_000
_FAR = 0.3
_AT_ONCE = 50
"""Queries compared with all references at once: 8 MB of distances."""


def behaviour_value(dataset: Dataset, gamma: float) -> dict[str, float]:
    """Estimate the behaviour policy's value at the starts of episodes by the mean discounted return.

    The rewards after the end of an episode that was cut off are unknown. ``unseen`` is the mean factor by which they
    would be discounted; it is 0 if all episodes terminated.

    Args:
        dataset: whole episodes.
        gamma: the discount a step.

    Returns:
        ``gamma, mean, standard_error`` (of the mean over episodes; NaN for one) and ``unseen``.

    Raises:
        UsageError: ``gamma`` is not in [0, 1].
    """
    if not 0 <= gamma <= 1:
        raise UsageError(f"gamma {gamma:g}: give a discount between 0 and 1")
    table = dataset.episode_columns
    start = table[START]

    def discounted() -> Iterator[tuple[int, Array]]:
        for first, rewards in dataset.columns.blocks(layout.REWARDS):
            rows = np.arange(first, first + len(rewards))
            steps = rows - start[episodes_of(table, rows)]
            yield first, rewards * np.power(gamma, steps, dtype=np.float64)

    earned = returns(discounted(), start)
    with np.errstate(invalid="ignore", over="ignore"):
        spread = float(earned.std(ddof=1)) / math.sqrt(len(earned)) if len(earned) > 1 else math.nan
        mean = float(earned.mean())
    cut = ~table[TERMINATED].astype(np.bool_)
    unseen = float((cut * np.power(gamma, table[LENGTH], dtype=np.float64)).mean())
    return {"gamma": gamma, "mean": mean, "standard_error": spread, "unseen": unseen}


def stochasticity(dataset: Dataset) -> dict[str, Any] | None:
    """Estimate how random the behaviour policy was, from 0 (a function of the observation) to 1.

    If log-probabilities were recorded, their negative mean is the policy's entropy H in nats. ``level`` is the share of
    the choices (of the range, in each of A bounded dimensions) over which a uniform policy would be as random:
    exp(H) / n for n Discrete actions, exp(H / A) over the geometric mean of the ranges otherwise.

    Otherwise the level is estimated from nearest neighbours among the standardised observations of other episodes, for
    a thousand rows among twenty thousand. It is the residual standard deviation of the action given the observation,
    over the standard deviation of all actions, averaged over dimensions. Half the mean squared difference between
    neighbours estimates the residual variance (Liitiäinen, Corona and Lendasse 2010, Journal of Multivariate Analysis
    101(4)). For Discrete actions it is the share of neighbours with unlike actions, over that share among any two rows.
    ``distance`` is the mean distance of neighbours over that of any two rows. Above 0.3 neighbours are hardly alike,
    and ``level`` is an ``upper_bound``. Policies that differ between episodes count as one random policy.

    Returns:
        ``method`` (``log_probs`` or ``neighbours``), ``level``, ``upper_bound``, the number of ``rows`` used, and
        ``entropy`` or ``distance``; None if nothing can be estimated: images, few rows, constant actions.
    """
    return _from_log_probs(dataset) or _from_neighbours(dataset)


def _from_log_probs(dataset: Dataset) -> dict[str, Any] | None:
    path, space = layout.ACTION_LOG_PROBS, dataset.spec.action_space
    if path not in dataset.columns or len(dataset.columns.shape(path)) != 1:
        return None
    total, count = 0.0, 0
    for _, block in dataset.columns.blocks(path):
        known = block[np.isfinite(block)].astype(np.float64)
        total, count = total + float(known.sum()), count + len(known)
    if not count:
        return None
    entropy = -total / count
    if isinstance(space, DiscreteSpace):
        level = math.exp(min(entropy, math.log(space.n))) / space.n
    elif isinstance(space, BoxSpace) and space.dim and bool(space.bounded.all()):
        # The range of integers is the number of choices.
        ranges = (space.high.astype(np.float64) - space.low + is_countable(space)).reshape(-1)
        level = math.exp(min(entropy / space.dim - float(np.log(ranges).mean()), 0.0))
    else:
        return None
    return {"method": "log_probs", "level": level, "upper_bound": False, "entropy": entropy, "rows": count}


def _from_neighbours(dataset: Dataset) -> dict[str, Any] | None:
    paths = [path for path in dataset.columns if path.partition("/")[0] == layout.OBSERVATIONS]
    if sum(math.prod(dataset.columns.shape(path)[1:]) for path in paths) > _MOST_DIMENSIONS:
        return None
    rows = spaced_rows(len(dataset), _REFERENCES)
    seen = np.concatenate([_flat(dataset.columns.gather(path, rows)) for path in paths], axis=1)
    acted = _flat(dataset.columns.gather(layout.ACTIONS, rows))
    finite = np.isfinite(seen).all(axis=1) & np.isfinite(acted).all(axis=1)
    seen, acted, rows = seen[finite], acted[finite], rows[finite]
    varied = acted.std(axis=0) > 0 if len(acted) else np.zeros(0, np.bool_)
    if len(rows) < 3 or not varied.any():
        return None
    deviation = seen.std(axis=0)
    seen = (seen - seen.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    episodes = episodes_of(dataset.episode_columns, rows)
    if episodes[0] == episodes[-1]:
        episodes = np.arange(len(rows))  # a single episode: every other row is a candidate
    queries = spaced_rows(len(rows), _QUERIES)
    nearest, near, far = _neighbours(seen, episodes, queries)
    if isinstance(dataset.spec.action_space, DiscreteSpace):
        share = np.unique(acted, return_counts=True)[1] / len(acted)
        unlike = (acted[queries] != acted[nearest]).mean()
        level = float(unlike / (1 - np.square(share).sum()))
    else:
        residual = np.square(acted[queries] - acted[nearest]).mean(axis=0) / 2
        level = float(np.sqrt(residual[varied] / acted.var(axis=0)[varied]).mean())
    distance = near / far if far > 0 else 0.0
    return {
        "method": "neighbours",
        "level": min(level, 1.0),
        "upper_bound": distance > _FAR,
        "distance": distance,
        "rows": len(queries),
    }


def _neighbours(seen: FloatArray, episodes: Array, queries: Array) -> tuple[Array, float, float]:
    """Return each query's nearest row of another episode, the mean distance to it, and that of any two rows."""
    squares = np.square(seen).sum(axis=1)
    nearest, near, far = np.empty(len(queries), np.int64), 0.0, 0.0
    for first in range(0, len(queries), _AT_ONCE):
        mine = queries[first : first + _AT_ONCE]
        distance = np.maximum(squares[mine, None] + squares - 2 * seen[mine] @ seen.T, 0)
        far += float(np.sqrt(distance).mean(axis=1).sum())
        distance[episodes[mine, None] == episodes] = np.inf
        found = distance.argmin(axis=1)
        nearest[first : first + len(mine)] = found
        near += float(np.sqrt(distance[np.arange(len(mine)), found]).sum())
    return nearest, near / len(queries), far / len(queries)


def _flat(values: Array) -> FloatArray:
    return values.reshape(len(values), -1).astype(np.float64)
