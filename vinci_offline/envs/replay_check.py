"""Replay of a sample of recorded transitions: does the environment agree with the file?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from vinci_offline.calls import from_python
from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.problem import Problem
from vinci_offline.envs.making import EnvironmentLike, kwargs_of, make_env
from vinci_offline.envs.replay_states import replayer
from vinci_offline.envs.states import bare, is_mujoco, observed_state
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.policies.actions import to_environment
from vinci_offline.spec import Space, check_fits, environment_spec
from vinci_offline.text import counted
from vinci_offline.types import Array, FloatArray

ROWS = 1000
_EXACT = 1e-5
"""Tolerance of classic control. Correct float32 recordings are off by at most 2e-7."""
_CONTACTS = 1e-3
"""Tolerance of MuJoCo. Contacts magnify the rounding of a recorded state: to 2e-6 in 10,000 rows of each of three
trained Hoppers, to 4e-4 for random HalfCheetahs and Humanoids, and to 8e-3 in one of 3,000 random Swimmer rows."""
_BEYOND = 0.01
"""Part of a correct MuJoCo recording's rows that may exceed the tolerance."""
_TERMINALS = 0.2
"""Part of the sample that is drawn from terminal rows, which are rare in long episodes."""
_CALIBRATION = 200
_MARGIN = 3.0
_ADVICE = "the actions may be shifted, rescaled or clipped, or the version may differ: see docs/checking.md"


