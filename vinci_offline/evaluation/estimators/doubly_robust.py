"""Doubly robust estimates: importance weights, with a model of values to lower their variance.

With right ratios they need no right model, and with a right model no right ratios. The model must not have seen the
episode that it is used for: `evaluation.estimators.fitted` fits it to the other episodes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from vinci_offline.evaluation.estimators.importance import Weighted, mean_of, self_normalised
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes
from vinci_offline.types import FloatArray


@dataclass(frozen=True)
class RowValues:
    """A model's values at the rows of episodes.

    Attributes:
        logged: ``[N]`` Q of the logged action.
        policy: ``[N]`` V: the expectation of Q under the judged policy.
    """

    logged: FloatArray
    policy: FloatArray

    def up_to(self, limit: int, episodes: LoggedEpisodes) -> RowValues:
        """Return the values of the steps up to a time limit, of a model that knows of none.

        The model counts the steps after the limit too. Were rewards equal, ``1 - gamma^n`` of its value would be
        those of the n steps that remain. Any other model is allowed as well: it changes the variance alone.
        """
        share = 1 - np.power(episodes.gamma, limit - episodes.step, dtype=np.float64)
        return RowValues(self.logged * share, self.policy * share)


def doubly_robust(episodes: LoggedEpisodes, values: RowValues) -> Weighted:
    """Return the mean of ``V(s_0) + rho_0 (r_0 + gamma (V(s_1) + rho_1 (...)) - Q(s_0, a_0))``.

    Jiang and Li (2016), https://arxiv.org/abs/1511.03722. It is the mean of
    ``sum_t gamma^t (w_(t-1) V(s_t) + w_t (r_t - Q(s_t, a_t)))``. After its end an episode has the value 0.
    """
    discounts = np.power(episodes.gamma, episodes.step, dtype=np.float64)
    errors = episodes.weights * (episodes.rewards - values.logged)
    parts = discounts * (episodes.weights_before * values.policy + errors)
    return mean_of(episodes.totals(parts), episodes.mean_weights)


def weighted_doubly_robust(episodes: LoggedEpisodes, values: RowValues) -> Weighted:
    """Return the same with each step's weights divided by their mean over the episodes.

    Thomas and Brunskill (2016), https://arxiv.org/abs/1604.00923. An episode that has ended counts in later steps with
    its last weight and the value 0. The bias vanishes with many episodes.
    """
    discounts = np.power(episodes.gamma, episodes.step, dtype=np.float64)
    model = self_normalised(episodes, discounts * values.policy, episodes.weights_before)
    errors = self_normalised(episodes, discounts * (episodes.rewards - values.logged), episodes.weights)
    return replace(
        model,
        value=model.value + errors.value,
        influence=model.influence + errors.influence,
        resampled=lambda counts: model.resampled(counts) + errors.resampled(counts),
    )
