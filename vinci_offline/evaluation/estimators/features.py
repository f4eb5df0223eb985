"""Features of an observation and an action for linear models of values and weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from vinci_offline.data.dataset import Dataset
from vinci_offline.data.layout import ACTIONS
from vinci_offline.errors import DatasetError
from vinci_offline.evaluation.evidence.numbers import as_numbers, width
from vinci_offline.evaluation.evidence.policy_actions import PolicyActions, observations_at
from vinci_offline.policies.policy import Observations
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.spec.action_scaling import scale_actions
from vinci_offline.types import Array, FloatArray

_MOST_INPUTS, _MOST_QUADRATIC = 100, 20
_MOST_FEATURES, _WAVES = 1024, 256
_TABLE = 1e-9
_SMOOTH = 1e-5
_SAMPLE = 1000


@dataclass(frozen=True)
class Features:
    """Features of an observation and an action.

    A table for few Discrete observations and choices. Else a constant, the numbers themselves, their products in pairs
    if they are few, and random Fourier features (Rahimi and Recht, 2007) of three widths; for choices each anew.

    Attributes:
        spec: the spaces.
        mean: ``[D]`` mean of the inputs.
        deviation: ``[D]`` their standard deviation.
        waves: ``[D, W]`` frequencies of standardised inputs; None for a table.
        shifts: ``[W]`` their phases.
        ridge: the ridge that suits them, as `marginal.Flow` takes it.
    """

    spec: EnvironmentSpec
    mean: FloatArray
    deviation: FloatArray
    waves: FloatArray | None
    shifts: FloatArray
    ridge: float

    @classmethod
    def of(cls, dataset: Dataset, rows: Array, seed: int) -> Self:
        """Choose features for some rows.

        Raises:
            DatasetError: observations are images, or have more than 100 numbers.
        """
        spec = dataset.spec
        size, choices = _inputs(spec), _choices(spec)
        if size > _MOST_INPUTS:
            raise DatasetError(
                f"dice takes at most {_MOST_INPUTS} numbers an observation and action, and these have {size:,}: "
                "the method fqe takes any"
            )
        table = isinstance(spec.observation_space, DiscreteSpace) and choices
        if table and size * choices <= _MOST_FEATURES:
            nothing = np.zeros(size)
            return cls(spec, nothing, nothing + 1, None, nothing, _TABLE)
        rng = np.random.default_rng([seed, size])
        taken = np.sort(rng.choice(rows, min(len(rows), _SAMPLE), replace=False))
        seen = observations_at(dataset, taken)
        inputs = _numbers(spec, seen, dataset.columns.gather(ACTIONS, taken))
        mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + 1e-3
        standard = (inputs - mean) / deviation
        apart = standard[: len(standard) // 2] - standard[len(standard) // 2 :][: len(standard) // 2]
        width = float(np.median(np.linalg.norm(apart, axis=1))) if len(apart) else 1.0
        count = min(_WAVES, max(16, _MOST_FEATURES // max(1, choices) - size - 1))
        widths = (width or 1.0) * np.array([0.5, 1.0, 2.0])[np.arange(count) % 3]
        waves = rng.standard_normal((size, count)) / widths
        return cls(spec, mean, deviation, waves, rng.uniform(0, 2 * np.pi, count), _SMOOTH)

    @property
    def exact(self) -> bool:
        """True for a table, which can hold any values and weights."""
        return self.waves is None

    def at(self, observations: Observations, actions: Array) -> FloatArray:
        """Return ``[B, P]`` the features of ``[B, ...]`` observations and actions."""
        found = self._smooth(_numbers(self.spec, observations, actions))
        choices = _choices(self.spec)
        return _each_choice(found, self._one_hot(actions)) if choices else found

    def expected(self, observations: Observations, taken: PolicyActions) -> FloatArray:
        """Return ``[B, P]`` the expected features over a policy's actions."""
        if _choices(self.spec):
            hot = sum(
                taken.weights[:, [each]] * self._one_hot(taken.actions[:, each])
                for each in range(taken.actions.shape[1])
            )
            found = self._smooth(_numbers(self.spec, observations, taken.actions[:, 0]))
            return _each_choice(found, np.asarray(hot))
        drawn = range(taken.actions.shape[1])
        parts = (taken.weights[:, [each]] * self.at(observations, taken.actions[:, each]) for each in drawn)
        return np.asarray(sum(parts))

    def _one_hot(self, actions: Array) -> FloatArray:
        space = self.spec.action_space
        assert isinstance(space, DiscreteSpace)
        hot: FloatArray = np.eye(space.n)[actions - space.start]
        return hot

    def _smooth(self, inputs: FloatArray) -> FloatArray:
        """Return the features of ``[B, D]`` inputs."""
        if self.waves is None:
            return inputs
        standard = np.clip((inputs - self.mean) / self.deviation, -10, 10)
        parts = [np.ones((len(standard), 1)), standard]
        if standard.shape[1] <= _MOST_QUADRATIC:
            one, other = np.triu_indices(standard.shape[1])
            parts.append(standard[:, one] * standard[:, other])
        scale = np.sqrt(2 / self.waves.shape[1])
        parts.append(scale * np.cos(standard @ self.waves + self.shifts))
        return np.concatenate(parts, axis=1)


def _each_choice(found: FloatArray, weights: FloatArray) -> FloatArray:
    """Return ``[B, n * F]`` of ``[B, F]`` features: for each of n choices times its weight."""
    every: FloatArray = (weights[:, :, None] * found[:, None, :]).reshape(len(found), -1)
    return every


def _choices(spec: EnvironmentSpec) -> int:
    return spec.action_space.n if isinstance(spec.action_space, DiscreteSpace) else 0


def _inputs(spec: EnvironmentSpec) -> int:
    """Return how many numbers `_numbers` makes of a row."""
    action = spec.action_space
    return width(spec.observation_space) + (action.dim if isinstance(action, BoxSpace) else 0)


def _numbers(spec: EnvironmentSpec, observations: Observations, actions: Array) -> FloatArray:
    """Return ``[B, D]`` the numbers of observations, and of continuous actions, scaled."""
    numbers = as_numbers(spec.observation_space, observations)
    if not isinstance(spec.action_space, BoxSpace):
        return numbers
    scaled = np.asarray(scale_actions(spec.action_space, actions), np.float64)
    return np.concatenate([numbers, scaled.reshape(len(numbers), -1)], axis=1)
