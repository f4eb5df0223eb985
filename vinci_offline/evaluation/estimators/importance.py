"""Importance sampling: the value of a policy from episodes of another one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.evaluation.intervals import effective_sample_size
from vinci_offline.types import FloatArray


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
