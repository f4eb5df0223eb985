"""Measure how much of the state-action space a dataset visits, and how evenly."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.quality.moments import Moments, column_moments
from vinci_offline.spec import BoxSpace, Space
from vinci_offline.types import Array, FloatArray

_MOST_DIMENSIONS = 256
_ROWS = 100_000


def coverage(
    dataset: Dataset,
    moments: Mapping[str, Moments] | None = None,
    spaced: Mapping[str, Array] | None = None,
) -> dict[str, Any] | None:
    """Count the cells of the state-action space that the rows visit, and measure how evenly they do.

    Observations are cut into cells one standard deviation wide, bounded actions into eighths of their range.
    As in SACo (Schweighofer et al. 2021, arXiv 2111.04714) the distinct state-action cells are counted. A count
    rewards stray rows, so the perplexity exp(H) of the rows' distribution over cells is given too: the number of
    equally visited cells that would be as diverse. ``evenness`` is perplexity / rows: 1 where every row has a cell of
    its own, near 0 where a few situations come again and again. Numbers compare between datasets of one environment and
    a like number of rows. Of more than a hundred thousand rows every k-th is looked at.

    Args:
        dataset: the rows.
        moments: `column_moments` of observations and actions, where they are known already.
        spaced: those k-th rows of observations and actions, where they were read already; see `row_step`.

    Returns:
        ``cells``, ``perplexity``, ``evenness`` and the ``rows`` looked at; None for observations of more than
        256 entries (images).
    """
    paths = measured_paths(dataset)
    if not paths:
        return None
    step = row_step(dataset)
    draw = np.random.default_rng(0)
    slots = layout.spec_slots(dataset.spec)
    count = len(spaced[paths[0]]) if spaced else math.ceil(len(dataset) / step)
    cells = np.zeros(count, dtype=np.uint64)
    for path in paths:
        known = moments[path] if moments else column_moments(dataset, path)
        offset, width = _grid(slots[path].space, path, known)
        # Adding odd multiples modulo 2^64 makes one number of a cell; two cells hardly ever share it.
        factors = draw.integers(0, 2**63, offset.size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        for start, rows in [(0, spaced[path])] if spaced else _every(dataset, path, step):
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


def measured_paths(dataset: Dataset) -> list[str]:
    """Return the columns whose cells `coverage` counts; none where they have too many entries."""
    paths = [path for path in dataset.columns if path.partition("/")[0] == layout.OBSERVATIONS]
    paths.append(layout.ACTIONS)
    entries = sum(math.prod(dataset.columns.shape(path)[1:]) for path in paths)
    return paths if entries <= _MOST_DIMENSIONS else []


def row_step(dataset: Dataset) -> int:
    """Return k, where `coverage` looks at every k-th row from row 0 on."""
    return math.ceil(len(dataset) / _ROWS)


def every_row(block: Array, start: int, step: int) -> Array:
    """Return those rows of a block that are every ``step``-th row of the dataset; the block begins at row ``start``."""
    return block[-start % step :: step]


def _grid(space: Space | None, path: str, moments: Moments) -> tuple[FloatArray, FloatArray]:
    """Return where the cells of a column begin, and how wide they are."""
    if not isinstance(space, BoxSpace):
        return np.zeros(1), np.ones(1)
    offset, width = moments.mean.flatten(), moments.std.flatten()
    if path == layout.ACTIONS:
        bounded = space.bounded.reshape(-1)
        low, high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
        offset[bounded], width[bounded] = low[bounded], (high - low)[bounded] / 8
    return offset, np.where(width > 0, width, 1.0)


def _every(dataset: Dataset, path: str, step: int) -> Iterator[tuple[int, Array]]:
    """Yield every ``step``-th row in blocks, each with its place among those rows."""
    done = 0
    for start, block in dataset.columns.blocks(path):
        rows = every_row(block, start, step)
        yield done, rows
        done += len(rows)
