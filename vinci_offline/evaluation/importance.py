"""Importance sampling: the value of a policy from episodes of another one.

The ratio of a step is ``pi(a | s) / b(a | s)``, the target policy's density of the logged action over the behaviour
policy's. The weight of a step is the product of the ratios up to it, within its episode (Precup, Sutton and Singh,
2000, "Eligibility Traces for Off-Policy Policy Evaluation").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vinci_offline.evaluation.intervals import effective_sample_size
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


@dataclass(frozen=True)
class Weighted:
    """An estimate that is a function of means over episodes.

    Attributes:
        value: the estimate.
        influence: ``[E]`` by how much each episode moves the estimate, times E; the mean is 0.
        resampled: returns the estimate if episode i is in the data ``counts[i]`` times.
        weights: ``[E]`` the weight of each episode. Their expected mean is 1.
        terms: ``[E]`` terms whose mean is the estimate; None if it is a ratio of means, or of no independent terms.
        members: ``[K]`` the estimate by each of several models; their spread is counted in the interval.
        caveat: what the interval leaves out.
        gain: the gain over the logged policy, where it is not the difference to the mean return of the episodes.
        details: further numbers by name.
    """

    value: float
    influence: FloatArray
    resampled: Callable[[FloatArray], float]
    weights: FloatArray
    terms: FloatArray | None = None
    members: FloatArray | None = None
    caveat: str | None = None
    gain: Weighted | None = None
    details: Mapping[str, float] = field(default_factory=dict)

    @property
    def effective(self) -> float:
        """The effective number of episodes."""
        return effective_sample_size(self.weights)

    @property
    def largest(self) -> float:
        """The share of the greatest weight in the sum of all."""
        return float(self.weights.max()) / (float(self.weights.sum()) or 1.0)

    @property
    def mean_weight(self) -> tuple[float, float]:
        """The mean weight and its standard error. Data that lack what the policy does have a mean below 1."""
        count = len(self.weights)
        error = float(self.weights.std(ddof=1)) / math.sqrt(count) if count > 1 else math.inf
        return float(self.weights.mean()), error


def importance_sampling(episodes: LoggedEpisodes) -> Weighted:
    """Return the mean of ``w_T G``: the weight of the whole episode times its return. It is unbiased."""
    return mean_of(episodes.last_weights * episodes.returns, episodes.last_weights)


def weighted_importance_sampling(episodes: LoggedEpisodes) -> Weighted:
    """Return ``sum w_T G / sum w_T``. It has a bias that goes to 0 with many episodes, and less variance."""
    weights, returns = episodes.last_weights, episodes.returns

    def resampled(counts: FloatArray) -> float:
        return _ratio(float(counts @ (weights * returns)), float(counts @ weights))

    value = resampled(np.ones(len(weights)))
    influence = weights * (returns - value) / (float(weights.mean()) or 1.0)
    return Weighted(value, influence, resampled, weights)


def per_decision(episodes: LoggedEpisodes) -> Weighted:
    """Return the mean of ``sum_t gamma^t w_t r_t``: the weight of a reward ends with its step. It is unbiased."""
    return mean_of(episodes.totals(episodes.weights * episodes.discounted), episodes.mean_weights)


def weighted_per_decision(episodes: LoggedEpisodes) -> Weighted:
    """Return the sum over steps t of ``sum gamma^t w_t r_t / sum w_t``, both over episodes.

    An episode that ended before step t counts in the lower sum with its last weight, as if it went on without reward.
    """
    return self_normalised(episodes, episodes.discounted, episodes.weights)


def self_normalised(episodes: LoggedEpisodes, values: FloatArray, weights: FloatArray) -> Weighted:
    """Return the sum over steps of ``sum w_t x_t / sum w_t``, both over episodes.

    Args:
        episodes: the episodes. One that has ended counts in the lower sum with its last weight.
        values: ``[N]`` x, discounted.
        weights: ``[N]`` w.
    """
    last = episodes.last_weights
    earned = weights * values

    def sums(counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        of_rows = counts[episodes.episode]
        below = episodes.by_step(of_rows * weights, counts * last)
        return episodes.by_step(of_rows * earned), np.where(below > 0, below, 1.0)

    def resampled(counts: FloatArray) -> float:
        above, below = sums(counts)
        return float((above / below).sum())

    above, below = sums(np.ones(len(last)))
    mean = above / below
    of_rows = (earned - weights * mean[episodes.step]) / below[episodes.step]
    # What a step costs an episode that has ended: nothing is earned there, and its weight lowers the mean.
    after = np.append(np.cumsum((mean / below)[::-1])[::-1], 0.0)
    influence = len(last) * (episodes.totals(of_rows) - last * after[episodes.lengths])
    return Weighted(float(mean.sum()), influence, resampled, episodes.mean_weights)


def logged(episodes: LoggedEpisodes) -> Weighted:
    """Return the mean return of the episodes: the value of the policy that was logged."""
    return mean_of(episodes.returns, np.ones(len(episodes.lengths)))


def mean_of(terms: FloatArray, weights: FloatArray) -> Weighted:
    """Return the mean of ``[E]`` terms; ``weights`` tell about its overlap."""
    value = float(terms.mean())

    def resampled(counts: FloatArray) -> float:
        return _ratio(float(counts @ terms), float(counts.sum()))

    return Weighted(value, terms - value, resampled, weights, terms)


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan
