"""Logged episodes with importance ratios.

The ratio of a step is ``pi(a | s) / b(a | s)``, the target policy's density of the logged action over the behaviour
policy's. The weight of a step is the product of the ratios up to it, within its episode (Precup, Sutton and Singh,
2000, "Eligibility Traces for Off-Policy Policy Evaluation").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vinci_offline.types import Array, FloatArray


@dataclass(frozen=True)
class LoggedEpisodes:
    """Whole episodes with the ratio of each step. Rows of an episode follow each other.

    Attributes:
        rewards: ``[N]`` rewards.
        log_ratios: ``[N]`` logarithms of the ratios; -inf if the target policy never takes the action.
        lengths: ``[E]`` rows of each episode, at least one.
        gamma: the discount a step.
    """

    rewards: FloatArray
    log_ratios: FloatArray
    lengths: Array
    gamma: float

    @cached_property
    def starts(self) -> Array:
        """``[E]`` the first row of each episode."""
        return np.asarray(np.cumsum(self.lengths) - self.lengths)

    @cached_property
    def episode(self) -> Array:
        """``[N]`` the episode of each row."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def step(self) -> Array:
        """``[N]`` the step of each row in its episode, from 0."""
        return np.arange(len(self.rewards)) - self.starts[self.episode]

    @cached_property
    def discounted(self) -> FloatArray:
        """``[N]`` rewards times their discounts."""
        earned: FloatArray = self.rewards * np.power(self.gamma, self.step, dtype=np.float64)
        return earned

    @cached_property
    def returns(self) -> FloatArray:
        """``[E]`` discounted returns."""
        return self.totals(self.discounted)

    @cached_property
    def log_weights(self) -> FloatArray:
        """``[N]`` logarithms of the weights."""
        never = np.isneginf(self.log_ratios)
        logs: FloatArray = self._products(np.where(never, 0.0, self.log_ratios))
        return np.where(self._products(never.astype(np.float64)) > 0, -np.inf, logs)

    @cached_property
    def weights(self) -> FloatArray:
        """``[N]`` weights."""
        with np.errstate(over="ignore"):
            weights: FloatArray = np.exp(self.log_weights)
        return weights

    @cached_property
    def weights_before(self) -> FloatArray:
        """``[N]`` the weight of the step before, in the same episode; 1 at the first."""
        before = np.roll(self.weights, 1)
        before[self.starts] = 1.0
        return before

    @cached_property
    def last_weights(self) -> FloatArray:
        """``[E]`` the weight of each episode's last step."""
        last: FloatArray = self.weights[self.starts + self.lengths - 1]
        return last

    @cached_property
    def mean_weights(self) -> FloatArray:
        """``[E]`` the mean of each episode's weights over all T steps, discounted as rewards are.

        After its end an episode keeps its last weight.
        """
        powers = np.power(self.gamma, np.arange(self.horizon), dtype=np.float64)
        after = np.append(np.cumsum(powers[::-1])[::-1], 0.0)
        sums = self.totals(self.weights * powers[self.step]) + self.last_weights * after[self.lengths]
        mean: FloatArray = sums / powers.sum()
        return mean

    @cached_property
    def horizon(self) -> int:
        """Steps of the longest episode."""
        return int(self.lengths.max())

    def totals(self, values: FloatArray) -> FloatArray:
        """Return ``[E]`` the sum of each episode's values, from ``[N]``."""
        sums: FloatArray = np.add.reduceat(values, self.starts)
        return sums

    def by_step(self, values: FloatArray, ended: FloatArray | None = None) -> FloatArray:
        """Return ``[T]`` the sums of a step's values over the episodes.

        Args:
            values: ``[N]``.
            ended: ``[E]`` the value of an episode at each step after its end; 0 by default.
        """
        sums: FloatArray = np.bincount(self.step, values, self.horizon).astype(np.float64)
        if ended is not None:
            sums += np.bincount(self.lengths, ended, self.horizon + 1).cumsum()[: self.horizon]
        return sums

    def _products(self, logs: FloatArray) -> FloatArray:
        """Return ``[N]`` the sums up to each row within its episode."""
        sums = np.cumsum(logs)
        before = sums[self.starts] - logs[self.starts]
        total: FloatArray = sums - before[self.episode]
        return total
