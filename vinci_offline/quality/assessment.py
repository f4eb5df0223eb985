"""A dataset's quality: the spread of its returns, its behaviour policy, and the agents that suit it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH
from vinci_offline.data.episodes import whole, whole_returns
from vinci_offline.data.indexing import spaced_rows
from vinci_offline.quality.behaviour import behaviour_value, stochasticity
from vinci_offline.quality.distribution import distribution
from vinci_offline.quality.statistics import summarize
from vinci_offline.quality.suitability import no_reward_signal, no_verdict, suitable_agents
from vinci_offline.spec import MultiDiscreteSpace
from vinci_offline.spec.gymnasium_bridge import reward_threshold
from vinci_offline.types import Array, FloatArray

_ROWS = 20_000
_MOST_DIMENSIONS = 256


@dataclass(frozen=True)
class Picture:
    """Content of a plot of a dataset; of many rows a sample at equal distances.

    Attributes:
        returns: ``[E]`` returns of the whole episodes in recorded order.
        lengths: ``[E]`` rows of each of them.
        actions: ``[M, A]`` entries of actions; one entry for Discrete actions.
        plane: ``[M, 2]`` standardised observations on their two principal axes; None for images, and if fewer than
            two dimensions vary.
        explained: the share of the variance that the two axes hold.
    """

    returns: FloatArray
    lengths: Array
    actions: Array
    plane: FloatArray | None
    explained: float


def quality(dataset: Dataset, gamma: float = 0.99) -> dict[str, Any]:
    """Summarize a dataset and assess its quality, as JSON values.

    Every column is read in blocks or as a sample of rows, so memory stays bounded.

    Args:
        dataset: the rows.
        gamma: the discount a step of ``behaviour_value``.

    Returns:
        The result of `vinci_offline.quality.statistics.summarize`; ``returns`` and ``lengths`` of whole episodes, see
        `distribution`;
        ``reward_mode_share``, the share of rows that have the most frequent reward, among at most twenty thousand;
        ``stochasticity`` and ``behaviour_value``, see the functions of these names in
        `vinci_offline.quality.behaviour`; ``reward_threshold``, the mean return that solves the environment where
        Gymnasium knows one; ``no_reward_signal``, why the rewards tell no action from another, None where they do;
        ``agents`` that can learn from such actions, best first, each with ``agent, verdict, because, source``;
        ``no_verdict``, why there are none, otherwise None.

    Raises:
        UsageError: ``gamma`` is not in [0, 1].
    """
    value = behaviour_value(dataset, gamma)
    table = dataset.episode_columns
    found = {
        **summarize(dataset),
        "returns": distribution(whole_returns(table)),
        "lengths": distribution(table[LENGTH][whole(table)]),
        "reward_mode_share": _mode_share(dataset),
        "behaviour_value": value,
        "stochasticity": stochasticity(dataset),
        "reward_threshold": reward_threshold(dataset.spec),
    }
    found["no_reward_signal"] = no_reward_signal(found)
    several = isinstance(dataset.spec.action_space, MultiDiscreteSpace)
    found["no_verdict"] = "no agent learns several choices at once" if several else no_verdict(found)
    return {**found, "agents": [] if several else [each.to_json() for each in suitable_agents(found)]}


def picture(dataset: Dataset) -> Picture:
    """Return the content of a plot of the dataset."""
    rows = spaced_rows(len(dataset), _ROWS)
    table = dataset.episode_columns
    actions = dataset.columns.gather(layout.ACTIONS, rows)
    plane, explained = _plane(dataset, rows)
    lengths = table[LENGTH][whole(table)]
    return Picture(whole_returns(table), lengths, actions.reshape(len(rows), -1), plane, explained)


def _mode_share(dataset: Dataset) -> float:
    rewards = dataset.columns.gather(layout.REWARDS, spaced_rows(len(dataset), _ROWS))
    return float(np.unique(rewards, return_counts=True)[1].max() / len(rewards))


def _plane(dataset: Dataset, rows: Array) -> tuple[FloatArray | None, float]:
    paths = [path for path in dataset.columns if path.partition("/")[0] == layout.OBSERVATIONS]
    if sum(math.prod(dataset.columns.shape(path)[1:]) for path in paths) > _MOST_DIMENSIONS:
        return None, 0.0
    gathered = [dataset.columns.gather(path, rows).reshape(len(rows), -1) for path in paths]
    seen = np.concatenate(gathered, axis=1).astype(np.float64)
    seen = seen[np.isfinite(seen).all(axis=1)]
    deviation = seen.std(axis=0) if len(seen) else np.zeros(0)
    if np.count_nonzero(deviation) < 2:
        return None, 0.0
    seen = (seen - seen.mean(axis=0))[:, deviation > 0] / deviation[deviation > 0]
    variances, axes = np.linalg.eigh(seen.T @ seen / len(seen))
    return seen @ axes[:, [-1, -2]], float(variances[-2:].sum() / variances.sum())
