"""Everything that an estimator may look at: the data, the policy, and what is worked out of them once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.evaluation.importance import LoggedEpisodes
from vinci_offline.evaluation.ratios import Counted, with_ratios, without_ratios
from vinci_offline.policies.policy import Policy

_LARGEST_LOG = 600.0


@dataclass(frozen=True)
class Evidence:
    """The data and the policy of one call of `estimate`.

    Attributes:
        dataset: the data.
        policy: the policy to judge.
        counted: the episodes that count.
        gamma: the discount a step.
        seed: seed of all draws.
    """

    dataset: Dataset
    policy: Policy
    counted: Counted
    gamma: float
    seed: int = 0

    @cached_property
    def logged(self) -> LoggedEpisodes:
        """The episodes as the policy that was logged sees them: every ratio is 1."""
        return without_ratios(self.dataset, self.counted, self.gamma)

    @property
    def weighted(self) -> LoggedEpisodes:
        """The episodes with the ratios of the judged policy.

        Raises:
            DatasetError: the data do not tell the ratios, or no weight is a number above 0.
            SpecError: the policy does not tell them.
        """
        found = self._weighted
        if isinstance(found, LoggedEpisodes):
            return found
        raise found

    @cached_property
    def _weighted(self) -> LoggedEpisodes | DatasetError | SpecError:
        """The episodes with ratios, or the error that the methods share."""
        try:
            episodes = with_ratios(self.dataset, self.policy, self.counted, self.gamma)
            check_weights(episodes)
        except (DatasetError, SpecError) as error:
            return error
        return episodes


def check_weights(episodes: LoggedEpisodes) -> None:
    """Refuse weights that are all 0, or larger than any number.

    Raises:
        DatasetError: they are.
    """
    largest = float(episodes.log_weights.max())
    if np.isneginf(largest) or not (episodes.last_weights > 0).any():
        raise DatasetError(
            "no overlap: in each episode is an action that the policy never takes; judge a policy that takes the "
            "logged actions too (--stochastic), or record data nearer to it"
        )
    if largest > _LARGEST_LOG:
        raise DatasetError(
            f"horizon too long: a weight is a product of {episodes.lengths.max():,} ratios and exceeds any number; "
            "record with a policy that is nearer to this one, or shorter episodes"
        )
