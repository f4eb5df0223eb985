"""What a dataset looks like in numbers; every column is read in blocks, so memory stays bounded."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, RETURN
from vinci_offline.errors import SpecError
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, MultiDiscreteSpace, Space
from vinci_offline.types import Array, FloatArray

_MOST_DIMENSIONS = 1024
"""A wider row (an image) is told by one mean and deviation over its entries."""
_COVERAGE_DIMENSIONS = 256
_COVERAGE_ROWS = 100_000


@dataclass(frozen=True)
class Moments:
    """Mean, standard deviation, least and greatest value of each entry of a column's rows, in float64."""

    mean: FloatArray
    std: FloatArray
    low: FloatArray
    high: FloatArray


def column_moments(dataset: Dataset, path: str) -> Moments:
    """Moments of one column over all rows; the blocks' are merged by Chan, Golub and LeVeque's (1983) rule.

    Merging keeps float64 precision where a sum of squares would cancel.
    """
    shape = dataset.columns.shape(path)[1:]
    count, mean, squares = 0, np.zeros(shape), np.zeros(shape)
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for _, block in dataset.columns.blocks(path):
        with np.errstate(
            invalid="ignore", over="ignore"
        ):  # values that are not finite are for validate to tell
            values = block.astype(np.float64)
            block_mean = values.mean(axis=0)
            low, high = np.minimum(low, values.min(axis=0)), np.maximum(high, values.max(axis=0))
            values -= block_mean
            delta, total = block_mean - mean, count + len(block)
            squares = squares + np.square(values).sum(axis=0) + delta**2 * (count * len(block) / total)
            mean = mean + delta * (len(block) / total)
        count = total
    return Moments(mean, np.sqrt(squares / count), low, high)


def observation_moments(dataset: Dataset) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of the observations over all rows, float32, computed in float64.

    Raises:
        SpecError: the observations are several columns.
    """
    if isinstance(dataset.spec.observation_space, DictSpace):
        raise SpecError(
            "Dict observations have no single mean: flatten them (gymnasium.wrappers.FlattenObservation)"
        )
    moments = column_moments(dataset, layout.OBSERVATIONS)
    return moments.mean.astype(np.float32), moments.std.astype(np.float32)


def summarize(dataset: Dataset) -> dict[str, Any]:
    """A dataset at a glance, as JSON values; `vinci-offline info` prints it.

    Returns:
        ``rows, episodes, return_mean, return_std, return_min, return_max, terminals, timeouts,
        observation_shape, action_shape, env, hash``; ``length_mean, length_min, length_max``;
        ``observations`` and ``actions``: mean, std, min and max of each dimension by column;
        ``action_saturation``: see `action_saturation`; ``action_counts``: how often each Discrete action
        occurs; ``coverage``: see `coverage`; ``reward_mean, reward_std, reward_min, reward_max``; ``infos``:
        names; ``provenance``: the attributes.
    """
    table = dataset.episode_columns
    returns, lengths = table[RETURN], table[LENGTH]
    rewards = column_moments(dataset, layout.REWARDS)
    observed = {path: column_moments(dataset, path) for path in _paths(dataset, layout.OBSERVATIONS)}
    acted = column_moments(dataset, layout.ACTIONS)
    space = dataset.spec.action_space
    discrete = isinstance(space, DiscreteSpace)
    with np.errstate(invalid="ignore"):  # returns that are not finite are for validate to tell
        return_std = float(returns.std())
    return {
        "env": dataset.spec.id,
        "rows": len(dataset),
        "episodes": len(lengths),
        "return_mean": float(returns.mean()),
        "return_std": return_std,
        "return_min": float(returns.min()),
        "return_max": float(returns.max()),
        "length_mean": float(lengths.mean()),
        "length_min": int(lengths.min()),
        "length_max": int(lengths.max()),
        "terminals": _count(dataset, layout.TERMINALS),
        "timeouts": _count(dataset, layout.TIMEOUTS),
        "reward_mean": float(rewards.mean),
        "reward_std": float(rewards.std),
        "reward_min": float(rewards.low),
        "reward_max": float(rewards.high),
        "observation_shape": _shape(dataset.spec.observation_space),
        "action_shape": _shape(space),
        "observations": {path: _dimensions(moments) for path, moments in observed.items()},
        "actions": None if discrete else _dimensions(acted),
        "action_counts": action_counts(dataset) if discrete else None,
        "action_saturation": None if discrete else action_saturation(dataset),
        "coverage": coverage(dataset, {**observed, layout.ACTIONS: acted}),
        "infos": [path.removeprefix(f"{layout.INFOS}/") for path in _paths(dataset, layout.INFOS)],
        "provenance": dict(dataset.attributes),
        "hash": dataset.hash,
    }


def action_saturation(dataset: Dataset) -> float | None:
    """The share of action entries that lie at a bound of the action space, within a thousandth of its range.

    None where no dimension is bounded, and for choices. A clipped Gaussian policy that saturates has actions whose
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
    """How often each action of a Discrete space occurs; actions outside the space are not counted."""
    space = dataset.spec.action_space
    assert isinstance(space, DiscreteSpace)
    counts = np.zeros(space.n, dtype=np.int64)
    for _, block in dataset.columns.blocks(layout.ACTIONS):
        index = block - space.start
        counts += np.bincount(index[(index >= 0) & (index < space.n)], minlength=space.n)
    return {space.start + index: int(count) for index, count in enumerate(counts)}


