"""Quantiles and histograms of numbers, as JSON values."""

from __future__ import annotations

from typing import Any

import numpy as np

from vinci_offline.types import Array

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_BINS = 12


def distribution(values: Array) -> dict[str, Any] | None:
    """Return quantiles and a histogram of the finite values among ``[N]``; None where there are none.

    Returns:
        ``quantiles``: values by ``"0.05", "0.25", "0.5", "0.75", "0.95"``; ``edges`` and ``counts`` of at most
        twelve bins of equal width, the last of which holds its upper edge. Whole numbers have whole edges.
    """
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    counts, edges = np.histogram(finite, bins=_edges(finite))
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.quantile(finite, QUANTILES)
    return {
        "quantiles": {str(share): float(value) for share, value in zip(QUANTILES, found, strict=True)},
        "edges": edges.tolist(),
        "counts": counts.tolist(),
    }


def _edges(values: Array) -> Array:
    low, high = values.min(), values.max()
    if values.dtype.kind in "iu":
        width = max(1, -(-int(high - low + 1) // _BINS))
        return np.arange(low, high + width + 1, width)
    with np.errstate(over="ignore"):
        width = high - low
    if width == 0 or not np.isfinite(width):
        return np.array([low, high])
    return np.linspace(low, high, _BINS + 1)
