"""Changes of rewards: ``--reward`` from its text to one factor and one shift."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from vinci_offline.errors import UsageError
from vinci_offline.text import did_you_mean

if TYPE_CHECKING:
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.spec.units import RewardScaling

RewardSteps: TypeAlias = tuple[tuple[str, float], ...]
"""Names of changes in the order in which they apply, each with its number."""

_NAMES = ("scale", "shift", "normalize")
_SPAN = 1000.0
"""Difference between the greatest and the least return after ``normalize`` (Kostrikov, Nair and Levine, 2022,
https://arxiv.org/abs/2110.06169, the authors' code; CORL does the same)."""
_FLOAT32 = 3.4e38


def parse_rewards(text: str | None) -> RewardSteps:
    """Return the changes that a text such as ``scale:10,shift:-5`` or ``normalize`` names.

    Raises:
        UsageError: a part of it is none.
    """
    return () if text is None else tuple(_parse(part.strip()) for part in text.split(","))


def reward_scaling(text: str | None, dataset: Dataset, least: float, greatest: float) -> RewardScaling | None:
    """Return the one change of rewards that a text's changes make together; None without a text.

    Args:
        text: as `parse_rewards` takes it.
        dataset: the training rows; ``normalize`` takes the returns of their whole episodes.
        least: the least reward.
        greatest: the greatest one.

    Raises:
        UsageError: there are no two different returns, or the rewards become too large.
    """
    from vinci_offline.spec.units import RewardScaling

    if not (steps := parse_rewards(text)):
        return None
    factor, shift = 1.0, 0.0
    for name, number in steps:
        if name == "shift":
            shift += number
            continue
        by = _SPAN / _span(dataset, factor, shift) if name == "normalize" else number
        factor, shift = factor * by, shift * by
    if not all(abs(factor * reward + shift) < _FLOAT32 for reward in (least, greatest)):
        raise UsageError(f"--reward {text}: rewards become larger than float32 holds: choose a smaller scale")
    return RewardScaling(factor, shift)


def _span(dataset: Dataset, factor: float, shift: float) -> float:
    """Return the difference between the greatest and the least return of whole episodes, of changed rewards."""
    from vinci_offline.data.episode_columns import LENGTH, RETURN
    from vinci_offline.data.episodes import whole

    table = dataset.episode_columns
    complete = whole(table)
    returns = factor * table[RETURN][complete] + shift * table[LENGTH][complete]
    span = float(returns.max() - returns.min()) if len(returns) else 0.0
    if not 0.0 < span < math.inf:
        told = f"all of {returns[0]:g}" if len(returns) else "of which there are none"
        raise UsageError(
            f"--reward normalize divides by the range of the returns of whole episodes, {told}: use scale:X instead"
        )
    return span


def _parse(part: str) -> tuple[str, float]:
    name, colon, text = part.partition(":")
    if name not in _NAMES:
        near = did_you_mean(name, _NAMES)
        raise UsageError(
            f"--reward takes scale:X, shift:X, normalize, or several with commas, not {part!r}{near}"
        )
    if name == "normalize":
        if colon:
            raise UsageError(f"--reward: normalize takes no number, as in {part!r}")
        return name, _SPAN
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or (name == "scale" and number == 0.0):
        what = "a number other than zero" if name == "scale" else "a number"
        raise UsageError(f"--reward: {part!r} needs {what}, as {name}:{'0.1' if name == 'scale' else '-1'}")
    return name, number
