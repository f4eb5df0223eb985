"""Recording of one episode: growing buffers that become columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vinci_offline.batches.names import ACTION_MASK
from vinci_offline.data import layout
from vinci_offline.data.casting import cast
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec, Space
from vinci_offline.spec.elements import ObservationCheck, check_reward
from vinci_offline.types import Array, Columns

_NO_DENSITY = np.float32(np.nan)


class EpisodeBuffer:
    """Buffers of one lane. Each episode uses the same preallocated arrays.

    Args:
        spec: the environment.
        record_infos: keys of the step's info to record: numbers or arrays of numbers. With ``action_mask`` of Discrete
            actions row t has the mask of its own observation, from the step before or the reset; ``next_action_mask``
            is that of its next observation.
        float64: keep float64 values. Otherwise they become float32.
    """

    def __init__(
        self, spec: EnvironmentSpec, record_infos: Sequence[str] = (), *, float64: bool = False
    ) -> None:
        self._infos = tuple(record_infos)
        self._masked = ACTION_MASK in self._infos and isinstance(spec.action_space, DiscreteSpace)
        self._float = np.dtype(np.float64 if float64 else np.float32)
        capacity = min(spec.max_episode_steps or 1024, 1024) + 1
        space = spec.observation_space
        # The index of each part in an observation; None for observations of one part.
        self._places = tuple(space.places.items()) if isinstance(space, DictSpace) else None
        parts = space.spaces if isinstance(space, DictSpace) else {"": space}
        self._observations = {key: _buffer(part, capacity, float64) for key, part in parts.items()}
        # The only part of a Box or Discrete space, kept to save a look-up a step.
        self._observation = next(iter(self._observations.values()))
        self._actions = _buffer(spec.action_space, capacity, float64)
        self._check = ObservationCheck(space)
        self._shape, self._dtype = self._check.shape, self._check.dtype
        self._capacity = capacity
        self.length = 0
        self._clear()

    def begin(self, observation: Any, info: Mapping[str, Any]) -> None:
        """Start an episode at its first observation and info."""
        self._clear()
        self._check(observation)
        self._store(0, observation)
        if self._masked:
            self._add_info(ACTION_MASK, info)

    def add(
        self,
        action: Any,
        log_prob: float | None,
        observation: Any,
        reward: Any,
        info: Mapping[str, Any],
    ) -> int:
        """Record a step: the action, its log density, and the outcome. Return the length so far."""
        row = self.length
        self.length = length = row + 1
        if length >= self._capacity:
            self._grow()
        self._actions[row] = action
        # Two comparisons for most environments: this is the inner loop of a collection.
        try:
            if observation.dtype is not self._dtype or observation.shape != self._shape:
                self._check(observation)
        except AttributeError:
            self._check(observation)
        if type(reward) is not float:
            check_reward(reward)
        if self._places is None:
            self._observation[length] = observation
        else:
            self._store(length, observation)
        self._rewards.append(reward)
        self._log_probs.append(_NO_DENSITY if log_prob is None else log_prob)
        if self._infos:
            self._add_infos(info)
        return length

    def finish(self, terminated: bool, truncated: bool) -> Columns:
        """Return the episode's columns. An episode that the environment ended in both ways is a terminal.

        With neither flag the end of the recording cut the episode. The last row then has no flag; `joining.join` marks
        it as a timeout, and the episode as a fragment.
        """
        length = self.length
        columns: Columns = {}
        for key, values in self._observations.items():
            path = f"/{key}" if key else ""
            columns[layout.OBSERVATIONS + path] = values[:length].copy()
            columns[layout.NEXT_OBSERVATIONS + path] = values[1 : length + 1].copy()
        columns[layout.ACTIONS] = self._actions[:length].copy()
        columns[layout.REWARDS] = cast(np.asarray(self._rewards), self._float, layout.REWARDS)
        columns[layout.TERMINALS] = np.zeros(length, np.bool_)
        columns[layout.TIMEOUTS] = np.zeros(length, np.bool_)
        columns[layout.TERMINALS][-1] = terminated
        columns[layout.TIMEOUTS][-1] = truncated and not terminated
        columns[layout.ACTION_LOG_PROBS] = np.asarray(self._log_probs, self._float)
        for key, rows in self._info_rows.items():
            columns[f"{layout.INFOS}/{key}"] = self._info_column(key, rows)
        if self._masked:
            masks = columns[layout.ACTION_MASKS] != 0
            columns[layout.ACTION_MASKS], columns[layout.NEXT_ACTION_MASKS] = masks[:-1], masks[1:]
        return columns

    def _clear(self) -> None:
        self.length = 0
        self._rewards: list[Any] = []
        self._log_probs: list[Any] = []
        self._info_rows: dict[str, list[Any]] = {key: [] for key in self._infos}

    def _store(self, row: int, observation: Any) -> None:
        if self._places is None:
            self._observation[row] = observation
            return
        for key, place in self._places:
            self._observations[key][row] = observation[place]

    def _grow(self) -> None:
        self._capacity *= 2
        self._actions = _doubled(self._actions)
        self._observations = {key: _doubled(values) for key, values in self._observations.items()}
        self._observation = next(iter(self._observations.values()))

    def _add_infos(self, info: Mapping[str, Any]) -> None:
        for key in self._info_rows:
            self._add_info(key, info)

    def _add_info(self, key: str, info: Mapping[str, Any]) -> None:
        if key not in info:
            raise UsageError(f"the environment's info has no {key!r}; it has: {', '.join(info) or 'nothing'}")
        rows = self._info_rows[key]
        # A copy, because an environment may write its next value into the same array.
        rows.append(_info_of(key, info[key], rows))

    def _info_column(self, key: str, rows: list[Any]) -> Array:
        try:
            return cast(np.asarray(rows), self._float, f"{layout.INFOS}/{key}")
        except (ValueError, TypeError, DatasetError) as error:
            raise UsageError(
                f"info {key!r} cannot be recorded: it is not numbers of one shape that {self._float} holds ({error})"
            ) from error


def _info_of(key: str, given: Any, earlier: Sequence[Array]) -> Array:
    """Return a step's info as an array of numbers, of the shape of the episode's earlier ones."""
    try:
        value = np.array(given)
    except ValueError:  # rows of different lengths
        value = np.empty(0, np.object_)
    if value.dtype.kind not in "biuf":
        raise UsageError(f"info {key!r} cannot be recorded: it is of type {value.dtype}, not numbers")
    if earlier and value.shape != earlier[0].shape:
        raise UsageError(
            f"info {key!r} cannot be recorded: it has shape {value.shape} after {earlier[0].shape} at the "
            "steps before"
        )
    return value


def _buffer(space: Space, capacity: int, float64: bool) -> Array:
    if not isinstance(space, BoxSpace):
        return np.empty(capacity, np.int64)
    dtype = np.dtype(space.dtype)
    return np.empty((capacity, *space.shape), dtype if float64 else layout.stored_dtype(dtype))


def _doubled(values: Array) -> Array:
    return np.concatenate([values, np.empty_like(values)])
