"""The rules of what is printed beside a mean: the standard deviation of a sample, with n - 1, and Wilson's interval.

The moments that normalise observations are another thing. They describe all rows, so they divide by n.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vinci_offline.types import Array


def sample_deviation(values: Sequence[float] | Array) -> float:
    """Return the sample standard deviation, ``sqrt(sum((x - mean)^2) / (n - 1))``.

    It is NaN for a single value, and if a value is not finite.

    Args:
        values: ``[N]``.
    """
    numbers = np.asarray(values, np.float64)
    sound = len(numbers) > 1 and bool(np.isfinite(numbers).all())
    return float(numbers.std(ddof=1)) if sound else math.nan


def sample_scale(count: int) -> float:
    """Return the factor from the deviation of ``count`` values that divides by n to the sample's; NaN for one value."""
    return math.sqrt(count / (count - 1)) if count > 1 else math.nan


def finite(value: float) -> float | None:
    """Return a number as JSON holds it: None for NaN and infinite numbers."""
    return value if math.isfinite(value) else None


def wilson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Return the ends of Wilson's interval of a success rate (Wilson, 1927), which stays inside [0, 1].

    Args:
        successes: up to ``trials``.
        trials: at least one.
        level: the share of such intervals that hold the true rate.
    """
    from scipy.stats import binomtest  # not at the top: few commands need it

    found = binomtest(successes, trials).proportion_ci(level, method="wilson")
    return float(found.low), float(found.high)
