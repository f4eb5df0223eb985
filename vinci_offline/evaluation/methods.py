"""The estimators by name. A method of one's own is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vinci_offline.evaluation.estimators import one_step
from vinci_offline.evaluation.estimators.dice import marginal_weights
from vinci_offline.evaluation.estimators.direct import (
    direct_method,
    doubly_robust_fitted,
    fitted_q_evaluation,
    weighted_doubly_robust_fitted,
)
from vinci_offline.evaluation.estimators.doubly_robust import RowValues, doubly_robust
from vinci_offline.evaluation.estimators.importance import (
    Weighted,
    importance_sampling,
    per_decision,
    weighted_importance_sampling,
    weighted_per_decision,
)
from vinci_offline.evaluation.estimators.reward_model import cross_fitted_rewards
from vinci_offline.evaluation.evidence.evidence import Evidence
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes

ONE_STEP = "one step"


@dataclass(frozen=True)
class Method:
    """An estimator.

    Attributes:
        value: returns the estimate. A DatasetError or SpecError is the reason why it cannot tell.
        one_step: True if it suits data of one step alone, False if it suits several; None for both.
        by_default: True if it is asked where no method is named; `ONE_STEP` if so for data of one step alone.
        by_ratios: False if it can tell the verdict where the ratios cannot.
    """

    value: Callable[[Evidence], Weighted]
    one_step: bool | None = None
    by_default: bool | str = True
    by_ratios: bool = True

    def suits(self, one_step: bool) -> bool:
        """Return True if it is asked, unless others are named, of such data."""
        asked = one_step if self.by_default == ONE_STEP else bool(self.by_default)
        return asked and self.one_step in (None, one_step)


def _by_weights(estimator: Callable[[LoggedEpisodes], Weighted]) -> Callable[[Evidence], Weighted]:
    return lambda evidence: estimator(evidence.weighted)


def _rewards(evidence: Evidence) -> RowValues:
    """Return the values of one-step data by a model of rewards."""
    return evidence.once("rewards", lambda: cross_fitted_rewards(evidence))


def _direct(evidence: Evidence) -> Weighted:
    if (evidence.counted.lengths == 1).all():
        return one_step.direct(_rewards(evidence))
    return direct_method(evidence)


def _doubly_robust(evidence: Evidence) -> Weighted:
    if (evidence.counted.lengths == 1).all():
        return doubly_robust(evidence.weighted, _rewards(evidence))
    return doubly_robust_fitted(evidence)


def _switch(evidence: Evidence) -> Weighted:
    found = evidence.weighted
    return one_step.switch(
        found.weights, found.rewards, _rewards(evidence), evidence.setting("switch", "threshold")
    )


def _shrinkage(evidence: Evidence) -> Weighted:
    found = evidence.weighted
    return one_step.shrinkage(
        found.weights, found.rewards, _rewards(evidence), evidence.setting("shrinkage", "lambda")
    )


METHODS: Mapping[str, Method] = {
    "dm": Method(_direct, by_default=ONE_STEP),
    "fqe": Method(fitted_q_evaluation, by_default=False, by_ratios=False),
    "dice": Method(marginal_weights, by_default=False, by_ratios=False),
    "switch": Method(_switch, one_step=True),
    "shrinkage": Method(_shrinkage, one_step=True),
    "is": Method(_by_weights(importance_sampling), one_step=False),
    "pdis": Method(_by_weights(per_decision), one_step=False),
    "wis": Method(_by_weights(weighted_importance_sampling), one_step=False),
    "wpdis": Method(_by_weights(weighted_per_decision), one_step=False),
    "ipw": Method(_by_weights(importance_sampling), one_step=True),
    "snipw": Method(_by_weights(weighted_importance_sampling), one_step=True),
    "dr": Method(_doubly_robust, by_default=ONE_STEP),
    "wdr": Method(weighted_doubly_robust_fitted, one_step=False, by_default=False),
}
"""Estimators, the one to trust most last. ``ipw`` and ``snipw`` are names for data of one step.

Those that train a network are asked by name.
"""
