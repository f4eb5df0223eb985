"""The method dice: marginal weights from a dataset and a policy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from vinci_offline.data.layout import ACTIONS, REWARDS, TERMINALS
from vinci_offline.errors import DatasetError
from vinci_offline.evaluation.estimators.features import Features
from vinci_offline.evaluation.estimators.importance import Weighted
from vinci_offline.evaluation.estimators.marginal import Block, Flow, with_gain
from vinci_offline.evaluation.evidence.evidence import Evidence
from vinci_offline.evaluation.evidence.policy_actions import observations_at, policy_actions
from vinci_offline.evaluation.evidence.ratios import rows_of
from vinci_offline.types import Array, FloatArray

_ROWS = 4096
_SAMPLES = 3
MOST_MISSING = 0.03
"""By so much may what the policy meets differ from what weights of rows can stand for."""


def marginal_weights(evidence: Evidence) -> Weighted:
    """Return the mean reward of rows by marginal weights, solved in closed form with linear features.

    Raises:
        DatasetError: the data lack what the policy meets, or their observations are too large.
        SpecError: the policy depends on a history.
    """
    dataset, counted, gamma = evidence.dataset, evidence.counted, evidence.gamma
    rows, numbers = rows_of(counted), np.repeat(np.arange(len(counted.lengths)), counted.lengths)
    features = Features.of(dataset, rows, evidence.seed)
    # An average over rows needs few draws of each.
    taken = policy_actions(
        dataset, evidence.policy, rows, following=True, samples=_SAMPLES, seed=evidence.seed
    )
    discounts = gamma * ~dataset.columns[TERMINALS][rows]

    def expected(places: Array) -> FloatArray:
        """Return the discounted features of what follows some of the rows."""
        seen = observations_at(dataset, rows[places], following=True)
        part = replace(taken, actions=taken.actions[places], weights=taken.weights[places])
        return discounts[places, None] * features.expected(seen, part)

    def blocks() -> Iterator[Block]:
        for start in range(0, len(rows), _ROWS):
            places = np.arange(start, min(start + _ROWS, len(rows)))
            here = rows[places]
            logged = features.at(observations_at(dataset, here), dataset.columns.gather(ACTIONS, here))
            rewards = dataset.columns.gather(REWARDS, here).astype(np.float64)
            yield Block(logged, expected(places), rewards, numbers[places])

    flow = Flow.of(blocks, len(counted.lengths), features.ridge)
    starts = counted.starts
    first = features.expected(
        observations_at(dataset, starts), policy_actions(dataset, evidence.policy, starts, seed=evidence.seed)
    )
    found, missing = flow.estimate(first)
    if missing > MOST_MISSING:
        raise DatasetError(
            "the data lack what the policy does, so that no weights of rows stand for it; judge a policy that is "
            "nearer to the data (--stochastic), or record data nearer to it"
        )
    powers = np.power(gamma, counted.lengths - 1, dtype=np.float64)
    last = np.cumsum(counted.lengths) - 1
    beyond, _ = flow.estimate(first - powers[:, None] * expected(last))
    fit = None if features.exact else "the interval leaves out what the features cannot express"
    goes_on = None if counted.terminated.all() else "the value goes on after the time limit"
    caveat = "; ".join(filter(None, (fit, goes_on))) or None
    return with_gain(replace(found, caveat=caveat), replace(beyond, caveat=fit), evidence.logged.returns)
