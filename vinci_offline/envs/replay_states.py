"""States of recorded rows, from a recording's infos or its observations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.envs.states import observed_state, recorded_state
from vinci_offline.errors import UsageError
from vinci_offline.spec import BoxSpace
from vinci_offline.types import Array

Replayer: TypeAlias = Callable[[int], bool]
"""Puts the environment into the state before a row, by its place in the sample. False where it is unknown."""

QPOS, QVEL = f"{layout.INFOS}/qpos", f"{layout.INFOS}/qvel"
_PROBED = 20


def replayer(env: Any, dataset: Dataset, rows: Array) -> Replayer:
    """Return a function that puts ``env`` into the states before some rows.

    Recorded ``infos/qpos`` and ``infos/qvel`` are preferred. They may be the state before the row's action, as in D4RL,
    or after it, as in a step's info. The observations show which.

    Args:
        env: an environment without wrappers that was reset.
        dataset: the recording.
        rows: ``[N]`` ascending row numbers.

    Raises:
        UsageError: the environment's state cannot be set, or neither observations nor infos give it.
    """
    if not isinstance(dataset.spec.observation_space, BoxSpace):
        raise UsageError("only Box observations can be compared with a replay: leave --env out")
    observations = dataset.columns.gather(layout.OBSERVATIONS, rows)
    if (recorded := _recorded(env, dataset, rows, observations)) is not None:
        return recorded
    set_state = observed_state(env)
    if set_state is None:
        raise UsageError(
            f"the state of {type(env).__name__} cannot be set from its observations: replays know classic control, and "
            f"MuJoCo where the observation begins with qpos and qvel or {QPOS} and {QVEL} are recorded; leave out "
            "--replay, or say --replay 0"
        )
    return lambda place: set_state(observations[place])


def _recorded(env: Any, dataset: Dataset, rows: Array, observations: Array) -> Replayer | None:
    set_state, columns = recorded_state(env), dataset.columns
    if set_state is None or QPOS not in columns or QVEL not in columns:
        return None
    if (columns.shape(QPOS)[1:], columns.shape(QVEL)[1:]) != ((env.model.nq,), (env.model.nv,)):
        return None
    qpos, qvel = columns.gather(QPOS, rows), columns.gather(QVEL, rows)
    following = columns.gather(layout.NEXT_OBSERVATIONS, rows)
    before = after = 0.0
    for place in range(0, len(rows), max(1, len(rows) // _PROBED)):
        set_state(qpos[place], qvel[place])
        shown = np.asarray(env._get_obs())
        before += float(np.isclose(shown, observations[place], rtol=1e-3, atol=1e-3).mean())
        after += float(np.isclose(shown, following[place], rtol=1e-3, atol=1e-3).mean())
    if before >= after:
        return lambda place: set_state(qpos[place], qvel[place])
    earlier = np.maximum(rows - 1, 0)
    qpos, qvel = columns.gather(QPOS, earlier), columns.gather(QVEL, earlier)
    ended = [columns.gather(path, earlier) for path in (layout.TERMINALS, layout.TIMEOUTS)]
    known = (rows > 0) & ~(ended[0] | ended[1])
    return lambda place: bool(known[place]) and set_state(qpos[place], qvel[place])
