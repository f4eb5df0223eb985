"""The alarm for values that run away: a critic that promises more than the rewards could ever pay."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

from vinci_offline.errors import VinciWarning
from vinci_offline.hooks.hook import Hook, RunInfo

_LEAST_MARGIN = 10.0
"""Values of a network that has learned nothing yet: of order one, whatever the rewards' scale."""


class ValueAlarm(Hook):
    """Warns once when the critic's values leave what any policy could earn, and go on leaving.

    With rewards in ``[low, high]`` every value lies in ``[min(low, 0), max(high, 0)] / (1 - gamma)``: the
    geometric series, with zero for an episode that ends. n-step returns estimate the same values. Values outside
    it come from the critic's own extrapolation to actions that the data do not hold, which bootstrapping feeds
    back to it (Fujimoto, Meger and Precup, 2019, https://arxiv.org/abs/1812.02900, section 3.1). A margin of the
    interval's own width leaves room for a critic that still learns. Without a discount there is no such bound,
    and no alarm.

    Args:
        note: told of the alarm too: ``(step, text)``.
    """

    def __init__(self, note: Callable[[int, str], None] | None = None) -> None:
        self._note = note

    def start(self, run: RunInfo) -> None:
        """Work out the bounds from the dataset's rewards and the discount."""
        gamma = run.config.get("training", {}).get("gamma", 1.0)
        low, high = run.dataset.get("reward_min"), run.dataset.get("reward_max")
        self._bounds: tuple[float, float] | None = None
        self._beyond = 0.0
        if low is not None and high is not None and gamma < 1.0:
            self._bounds = min(low, 0.0) / (1.0 - gamma), max(high, 0.0) / (1.0 - gamma)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Compare ``q/min`` and ``q/max`` with the bounds; a second, greater excess in a row is the alarm."""
        if self._bounds is None or not {"q/min", "q/max"} <= metrics.keys():
            return
        low, high = self._bounds
        above, below = metrics["q/max"] - high, low - metrics["q/min"]
        beyond = max(above, below)
        margin = max(high - low, _LEAST_MARGIN)
        # A network may start beyond them; one that learns comes back, one that diverges goes on.
        growing = beyond > self._beyond > margin
        self._beyond = beyond
        if growing:
            value = metrics["q/max"] if above >= below else metrics["q/min"]
            self._alarm(step, value)

    def _alarm(self, step: int, value: float) -> None:
        assert self._bounds is not None
        low, high = self._bounds
        text = (
            f"step {step}: the critic's values reach {value:.4g} and grow, where the rewards allow {low:.4g} to "
            f"{high:.4g}: they diverge, and so will the policy. Try an agent that keeps to the data (td3bc, iql), a "
            "smaller learning rate or gamma, or a slower target (Fujimoto et al., 2019, arXiv:1812.02900)"
        )
        self._bounds = None  # once is enough
        if self._note is not None:
            self._note(step, text)
        warnings.warn(text, VinciWarning, stacklevel=2)