@dataclass(frozen=True)
class Replay:
    """The result of a replay. Errors are relative to the recorded value, absolute where it is smaller than 1.

    Attributes:
        environment: the environment.
        rows: the number of rows replayed.
        skipped: rows drawn but not replayed, because the recording does not give their state.
        observation_error_max: the largest error of an entry of a next observation.
        observation_error_mean: the mean over rows of the row's largest error.
        reward_error_max: the largest error of a reward.
        reward_error_mean: the mean error of the rewards.
        terminal_mismatches: rows that terminate in the file or in the replay, but not in both.
        tolerance: the largest error of a next observation that counts as equal.
        reward_tolerance: the largest error of a reward that counts as equal.
        problems: the disagreements.
    """

    environment: str
    rows: int
    skipped: int
    observation_error_max: float
    observation_error_mean: float
    reward_error_max: float
    reward_error_mean: float
    terminal_mismatches: int
    tolerance: float
    reward_tolerance: float
    problems: tuple[Problem, ...]

    def __str__(self) -> str:
        skipped = f" ({self.skipped:,} more do not tell their state)" if self.skipped else ""
        return (
            f"{counted(self.rows, 'row')} in {self.environment}{skipped}: next observations off by at most "
            f"{self.observation_error_max:.2g} (mean {self.observation_error_mean:.2g}), rewards by at most "
            f"{self.reward_error_max:.2g} (mean {self.reward_error_mean:.2g}), "
            f"{counted(self.terminal_mismatches, 'terminal')} not reproduced"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the attributes by name, without the problems."""
        return {name: value for name, value in vars(self).items() if name != "problems"}


@from_python
def replay(
    dataset: Dataset,
    environment: EnvironmentLike | None = None,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    rows: int = ROWS,
    tolerance: float | None = None,
    seed: int = 0,
) -> Replay:
    """Put the environment into the states of a sample of rows, take a step from each, and compare.

    Args:
        dataset: the recording.
        environment: the environment; None for the file's own, if it is registered with Gymnasium. The file's own id is
            made with the file's arguments.
        env_kwargs: keyword arguments of the environment. They replace those of the file.
        rows: how many rows to draw. Part of them are terminal rows.
        tolerance: the largest error that counts as equal. None takes 1e-5 for classic control and 1e-3 for MuJoCo,
            or three times the error of a rehearsal of the environment against itself, if that is more.
        seed: seeds the sample.

    Raises:
        UsageError: the environment is unknown, its state cannot be set, or the file names what only the user may name.
        SpecError: its spaces differ from the recording's.
    """
    if rows < 1:
        raise UsageError(f"--replay {rows}: at least one row is needed")
    own = kwargs_of(environment, dataset.spec, env_kwargs)
    if environment is None:
        environment = dataset.spec
    made = make_env(environment, own)
    try:
        env = bare(made, "a replay")
        spec = environment_spec(made, environment if isinstance(environment, str) else None)
        check_fits(dataset.spec, spec)
        env.reset(seed=seed)
        drawn = _sample(dataset, rows, seed)
        errors = _errors(env, spec.action_space, dataset, drawn)
        limits = (tolerance, tolerance) if tolerance is not None else _tolerances(env)
        return _report(spec.id or type(env).__name__, drawn, errors, limits, contacts=is_mujoco(env))
    except (VinciError, OSError, MemoryError):
        raise
    except Exception as error:
        raise VinciError(f"the replay failed: {describe(error)}") from error
    finally:
        if made is not environment:
            made.close()


@dataclass(frozen=True)
class _Errors:
    """Errors of the replayed rows: place in the sample, error of observation and reward, differing terminal."""

    places: Array
    observation: FloatArray
    reward: FloatArray
    terminal: Array


def _sample(dataset: Dataset, rows: int, seed: int) -> Array:
    """Draw row numbers in ascending order, some of them of terminal rows."""
    rng = np.random.default_rng(seed)
    ended = [start + np.flatnonzero(block) for start, block in dataset.columns.blocks(layout.TERMINALS)]
    terminals = np.concatenate(ended)
    most = min(len(terminals), round(_TERMINALS * rows))
    drawn = rng.choice(len(dataset), min(rows - most, len(dataset)), replace=False)
    return np.union1d(drawn, rng.choice(terminals, most, replace=False) if most else terminals[:0])


def _errors(env: Any, space: Space, dataset: Dataset, rows: Array) -> _Errors:
    columns, set_state = dataset.columns, replayer(env, dataset, rows)
    actions, rewards, following, terminals = (
        columns.gather(path, rows)
        for path in (layout.ACTIONS, layout.REWARDS, layout.NEXT_OBSERVATIONS, layout.TERMINALS)
    )
    found = []
    for place in range(len(rows)):
        action = _action(env, space, actions[place])
        if action is None or not set_state(place):
            continue
        seen, reward, terminated, _, _ = env.step(action)
        off = _error(seen, following[place]), _error(reward, rewards[place])
        found.append((place, *off, bool(terminated) != bool(terminals[place])))
    table = np.array(found, np.float64).reshape(-1, 4)
    return _Errors(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3].astype(np.bool_))


def _action(env: Any, space: Space, stored: Array) -> Any:
    """Return a stored action for the environment; None where the environment would refuse it."""
    if not np.isfinite(stored).all():
        return None
    action = to_environment(stored[None], space)[0]
    return None if isinstance(action, int) and not env.action_space.contains(action) else action


def _error(shown: Any, stored: Any) -> float:
    """Return the largest difference, relative to the stored value or to 1; infinite if one is NaN."""
    stored = np.asarray(stored, np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(np.asarray(shown, np.float64) - stored) / np.maximum(1.0, np.abs(stored))
    return float(np.nan_to_num(off, nan=np.inf).max())


def _tolerances(env: Any) -> tuple[float, float]:
    """Return the tolerances of observations and rewards, widened where a rehearsal shows larger errors.

    Some rewards depend on more than the state: Ant's speed is of a body whose position lags one simulation step.
    """
    usual = _CONTACTS if is_mujoco(env) else _EXACT
    set_state = observed_state(env)
    if set_state is None:
        return usual, usual
    env.action_space.seed(0)
    observation, _ = env.reset(seed=0)
    steps = []
    for _ in range(_CALIBRATION):
        action = env.action_space.sample()
        following, reward, terminated, _, _ = env.step(action)
        steps.append((np.asarray(observation, np.float32), action, following, reward))
        observation = env.reset()[0] if terminated else following
    off = []
    for observation, action, following, reward in steps:
        if set_state(observation):
            shown, paid, *_ = env.step(action)
            off.append((_error(shown, following), _error(paid, reward)))
    if not off:
        return usual, usual
    largest = np.array(off).max(axis=0)
    return max(usual, _MARGIN * float(largest[0])), max(usual, _MARGIN * float(largest[1]))


def _report(
    name: str, rows: Array, errors: _Errors, limits: tuple[float, float], *, contacts: bool
) -> Replay:
    count = len(errors.places)
    off = (errors.observation, errors.reward)
    largest = [float(each.max()) if count else 0.0 for each in off]
    mean = [float(each.mean()) if count else 0.0 for each in off]
    return Replay(
        environment=name,
        rows=count,
        skipped=len(rows) - count,
        observation_error_max=largest[0],
        observation_error_mean=mean[0],
        reward_error_max=largest[1],
        reward_error_mean=mean[1],
        terminal_mismatches=int(np.count_nonzero(errors.terminal)),
        tolerance=limits[0],
        reward_tolerance=limits[1],
        problems=tuple(_problems(name, rows[errors.places], errors, limits, _BEYOND if contacts else 0.0)),
    )


def _problems(
    name: str, rows: Array, errors: _Errors, limits: tuple[float, float], allowed: float
) -> Iterator[Problem]:
    """List a problem where too many rows exceed a limit, and where an equal state ends differently."""
    replayed = f"of {counted(len(rows), 'row')} replayed in {name}"
    for path, off, limit in (
        (layout.NEXT_OBSERVATIONS, errors.observation, limits[0]),
        (layout.REWARDS, errors.reward, limits[1]),
    ):
        beyond = off > limit
        if np.count_nonzero(beyond) > allowed * len(rows):
            first = int(np.argmax(beyond))
            differ = f"differ by more than {limit:.2g}, here by {off[first]:.2g}"
            yield Problem(
                f"{path} row {rows[first]}", f"{np.count_nonzero(beyond):,} {replayed} {differ}", _ADVICE
            )
    # Compare ends only where the states agree.
    otherwise = errors.terminal & (errors.observation <= limits[0])
    if otherwise.any():
        what = f"{np.count_nonzero(otherwise):,} {replayed} do not end as recorded"
        where = f"{layout.TERMINALS} row {rows[int(np.argmax(otherwise))]}"
        yield Problem(where, what, "time limits belong into timeouts, ends of the task into terminals")
