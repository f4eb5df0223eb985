"""A model of rewards for data of one step: ridge regression in closed form, cross-fitted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vinci_offline.data import layout
from vinci_offline.errors import DatasetError
from vinci_offline.evaluation.estimators.doubly_robust import RowValues
from vinci_offline.evaluation.evidence.evidence import Evidence
from vinci_offline.evaluation.evidence.numbers import as_numbers, width
from vinci_offline.evaluation.evidence.policy_actions import PolicyActions, observations_at, policy_actions
from vinci_offline.evaluation.evidence.ratios import rows_of
from vinci_offline.policies.policy import Observations
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec, Space
from vinci_offline.types import Array, FloatArray

FOLDS = 5
PENALTY = 1.0
_MOST_INPUTS = 500
_TRACE = 1e-9


@dataclass(frozen=True)
class RewardModel:
    """A linear model of the reward: for each choice one of the observation, or one of both for continuous actions.

    Attributes:
        mean: the mean reward.
        coefficients: ``[G, P]`` one row a choice; a single one for continuous actions.
    """

    mean: float
    coefficients: FloatArray

    @classmethod
    def of(cls, features: FloatArray, groups: Array, rewards: FloatArray, count: int) -> RewardModel:
        """Fit by ridge regression.

        The penalty of 1 shrinks towards the mean reward of all rows. It weighs as much as one row with a feature of 1.

        Args:
            features: ``[N, P]``, a constant among them.
            groups: ``[N]`` the choice of each row, from 0.
            rewards: ``[N]``.
            count: G, the number of choices.
        """
        mean, size = float(rewards.mean()), features.shape[1]
        coefficients = np.zeros((count, size))
        for group in np.unique(groups):
            chosen = features[groups == group]
            matrix = chosen.T @ chosen + PENALTY * np.eye(size)
            coefficients[group] = np.linalg.solve(matrix, chosen.T @ (rewards[groups == group] - mean))
        return cls(mean, coefficients)

    def at(self, features: FloatArray, groups: Array) -> FloatArray:
        """Return ``[N]`` the rewards that the model expects."""
        found: FloatArray = self.mean + (features * self.coefficients[groups]).sum(axis=1)
        return found


def cross_fitted_rewards(evidence: Evidence) -> RowValues:
    """Return the values of rows by models that have not seen them.

    Raises:
        DatasetError: there are fewer than two rows, or an observation and an action have more than 500 numbers.
        SpecError: the policy does not tell what it does.
    """
    dataset, rows = evidence.dataset, rows_of(evidence.counted)
    if len(rows) < 2:
        raise DatasetError("a model of rewards needs two rows or more, so that none is judged by its own fit")
    inputs = _checked_numbers(dataset.spec, observations_at(dataset, rows))
    actions = dataset.columns.gather(layout.ACTIONS, rows)
    rewards = dataset.columns.gather(layout.REWARDS, rows).astype(np.float64)
    taken = policy_actions(dataset, evidence.policy, rows, seed=evidence.seed)
    return cross_fitted(dataset.spec.action_space, inputs, actions, rewards, taken, evidence.seed)


def cross_fitted(
    space: Space, inputs: FloatArray, actions: Array, rewards: FloatArray, taken: PolicyActions, seed: int = 0
) -> RowValues:
    """Return the values of rows by models that have not seen them: five folds of rows.

    Args:
        space: the actions.
        inputs: ``[N, D]`` observations as numbers.
        actions: ``[N, ...]`` logged actions.
        rewards: ``[N]``.
        taken: the judged policy's actions at the observations.
        seed: seed of the folds.
    """
    order = np.random.default_rng(seed).permutation(len(rewards))
    logged, policy = np.empty(len(rewards)), np.empty(len(rewards))
    for part in np.array_split(order, min(FOLDS, len(rewards))):
        others = np.setdiff1d(order, part)
        seen = PolicyActions(taken.actions[part], taken.weights[part])
        logged[part], policy[part] = _values(
            space, inputs[others], actions[others], rewards[others], inputs[part], actions[part], seen
        )
    return RowValues(logged, policy)


def _values(
    space: Space,
    known: FloatArray,
    known_actions: Array,
    rewards: FloatArray,
    inputs: FloatArray,
    actions: Array,
    taken: PolicyActions,
) -> tuple[FloatArray, FloatArray]:
    """Return Q of logged actions and V of some rows, by a model of others."""
    centre, scale = known.mean(axis=0), known.std(axis=0) + _TRACE
    known, inputs = (known - centre) / scale, (inputs - centre) / scale
    model = RewardModel.of(
        *_features(space, known, known_actions), rewards, space.n if isinstance(space, DiscreteSpace) else 1
    )
    values = np.zeros(len(inputs))
    for place in range(taken.actions.shape[1]):
        values += taken.weights[:, place] * model.at(*_features(space, inputs, taken.actions[:, place]))
    return model.at(*_features(space, inputs, actions)), values


def _features(space: Space, inputs: FloatArray, actions: Array) -> tuple[FloatArray, Array]:
    """Return the features of rows, and their choice: with continuous actions their products too, and 0."""
    constant = np.ones((len(inputs), 1))
    if isinstance(space, DiscreteSpace):
        return np.concatenate([constant, inputs], axis=1), actions - space.start
    assert isinstance(space, BoxSpace)
    flat = np.asarray(actions, np.float64).reshape(len(inputs), -1)
    one, other = np.triu_indices(flat.shape[1])
    crossed = (inputs[:, :, None] * flat[:, None, :]).reshape(len(inputs), -1)
    parts = [constant, inputs, flat, flat[:, one] * flat[:, other], crossed]
    return np.concatenate(parts, axis=1), np.zeros(len(inputs), np.int64)


def _checked_numbers(spec: EnvironmentSpec, observations: Observations) -> FloatArray:
    """Return ``[N, D]`` the numbers of observations.

    Raises:
        DatasetError: they have more than 500 with their products with actions.
    """
    size, actions = width(spec.observation_space), spec.action_space
    if size * (1 if isinstance(actions, DiscreteSpace) else 1 + actions.dim) > _MOST_INPUTS:
        raise DatasetError(
            f"the model of rewards takes at most {_MOST_INPUTS} numbers, and observations have {size:,}: "
            "take ipw or snipw, or the method fqe"
        )
    return as_numbers(spec.observation_space, observations)
