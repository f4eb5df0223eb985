"""How much of the data tells of a judged policy: its ratios, its weights, and the effective episodes at each step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.types import FloatArray


@dataclass(frozen=True)
class Overlap:
    """Importance ratios and weights of the episodes that count.

    Attributes:
        log_ratios: ``[N]`` logarithms of the ratios of logged actions; -inf where the judged policy never takes one.
        weights: ``[E]`` the weight of each whole episode.
        effective: ``[T]`` the effective number of episodes by the weights up to each step.
    """

    log_ratios: FloatArray
    weights: FloatArray
    effective: FloatArray

    @classmethod
    def of(cls, episodes: LoggedEpisodes) -> Overlap:
        """Work out the numbers of some episodes. One that has ended keeps its last weight."""
        # Weights of any size: the largest counts as 1.
        largest = float(episodes.log_weights.max())
        weights = np.exp(episodes.log_weights - largest)
        last = weights[episodes.starts + episodes.lengths - 1]
        sums = episodes.by_step(weights, last)
        squares = episodes.by_step(np.square(weights), np.square(last))
        effective: FloatArray = np.square(sums) / np.where(squares > 0, squares, 1.0)
        return cls(episodes.log_ratios, episodes.last_weights, effective)

    def heaviest(self) -> FloatArray:
        """Return ``[E]`` the share of all weight in the heaviest episode, in the heaviest two, and so on."""
        heaviest = np.sort(self.weights)[::-1].cumsum()
        shares: FloatArray = heaviest / (float(heaviest[-1]) or 1.0)
        return shares
