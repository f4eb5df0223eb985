"""Rewards of a goal environment for relabelling."""

from __future__ import annotations

from typing import Any

import numpy as np

from vinci_offline.envs.wrapper import EnvWrapper
from vinci_offline.errors import UsageError
from vinci_offline.loading import describe
from vinci_offline.types import Array

_COMPARED = 8


class EnvironmentReward:
    """Environment whose ``compute_reward`` and ``compute_terminated`` score relabelled rows.

    The environments of gymnasium-robotics are such. Many compute a whole batch in one call: the first rows show
    whether this one does. Otherwise it is called row by row. Its ``info`` is empty.

    Args:
        env: the environment.

    Raises:
        UsageError: it has no ``compute_reward``.
    """

    def __init__(self, env: EnvWrapper) -> None:
        self._env: Any = env.unwrapped
        self._name = env.environment_spec.id or type(self._env).__name__
        self._batched: dict[str, bool] = {}
        if not callable(getattr(self._env, "compute_reward", None)):
            raise UsageError(
                f"{self._name} has no compute_reward: give --reward-threshold, or a goal environment"
            )

    def rewards(self, achieved: Array, desired: Array) -> Array:
        """See `vinci_offline.curate.goals.GoalReward`."""
        return self._computed("compute_reward", achieved, desired).astype(np.float64)

    def terminals(self, achieved: Array, desired: Array) -> Array | None:
        """See `vinci_offline.curate.goals.GoalReward`. None where the environment has no ``compute_terminated``."""
        if not callable(getattr(self._env, "compute_terminated", None)):
            return None
        return self._computed("compute_terminated", achieved, desired).astype(np.bool_)

    def reached(self, achieved: Array, desired: Array) -> Array | None:
        """See `vinci_offline.curate.goals.GoalReward`. None: a reward does not tell whether a goal is reached."""
        return None

    def _computed(self, method: str, achieved: Array, desired: Array) -> Array:
        try:
            if method not in self._batched and len(achieved) > 1:
                few = slice(0, _COMPARED)
                self._batched[method] = self._takes_batches(method, achieved[few], desired[few])
            if self._batched.get(method, False):
                return np.asarray(getattr(self._env, method)(achieved, desired, {}))
            return self._one_by_one(method, achieved, desired)
        except Exception as error:
            raise UsageError(f"{method} of {self._name} failed: {describe(error)}") from error

    def _takes_batches(self, method: str, achieved: Array, desired: Array) -> bool:
        single = self._one_by_one(method, achieved, desired)
        try:
            together = np.asarray(getattr(self._env, method)(achieved, desired, {}))
        except Exception:  # noqa: BLE001  # only calls of one row are promised; any error means no batches
            return False
        return together.shape == single.shape and bool(np.allclose(together, single))

    def _one_by_one(self, method: str, achieved: Array, desired: Array) -> Array:
        function = getattr(self._env, method)
        return np.array([function(one, goal, {}) for one, goal in zip(achieved, desired, strict=True)])
