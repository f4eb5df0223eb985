"""The actor and the critic over the plane of two-dimensional observations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vinci_offline.batches.names import ACTION_MASK, OBSERVATION
from vinci_offline.errors import SpecError
from vinci_offline.hooks.hook import RunInfo
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec, describe_space
from vinci_offline.spec.units import Units
from vinci_offline.types import Array, FloatArray

RESOLUTION = 121
"""Points of the grid along each axis."""


def has_plane(spec: EnvironmentSpec) -> bool:
    """Tell whether observations are two numbers each."""
    space = spec.observation_space
    return isinstance(space, BoxSpace) and space.shape == (2,)


@dataclass(frozen=True)
class PhasePlane:
    """Values of an actor and a critic over a grid of observations.

    Attributes:
        x: ``[R]`` the first observation's values.
        y: ``[R]`` the second's.
        action: ``[R, R]`` the action's first dimension in the environment's units, rows along y.
        value: ``[R, R]`` expected discounted return, rows along y; None without a critic.
    """

    x: FloatArray
    y: FloatArray
    action: Array
    value: FloatArray | None

    @property
    def finite(self) -> bool:
        """Tell whether all values are finite, and can be drawn."""
        fields = (self.action,) if self.value is None else (self.action, self.value)
        return all(np.isfinite(field).all() for field in fields)


def plane_observations(run: RunInfo) -> Array:
    """Return the sample of the dataset's observations, ``[M, 2]``.

    Raises:
        SpecError: the observations are not two numbers each.
    """
    observations = run.observations
    if isinstance(observations, Mapping) or observations.shape[1:] != (2,):
        raise SpecError(
            f"a portrait needs observations of two numbers, and they are {describe_space(run.spec.observation_space)}"
        )
    return observations


def phase_plane(run: RunInfo) -> PhasePlane:
    """Evaluate a run's policy and critic over the range of the dataset's observations.

    Raises:
        SpecError: the observations are not two numbers each.
    """
    observations = plane_observations(run)
    low, high = observations.min(axis=0), observations.max(axis=0)
    margin = np.maximum(0.02 * (high - low), 1e-6)
    units = run.units or Units.of(run.spec)
    # float64 where float32 would round the axis away.
    dtype: type[np.floating[Any]] = np.float64 if units.offsets else np.float32
    x, y = (np.linspace(low[i] - margin[i], high[i] + margin[i], RESOLUTION).astype(dtype) for i in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    actions = policy_actions(run, grid)
    first = actions.reshape(len(grid), -1)[:, 0]
    value = state_values(run, grid, actions)
    shape = (RESOLUTION, RESOLUTION)
    return PhasePlane(x, y, first.reshape(shape), None if value is None else value.reshape(shape))


def policy_actions(run: RunInfo, observations: Array | Mapping[str, Array]) -> Array:
    """Return the policy's actions, ``[B, ...]``. A policy that takes masks may choose anything."""
    space, takes, seen = run.spec.action_space, run.policy.input, observations
    if isinstance(space, DiscreteSpace) and isinstance(takes, Mapping):
        seen = dict(observations) if isinstance(observations, Mapping) else {OBSERVATION: observations}
        if ACTION_MASK in takes and ACTION_MASK not in seen:
            first = next(iter(seen.values()))
            seen[ACTION_MASK] = np.ones((len(first), space.n), np.float32)
    return _numpy(run.policy(seen))


def state_values(run: RunInfo, observations: Array, actions: Array) -> FloatArray | None:
    """Return V(s), ``[B]``, of observations of one array; None without a critic of observations and actions alone.

    Args:
        run: the run.
        observations: ``[B, ...]``.
        actions: ``[B, ...]`` the policy's actions there.
    """
    units = run.units or Units.of(run.spec)
    grid = units.observed("", observations)
    discrete = isinstance(run.spec.action_space, DiscreteSpace)
    if "value" in run.nets and len(run.nets["value"].inputs) == 1:
        return _numpy(run.nets["value"](grid))
    # A critic with a goal has more inputs, and a picture of the observations has no goal to give it.
    if "critic" not in run.nets or len(run.nets["critic"].inputs) != (1 if discrete else 2):
        return None
    if discrete:
        # First the least of the ensemble, as in the targets of a learner, then the best action.
        best: FloatArray = _numpy(run.nets["critic"](grid)).min(axis=0).max(axis=-1)
        return best
    scaled = None if units.actions is None else units.scaled(actions)
    least: FloatArray = _numpy(run.nets["critic"]([grid, scaled])).min(axis=0)
    return least


def _numpy(tensor: Any) -> Array:
    import keras

    array: Array = keras.ops.convert_to_numpy(tensor)
    return array
