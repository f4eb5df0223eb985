"""Alarm for diverging values: a critic whose values no rewards of the dataset could give."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from vinci_offline.errors import VinciWarning
from vinci_offline.hooks.hook import Hook, RunInfo

_LEAST_MARGIN = 10.0
"""Least margin: an untrained network has values of order one, whatever the scale of the rewards."""


class ValueAlarm(Hook):
    """Warning, given once, when the critic's values leave the possible range and move further away.

    With rewards in ``[low, high]`` every value lies in ``[min(low, 0), max(high, 0)] / (1 - gamma)``: the
    geometric series, with zero for an episode that ends. n-step returns estimate the same values. Values outside
    come from extrapolation: the critic is asked about actions that the data do not hold, and bootstrapping feeds its
    errors back (Fujimoto, Meger and Precup, 2019, https://arxiv.org/abs/1812.02900, section 3.1). A margin as wide as
    the interval leaves room for a critic that still learns. With a discount of 1 there is no bound, and no alarm.

    Args:
        note: function that is called with the alarm: ``(step, text)``.
    """

    def __init__(self, note: Callable[[int, str], None] | None = None) -> None:
        self._note = note

    def start(self, run: RunInfo) -> None:
        """Compute the bounds from the dataset's rewards and the discount."""
        gamma = run.config.get("training", {}).get("gamma", 1.0)
        low, high = run.dataset.get("reward_min"), run.dataset.get("reward_max")
        self._bounds: tuple[float, float] | None = None
        self._beyond = 0.0
        if low is not None and high is not None and gamma < 1.0:
            if run.units is not None and run.units.rewards is not None:
                low, high = sorted(run.units.rewards(np.asarray([low, high])).tolist())
            self._bounds = min(low, 0.0) / (1.0 - gamma), max(high, 0.0) / (1.0 - gamma)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Compare ``q/min`` and ``q/max`` with the bounds; warn at the second excess in a row if it is greater."""
        if self._bounds is None or not {"q/min", "q/max"} <= metrics.keys():
            return
        low, high = self._bounds
        above, below = metrics["q/max"] - high, low - metrics["q/min"]
        beyond = max(above, below)
        margin = max(high - low, _LEAST_MARGIN)
        # A network may start outside. If it learns it comes back; if it diverges it moves further away.
        growing = beyond > self._beyond > margin
        self._beyond = beyond
        if growing:
            value = metrics["q/max"] if above >= below else metrics["q/min"]
            self._alarm(step, value)

    def _alarm(self, step: int, value: float) -> None:
        assert self._bounds is not None
        low, high = self._bounds
        text = (
            f"step {step}: the critic's values reach {value:.4g} and grow, but the rewards allow only {low:.4g} to "
            f"{high:.4g}: training diverges. Try an agent that keeps to the data (td3bc, iql), a "
            "smaller learning rate or gamma, or a slower target (Fujimoto et al., 2019, arXiv:1812.02900)"
        )
        self._bounds = None  # once is enough
        if self._note is not None:
            self._note(step, text)
        warnings.warn(text, VinciWarning, stacklevel=2)