def coverage(dataset: Dataset, moments: Mapping[str, Moments] | None = None) -> dict[str, Any] | None:
    """How much of the state-action space the rows visit, and how evenly.

    Observations are cut into cells one standard deviation wide, bounded actions into eighths of their range.
    As in SACo (Schweighofer et al. 2021, arXiv 2111.04714) the distinct state-action cells are counted;
    because a count rewards stray rows, the perplexity exp(H) of the rows' distribution over cells is given
    too: the number of equally visited cells that would be as diverse. ``evenness`` is perplexity / rows: 1
    where every row is in a cell of its own, near 0 where the same few situations come again and again.
    Numbers compare between datasets of one environment and a like number of rows. Of more than a hundred
    thousand rows every k-th is looked at.

    Args:
        dataset: the rows.
        moments: `column_moments` of observations and actions, where they are known already.

    Returns:
        ``cells``, ``perplexity``, ``evenness`` and the ``rows`` looked at; None for observations of more than
        256 entries (images).
    """
    paths = [*_paths(dataset, layout.OBSERVATIONS), layout.ACTIONS]
    if sum(math.prod(dataset.columns.shape(path)[1:]) for path in paths) > _COVERAGE_DIMENSIONS:
        return None
    step = math.ceil(len(dataset) / _COVERAGE_ROWS)
    draw = np.random.default_rng(0)
    slots = layout.spec_slots(dataset.spec)
    cells = np.zeros(math.ceil(len(dataset) / step), dtype=np.uint64)
    for path in paths:
        known = moments[path] if moments else column_moments(dataset, path)
        offset, width = _grid(slots[path].space, path, known)
        # Adding odd multiples modulo 2^64 makes one number of a cell; two cells hardly ever share it.
        factors = draw.integers(0, 2**63, offset.size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        for start, rows in _every(dataset, path, step):
            with np.errstate(invalid="ignore"):
                index = np.floor((rows.reshape(len(rows), offset.size) - offset) / width).astype(np.int64)
            cells[start : start + len(rows)] += (index.view(np.uint64) * factors).sum(axis=1, dtype=np.uint64)
    counts = np.unique(cells, return_counts=True)[1]
    share = counts / counts.sum()
    perplexity = min(float(np.exp(-(share * np.log(share)).sum())), float(len(cells)))
    return {
        "cells": len(counts),
        "perplexity": perplexity,
        "evenness": perplexity / len(cells),
        "rows": len(cells),
    }


def _grid(space: Space | None, path: str, moments: Moments) -> tuple[FloatArray, FloatArray]:
    """Where the cells of a column begin, and how wide they are."""
    if not isinstance(space, BoxSpace):
        return np.zeros(1), np.ones(1)
    offset, width = moments.mean.flatten(), moments.std.flatten()
    if path == layout.ACTIONS:
        bounded = space.bounded.reshape(-1)
        low, high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
        offset[bounded], width[bounded] = low[bounded], (high - low)[bounded] / 8
    return offset, np.where(width > 0, width, 1.0)


def _every(dataset: Dataset, path: str, step: int) -> Iterator[tuple[int, Array]]:
    """Every ``step``-th row in blocks, each with its place among those rows."""
    done = 0
    for start, block in dataset.columns.blocks(path):
        rows = block[-start % step :: step]
        yield done, rows
        done += len(rows)


def _count(dataset: Dataset, path: str) -> int:
    return sum(int(np.count_nonzero(block)) for _, block in dataset.columns.blocks(path))


def _paths(dataset: Dataset, root: str) -> list[str]:
    return [path for path in dataset.columns if path == root or path.startswith(f"{root}/")]


def _dimensions(moments: Moments) -> dict[str, list[float]]:
    if moments.mean.size <= _MOST_DIMENSIONS:
        return {
            "mean": moments.mean.reshape(-1).tolist(),
            "std": moments.std.reshape(-1).tolist(),
            "min": moments.low.reshape(-1).tolist(),
            "max": moments.high.reshape(-1).tolist(),
        }
    spread = math.sqrt(float(np.mean(moments.std**2) + np.var(moments.mean)))
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
