"""The moments inside a run's networks as JSON values, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vinci_offline.types import Moments, Normalization


def normalization_to_json(normalization: Normalization) -> dict[str, Any] | None:
    """Return ``{"mean", "std"}``, for a Dict space ``{"keys": {KEY: {"mean", "std"}}}``, or None."""
    if normalization is None:
        return None
    if isinstance(normalization, Mapping):
        return {"keys": {key: normalization_to_json(moments) for key, moments in normalization.items()}}
    mean, std = normalization
    return {"mean": mean.tolist(), "std": std.tolist()}


def normalization_from_json(stored: Any) -> Normalization:
    """Return what `normalization_to_json` was given.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, OverflowError: the values are not such.
    """
    if stored is None:
        return None
    if "keys" in stored:
        return {key: _moments(moments) for key, moments in stored["keys"].items()}
    return _moments(stored)


def _moments(stored: Any) -> Moments:
    mean, std = np.asarray(stored["mean"], np.float64), np.asarray(stored["std"], np.float32)
    if mean.shape != std.shape or not (
        np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()
    ):
        raise ValueError("its normalization is no mean and deviation of observations")
    rounded = mean.astype(np.float32)
    # float32 numbers are exact in JSON. Others are means of observations that have an offset.
    return rounded if np.array_equal(rounded, mean) else mean, std
