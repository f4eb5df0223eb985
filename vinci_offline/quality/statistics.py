"""A dataset in numbers. Every column is read in blocks, so memory stays bounded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import FRAGMENT, LENGTH
from vinci_offline.data.episodes import whole, whole_returns
from vinci_offline.deviation import finite, sample_deviation, sample_scale
from vinci_offline.quality.coverage import coverage
from vinci_offline.quality.moments import Moments, column_moments
from vinci_offline.quality.survey import Survey
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, MultiDiscreteSpace, Space
from vinci_offline.types import Array, FloatArray, Normalization

_MOST_DIMENSIONS = 1024
"""Wider rows (images) are summarized by one mean and deviation over all entries."""


def observation_moments(
    dataset: Dataset, survey: Survey | None = None, offsets: Mapping[str, FloatArray] | None = None
) -> Normalization:
    """Return mean and standard deviation of the observations over all rows, float32, computed in float64.

    The deviation divides by the number of rows: it describes these rows, which training normalises by it.

    Args:
        dataset: the rows.
        survey: the result of `vinci_offline.quality.survey.survey`; it spares a read of the observations.
        offsets: offsets of observations, by key; the means of such parts are float64.

    Returns:
        The two, of the observations' shape; of a Dict space by key, for its Boxes that are no images; None where
        there is nothing to normalise.
    """
    wide = offsets or {}
    space = dataset.spec.observation_space
    if not isinstance(space, DictSpace):
        if not _is_numeric(space):
            return None
        return _mean_and_deviation(dataset, layout.OBSERVATIONS, survey, wide="" in wide)
    boxes = [key for key, part in space.spaces.items() if _is_numeric(part)]
    return {
        key: _mean_and_deviation(dataset, f"{layout.OBSERVATIONS}/{key}", survey, wide=key in wide)
        for key in boxes
    } or None


def _mean_and_deviation(
    dataset: Dataset, path: str, survey: Survey | None, *, wide: bool
) -> tuple[FloatArray, FloatArray]:
    moments = survey.moments[path] if survey else column_moments(dataset, path)
    return moments.mean if wide else moments.mean.astype(np.float32), moments.std.astype(np.float32)


def _is_numeric(space: Space) -> bool:
    return isinstance(space, BoxSpace) and space.dtype != "uint8"


def summarize(dataset: Dataset, survey: Survey | None = None) -> dict[str, Any]:
    """Summarize a dataset as JSON values; `vinci-offline info` prints them.

    Args:
        dataset: the rows.
        survey: the result of `vinci_offline.quality.survey.survey`; it spares a read of observations and rewards.

    Returns:
        ``rows, episodes, fragments, return_mean, return_std, return_min, return_max, terminals, timeouts,
        observation_shape, action_shape, env, hash``; ``length_mean, length_min, length_max``. Returns and lengths are
        those of whole episodes, and None if all ``episodes`` are ``fragments``;
        ``observations`` and ``actions``: mean, std, min and max of each dimension by column; every std is the sample's
        (n - 1), and None for a single value;
        ``action_saturation``: see `action_saturation`; ``action_counts``: how often each Discrete action
        occurs; ``coverage``: see `coverage`; ``reward_mean, reward_std, reward_min, reward_max``; ``infos``:
        names; ``provenance``: the attributes.
    """
    table = dataset.episode_columns
    measured = [*_paths(dataset, layout.OBSERVATIONS), layout.ACTIONS, layout.REWARDS]
    moments = survey.moments if survey else {path: column_moments(dataset, path) for path in measured}
    rewards, acted = moments[layout.REWARDS], moments[layout.ACTIONS]
    space = dataset.spec.action_space
    discrete = isinstance(space, DiscreteSpace)
    return {
        "env": dataset.spec.id,
        "rows": len(dataset),
        "episodes": len(table[LENGTH]),
        "fragments": int(table[FRAGMENT].sum()),
        **_whole_episodes(table),
        "terminals": _count(dataset, layout.TERMINALS),
        "timeouts": _count(dataset, layout.TIMEOUTS),
        "reward_mean": float(rewards.mean),
        "reward_std": finite(float(rewards.std) * sample_scale(len(dataset))),
        "reward_min": float(rewards.low),
        "reward_max": float(rewards.high),
        "observation_shape": _shape(dataset.spec.observation_space),
        "action_shape": _shape(space),
        "observations": {
            path: _dimensions(moments[path], len(dataset)) for path in _paths(dataset, layout.OBSERVATIONS)
        },
        "actions": None if discrete else _dimensions(acted, len(dataset)),
        "action_counts": action_counts(dataset) if discrete else None,
        "action_saturation": None if discrete else action_saturation(dataset),
        "coverage": coverage(dataset, moments, survey.spaced if survey else None),
        "infos": [path.removeprefix(f"{layout.INFOS}/") for path in _paths(dataset, layout.INFOS)],
        "provenance": dict(dataset.attributes),
        "hash": dataset.hash,
    }


def _whole_episodes(table: Mapping[str, Array]) -> dict[str, float | int | None]:
    """Return statistics of returns and lengths of whole episodes; None where there are none."""
    returns, lengths = whole_returns(table), table[LENGTH][whole(table)]
    if not len(returns):
        names = ("return_mean", "return_std", "return_min", "return_max")
        return dict.fromkeys((*names, "length_mean", "length_min", "length_max"))
    return {
        "return_mean": float(returns.mean()),
        "return_std": finite(sample_deviation(returns)),
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "length_mean": float(lengths.mean()),
        "length_min": int(lengths.min()),
        "length_max": int(lengths.max()),
    }


def action_saturation(dataset: Dataset) -> float | None:
    """Return the share of action entries at a bound of the action space, within a thousandth of its range.

    It is None if no dimension is bounded, and for choices. A clipped Gaussian policy that saturates has actions whose
    log-probabilities and gradients are not those of the recorded value.
    """
    space = dataset.spec.action_space
    if not isinstance(space, BoxSpace) or isinstance(space, MultiDiscreteSpace) or not space.bounded.any():
        return None
    low, high = space.low[space.bounded].astype(np.float64), space.high[space.bounded].astype(np.float64)
    margin = (high - low) * 1e-3
    at_bound = 0
    for _, block in dataset.columns.blocks(layout.ACTIONS):
        values = block[:, space.bounded] if block.ndim > 1 else block[:, None]
        at_bound += int(np.count_nonzero((values <= low + margin) | (values >= high - margin)))
    return at_bound / (len(dataset) * len(low))


def action_counts(dataset: Dataset) -> dict[int, int]:
    """Count how often each action of a Discrete space occurs; actions outside the space are not counted."""
    space = dataset.spec.action_space
    assert isinstance(space, DiscreteSpace)
    counts = np.zeros(space.n, dtype=np.int64)
    for _, block in dataset.columns.blocks(layout.ACTIONS):
        index = block - space.start
        counts += np.bincount(index[(index >= 0) & (index < space.n)], minlength=space.n)
    return {space.start + index: int(count) for index, count in enumerate(counts)}


def _count(dataset: Dataset, path: str) -> int:
    return sum(int(np.count_nonzero(block)) for _, block in dataset.columns.blocks(path))


def _paths(dataset: Dataset, root: str) -> list[str]:
    return [path for path in dataset.columns if path == root or path.startswith(f"{root}/")]


def _dimensions(moments: Moments, rows: int) -> dict[str, Any]:
    if moments.mean.size <= _MOST_DIMENSIONS:
        return {
            "mean": moments.mean.reshape(-1).tolist(),
            "std": [finite(each) for each in (moments.std * sample_scale(rows)).reshape(-1).tolist()],
            "min": moments.low.reshape(-1).tolist(),
            "max": moments.high.reshape(-1).tolist(),
        }
    spread = math.sqrt(float(np.mean(moments.std**2) + np.var(moments.mean)))
    spread *= sample_scale(rows * moments.mean.size)
    return {
        "mean": [float(moments.mean.mean())],
        "std": [spread],
        "min": [float(moments.low.min())],
        "max": [float(moments.high.max())],
    }


def _shape(space: Space) -> Any:
    if isinstance(space, DictSpace):
        return {key: _shape(part) for key, part in space.spaces.items()}
    return list(space.shape) if isinstance(space, BoxSpace) else []
