"""Doubts about a dataset that training raises before its first step: one line each, with what to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.quality.checks.bounds import Bounds
from vinci_offline.quality.moments import column_moments
from vinci_offline.quality.precision import coarse_columns, observation_offsets
from vinci_offline.quality.survey import Survey
from vinci_offline.spec import BoxSpace

_MANY = 0.01
"""Share of rows with actions outside the bounds that is worth a line."""
_COARSE = 1e-2
"""Share of a column's deviation by which float32 may move its values."""


def doubts(
    dataset: Dataset, known: Survey, *, infos: Sequence[str] = (), normalized: bool = True
) -> list[str]:
    """Return what may make training on a dataset come out wrong.

    Args:
        dataset: the rows.
        known: the survey of its rows.
        infos: paths of the infos that the agent asks for.
        normalized: whether the agent normalises observations.
    """
    told = [*_outside(dataset, known), *coarse_columns(dataset, known.moments)]
    if not normalized and (offsets := observation_offsets(dataset, known)):
        names = ", ".join(f"observations/{key}" if key else "observations" for key in offsets)
        told.append(
            f"{names}: float32 rounds numbers so far from zero; normalize_observations=yes shifts them first"
        )
    # Rewards that were recorded as float32 are among the coarse columns already.
    paths = infos if dataset.columns.dtype(layout.REWARDS) == np.float32 else (layout.REWARDS, *infos)
    return [*told, *(line for path in paths if (line := _rounded(dataset, path)))]


def _outside(dataset: Dataset, known: Survey) -> list[str]:
    """Tell how many rows have an action outside the bounds of its space."""
    space = dataset.spec.action_space
    if not isinstance(space, BoxSpace):
        return []
    bounds, moments = Bounds(space), known.moments[layout.ACTIONS]
    if (moments.low >= bounds.low).all() and (moments.high <= bounds.high).all():
        return []
    count = sum(int(bounds.outside(block).sum()) for _, block in dataset.columns.blocks(layout.ACTIONS))
    if count < _MANY * len(dataset):
        return []
    told = (
        f"{count:,} of {len(dataset):,} rows ({count / len(dataset):.0%}) have actions outside the bounds of the "
        "action space, which no policy can take: give the true bounds with spec= or --env, or look at them with "
        "`vinci-offline validate`"
    )
    return [told]


def _rounded(dataset: Dataset, path: str) -> str | None:
    """Tell that float32, in which batches have rewards and infos, rounds a column's differences away."""
    moments = column_moments(dataset, path)
    if ((moments.high > moments.low) & (moments.rounding > _COARSE * moments.std)).any():
        return (
            f"{path}: batches hold it as float32, which rounds its differences away: record it nearer to zero"
        )
    return None
