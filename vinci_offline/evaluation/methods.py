"""The estimators by name. A method of one's own is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from vinci_offline.evaluation.dice import marginal_weights
from vinci_offline.evaluation.direct import (
    direct_method,
    doubly_robust_fitted,
    fitted_q_evaluation,
    weighted_doubly_robust_fitted,
)
from vinci_offline.evaluation.evidence import Evidence
from vinci_offline.evaluation.importance import (
    LoggedEpisodes,
    Weighted,
    importance_sampling,
    per_decision,
    weighted_importance_sampling,
    weighted_per_decision,
)


@dataclass(frozen=True)
class Method:
    """An estimator.

    Attributes:
        value: returns the estimate. A DatasetError or SpecError is the reason why it cannot tell.
        one_step: True if it suits data of one step alone, False if it suits several; None for both.
        by_default: True if it is asked where no method is named.
    """

    value: Callable[[Evidence], Weighted]
    one_step: bool | None = None
    by_default: bool = True

    def suits(self, one_step: bool) -> bool:
        """Return True if it is asked, unless others are named, of such data."""
        return self.by_default and self.one_step in (None, one_step)


def _by_weights(estimator: Callable[[LoggedEpisodes], Weighted]) -> Callable[[Evidence], Weighted]:
    return lambda evidence: estimator(evidence.weighted)


METHODS: Mapping[str, Method] = {
    "dm": Method(direct_method, by_default=False),
    "fqe": Method(fitted_q_evaluation, by_default=False),
    "dice": Method(marginal_weights, by_default=False),
    "is": Method(_by_weights(importance_sampling), one_step=False),
    "pdis": Method(_by_weights(per_decision), one_step=False),
    "wis": Method(_by_weights(weighted_importance_sampling), one_step=False),
    "wpdis": Method(_by_weights(weighted_per_decision), one_step=False),
    "dr": Method(doubly_robust_fitted, one_step=False, by_default=False),
    "wdr": Method(weighted_doubly_robust_fitted, one_step=False, by_default=False),
    "ipw": Method(_by_weights(importance_sampling), one_step=True),
    "snipw": Method(_by_weights(weighted_importance_sampling), one_step=True),
}
"""Estimators, the one to trust most last. ``ipw`` and ``snipw`` are names for data of one step.

Those that train a network are asked by name.
"""
