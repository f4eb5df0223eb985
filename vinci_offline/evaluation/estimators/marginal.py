"""Marginal weights: how much more often the judged policy meets a state and an action than the data do.

DualDICE (Nachum et al., 2019, https://arxiv.org/abs/1906.04733) finds these weights by a game between two functions. If
both are linear in the same features, the game has a solution in closed form, and no network is trained. With
``A = sum phi (phi - gamma phi')^T`` over rows, and ``b`` the mean feature of first states, the weights are
``phi^T A^-T b``. One weight replaces the product of an episode's ratios: no horizon is too long, and propensities are
not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from vinci_offline.evaluation.estimators.importance import Weighted
from vinci_offline.types import Array, FloatArray


@dataclass(frozen=True)
class Block:
    """Some rows.

    Attributes:
        features: ``[B, P]`` phi of the observation and the logged action.
        following: ``[B, P]`` the discount times phi of the next observation, by expectation under the judged policy; 0
            after a terminal row.
        rewards: ``[B]`` rewards.
        episode: ``[B]`` the number of each row's episode.
    """

    features: FloatArray
    following: FloatArray
    rewards: FloatArray
    episode: Array


@dataclass(frozen=True)
class Flow:
    """The linear system of all rows.

    Attributes:
        blocks: returns the rows, anew at each call.
        matrix: ``[P, P]`` the sum of ``phi (phi - gamma phi')^T``, with the ridge on its diagonal.
        ridge: what was added to the diagonal.
        values: ``[P]`` theta: ``phi^T theta`` is the value of a state and an action.
        episodes: E.
    """

    blocks: Callable[[], Iterator[Block]]
    matrix: FloatArray
    ridge: float
    values: FloatArray
    episodes: int

    @classmethod
    def of(cls, blocks: Callable[[], Iterator[Block]], episodes: int, ridge: float) -> Flow:
        """Solve the system of some rows.

        Args:
            blocks: returns the rows, anew at each call.
            episodes: E.
            ridge: what is added to the diagonal, as a share of the mean sum of squares of a feature.
        """
        size = next(blocks()).features.shape[1]
        matrix, earned, squares = np.zeros((size, size)), np.zeros(size), 0.0
        for block in blocks():
            matrix += block.features.T @ (block.features - block.following)
            earned += block.features.T @ block.rewards
            squares += float(np.square(block.features).sum())
        added = ridge * squares / size
        matrix += added * np.eye(size)
        return cls(blocks, matrix, added, _solved(matrix, earned), episodes)

    def estimate(self, first: FloatArray) -> tuple[Weighted, float]:
        """Return the mean value, and how far the rows are from having what the policy meets: 0 for all of it.

        The influence of an episode counts that the weights and the values are fitted.

        Args:
            first: ``[E, P]`` phi of each episode's first observation, by expectation under the judged policy.
        """
        mean = first.mean(axis=0)
        dual = _solved(self.matrix.T, mean)
        # Without the ridge A^T dual would be b, if only the rows had all that the policy meets.
        missing = self.ridge * float(np.linalg.norm(dual)) / (float(np.linalg.norm(mean)) or 1.0)
        weights, errors = np.zeros(self.episodes), np.zeros(self.episodes)
        for block in self.blocks():
            of_rows = block.features @ dual
            error = block.rewards + (block.following - block.features) @ self.values
            weights += np.bincount(block.episode, of_rows, self.episodes)
            errors += np.bincount(block.episode, of_rows * error, self.episodes)
        value = float(mean @ self.values)
        influence = first @ self.values - value + self.episodes * errors
        influence -= influence.mean()  # the ridge moves it a little

        def resampled(counts: FloatArray) -> float:
            return value + float(counts @ influence) / float(counts.sum())

        total = float(weights.mean())
        return Weighted(value, influence, resampled, weights / total if total else weights), missing


def _solved(matrix: FloatArray, right: FloatArray) -> FloatArray:
    try:
        found: FloatArray = np.linalg.solve(matrix, right)
    except np.linalg.LinAlgError:
        found = np.linalg.lstsq(matrix, right, rcond=None)[0]
    return found


def with_gain(estimate: Weighted, beyond: Weighted, returns: FloatArray) -> Weighted:
    """Return an estimate with its gain over the logged policy.

    Args:
        estimate: the value of first states.
        beyond: the value of first states, less the discounted value where episodes were cut.
        returns: ``[E]`` discounted returns of the episodes.
    """
    influence = beyond.influence - (returns - returns.mean())
    return replace(
        estimate, gain=replace(beyond, value=beyond.value - float(returns.mean()), influence=influence)
    )
