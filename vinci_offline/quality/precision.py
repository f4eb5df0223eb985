"""Numbers that float32 cannot tell apart: where networks need an offset, and where data was recorded too coarsely.

float32 keeps about seven digits. Of a clock near 1.7e9 it keeps steps of 128 s, of a position near 1e6 steps of 0.06.
Networks see observations as float32 numbers of the size of their deviation, so the digits are lost only where the raw
value is rounded first. `observation_offsets` names the entries to shift before that. `coarse_columns` finds the columns
that were rounded when they were recorded, which no offset can mend.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError
from vinci_offline.quality.moments import Moments, column_moments
from vinci_offline.quality.survey import Survey
from vinci_offline.spec import BoxSpace, DictSpace
from vinci_offline.spec.units import STD_EPSILON
from vinci_offline.types import Array, FloatArray

_VALUE_MOVED = 1e-6
"""An entry needs an offset where rounding to float32 moves a normalised value further than this …"""
_MEAN_MOVED = 2e-4
"""… or where rounding its mean moves all of them further than this."""
_COARSE = 1e-2
"""A column is coarse where the steps of float32 are wider than this share of its deviation."""
_FLOAT64_COARSE = 1e-3
"""The same share for float64, which nothing can mend."""
_GOALS = ("achieved_goal", "desired_goal")


def observation_offsets(dataset: Dataset, survey: Survey | None = None) -> dict[str, FloatArray]:
    """Return the offsets of observations, `vinci_offline.spec.units.Units.offsets`.

    An entry needs one if float32 would move its normalised values. Its offset is its mean. Goals are compared with each
    other, so both kinds of goals get one offset.

    Args:
        dataset: the rows.
        survey: the result of `vinci_offline.quality.survey.survey`; it spares a read of the observations.

    Raises:
        DatasetError: an entry holds whole numbers that float64 cannot tell apart.
    """
    needs, means = {}, {}
    for key, path in _boxes(dataset).items():
        moments = _moments(dataset, path, survey)
        needs[key], means[key] = _needs_offset(moments, path), moments.mean
    achieved, desired = _GOALS
    if needs.keys() >= set(_GOALS) and needs[achieved].shape == needs[desired].shape:
        needs[achieved] = needs[desired] = needs[achieved] | needs[desired]
        means[achieved] = means[desired]
    return {key: np.where(some, means[key], 0.0) for key, some in needs.items() if some.any()}


def coarse_columns(dataset: Dataset, moments: Mapping[str, Moments], *, constants: bool = False) -> list[str]:
    """Return a line for each column of observations, and for rewards, that float32 rounded when they were recorded.

    Args:
        dataset: the rows.
        moments: moments by column path.
        constants: also name large constants. They may have differed before they were rounded.
    """
    told = []
    for path in (*_boxes(dataset).values(), layout.REWARDS):
        if dataset.columns.dtype(path) != np.float32 or path not in moments:
            continue
        found = moments[path]
        size, step = _size(found), _step(found)
        coarse = (found.high > found.low) & (step > _COARSE * found.std)
        if constants:
            coarse |= (found.high == found.low) & (step > _COARSE)
        if coarse.any():
            entry = int(np.argmax(coarse))
            name = f"{path}[{entry}]" if coarse.size > 1 else path
            told.append(
                f"{name} is near {size.reshape(-1)[entry]:.4g} and deviates by {found.std.reshape(-1)[entry]:.3g}, and "
                f"float32 has steps of {step.reshape(-1)[entry]:.3g} there: record it with float64, or nearer to zero"
            )
    return told


def recorded_coarsely(dataset: Dataset) -> list[str]:
    """Return `coarse_columns` of a recording whose environment gives float64 where float32 was stored."""
    space = dataset.spec.observation_space
    parts = space.spaces if isinstance(space, DictSpace) else {"": space}
    given = [path for key, path in _boxes(dataset).items() if getattr(parts[key], "dtype", None) == "float64"]
    stored = [path for path in (*given, layout.REWARDS) if dataset.columns.dtype(path) == np.float32]
    return coarse_columns(dataset, {path: column_moments(dataset, path) for path in stored}, constants=True)


def _needs_offset(moments: Moments, path: str) -> Array:
    deviation = moments.std + STD_EPSILON
    # A constant is normalised to zero whichever way it is rounded.
    varies = moments.high > moments.low
    if (varies & (np.spacing(_size(moments)) > _FLOAT64_COARSE * deviation)).any():
        raise DatasetError(
            f"{path} is near {_size(moments).max():.4g} and deviates by {moments.std.min():.3g}, which float64 cannot "
            "tell apart: record it counted from a nearer number"
        )
    mean_moved = np.spacing(np.abs(moments.mean).astype(np.float32)).astype(np.float64) / 2
    return varies & ((moments.rounding > _VALUE_MOVED * deviation) | (mean_moved > _MEAN_MOVED * deviation))


def _boxes(dataset: Dataset) -> dict[str, str]:
    """Return the paths of Box observations that are no images, by key of a Dict."""
    space = dataset.spec.observation_space
    parts = space.spaces if isinstance(space, DictSpace) else {"": space}
    return {
        key: f"{layout.OBSERVATIONS}/{key}" if key else layout.OBSERVATIONS
        for key, part in parts.items()
        if isinstance(part, BoxSpace) and part.dtype != "uint8"
    }


def _moments(dataset: Dataset, path: str, survey: Survey | None) -> Moments:
    return survey.moments[path] if survey else column_moments(dataset, path)


def _size(moments: Moments) -> FloatArray:
    size: FloatArray = np.maximum(np.abs(moments.low), np.abs(moments.high))
    return size


def _step(moments: Moments) -> FloatArray:
    """Return the distance between neighbours of float32 at the size of each entry."""
    with np.errstate(over="ignore"):
        steps: FloatArray = np.spacing(_size(moments).astype(np.float32)).astype(np.float64)
    return steps
