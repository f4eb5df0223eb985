"""Replaying a sample of recorded transitions: does the environment do what the file says it did?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.problem import Problem
from vinci_offline.envs.making import EnvironmentLike, make_env
from vinci_offline.envs.replay_states import replayer
from vinci_offline.envs.states import bare, is_mujoco, observed_state
from vinci_offline.errors import UsageError
from vinci_offline.quality.checks.marks import counted
from vinci_offline.spec import check_fits, environment_spec
from vinci_offline.types import Array, FloatArray

ROWS = 1000
_EXACT = 1e-5
"""The tolerance of classic control: true float32 recordings of it are off by at most 2e-7."""
_CONTACTS = 1e-3
"""That of MuJoCo, whose contacts magnify the rounding of a recorded state: in 10,000 rows of each of three trained
Hoppers to 2e-6, of random HalfCheetahs and Humanoids to 4e-4, and in one of 3,000 random Swimmer rows to 8e-3."""
_BEYOND = 0.01
"""The part of a true MuJoCo recording's rows that may lie beyond the tolerance."""
_TERMINALS = 0.2
"""How much of the sample is recorded terminals, where there are so many: few rows of long episodes are."""
_CALIBRATION = 200
_MARGIN = 3.0
_ADVICE = "the actions may be shifted, rescaled or clipped, or the environment another version: see docs/checking.md"


@dataclass(frozen=True)
class Replay:
    """What a replay found; errors count in units of the recorded value, or of 1 where that is smaller.

    Attributes:
        environment: what was replayed in.
        rows: how many rows were.
        skipped: how many more were drawn, whose state the recording does not tell.
        observation_error_max: the largest error of an entry of a next observation.
        observation_error_mean: the mean over rows of their largest.
        reward_error_max: the largest error of a reward.
        reward_error_mean: the mean of them.
        terminal_mismatches: rows that terminate in the one and not in the other.
        tolerance: the error of a next observation beyond which it does not count as equal.
        reward_tolerance: that of a reward.
        problems: what does not agree.
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
        """Its attributes by name; the problems are the report's."""
        return {name: value for name, value in vars(self).items() if name != "problems"}


def replay(
    dataset: Dataset,
    environment: EnvironmentLike | None = None,
    *,
    rows: int = ROWS,
    tolerance: float | None = None,
    seed: int = 0,
) -> Replay:
    """Set the environment's state to that of a sample of rows, step, and compare.

    Args:
        dataset: the recording.
        environment: what it was recorded in; None for what the file says. An id that is the file's is made with
            the file's arguments.
        rows: how many rows to draw; a part of them are terminals.
        tolerance: of next observations and rewards; by default what true recordings keep: 1e-5 for classic
            control and 1e-3 for MuJoCo, or three times what a rehearsal of the environment against itself shows.
        seed: of the sample.

    Raises:
        UsageError: the environment is not known, or its state cannot be set.
        SpecError: its spaces are not those of the recording.
    """
    if rows < 1:
        raise UsageError(f"--replay {rows}: at least one row is needed")
    if environment is None or environment == dataset.spec.id:
        environment = dataset.spec
    made = make_env(environment)
    try:
        env = bare(made, "a replay")
        spec = environment_spec(made, environment if isinstance(environment, str) else None)
        check_fits(dataset.spec, spec)
        env.reset(seed=seed)
        drawn = _sample(dataset, rows, seed)
        errors = _errors(env, dataset, drawn)
        limits = (tolerance, tolerance) if tolerance is not None else _tolerances(env)
        return _report(spec.id or type(env).__name__, drawn, errors, limits, contacts=is_mujoco(env))
    finally:
        if made is not environment:
            made.close()


@dataclass(frozen=True)
class _Errors:
    """One entry a replayed row: its place in the sample, the errors, and whether the terminals differ."""

    places: Array
    observation: FloatArray
    reward: FloatArray
    terminal: Array


def _sample(dataset: Dataset, rows: int, seed: int) -> Array:
    """Ascending row numbers, some of them terminals if there are any."""
    rng = np.random.default_rng(seed)
    ended = [start + np.flatnonzero(block) for start, block in dataset.columns.blocks(layout.TERMINALS)]
    terminals = np.concatenate(ended)
    most = min(len(terminals), round(_TERMINALS * rows))
    drawn = rng.choice(len(dataset), min(rows - most, len(dataset)), replace=False)
    return np.union1d(drawn, rng.choice(terminals, most, replace=False) if most else terminals[:0])


def _errors(env: Any, dataset: Dataset, rows: Array) -> _Errors:
    columns, set_state = dataset.columns, replayer(env, dataset, rows)
    actions, rewards, following, terminals = (
        columns.gather(path, rows)
        for path in (layout.ACTIONS, layout.REWARDS, layout.NEXT_OBSERVATIONS, layout.TERMINALS)
    )
    found = []
    for place in range(len(rows)):
        action = _action(env, actions[place])
        if action is None or not set_state(place):
            continue
        seen, reward, terminated, _, _ = env.step(action)
        off = _error(seen, following[place]), _error(reward, rewards[place])
        found.append((place, *off, bool(terminated) != bool(terminals[place])))
    table = np.array(found, np.float64).reshape(-1, 4)
    return _Errors(table[:, 0].astype(np.int64), table[:, 1], table[:, 2], table[:, 3].astype(np.bool_))


def _action(env: Any, stored: Array) -> Any:
    """What the environment takes; None where it would refuse it."""
    if stored.ndim:
        return stored.astype(env.action_space.dtype) if np.isfinite(stored).all() else None
    return int(stored) if env.action_space.contains(int(stored)) else None


def _error(shown: Any, stored: Any) -> float:
    """The largest difference, in units of the stored value or of 1; infinite where one is not a number."""
    stored = np.asarray(stored, np.float64)
    with np.errstate(invalid="ignore"):
        off = np.abs(np.asarray(shown, np.float64) - stored) / np.maximum(1.0, np.abs(stored))
    return float(np.nan_to_num(off, nan=np.inf).max())


def _tolerances(env: Any) -> tuple[float, float]:
    """Of observations and of rewards; what the environment shows against itself may ask for more than usual.

    Some rewards depend on more than the state: Ant's speed is that of a body whose place lags one simulation step.
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
    """Where more than the allowed part of the rows is beyond a limit, and any end that an equal state does not have."""
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
    # Where the state is another, so may be the end.
    otherwise = errors.terminal & (errors.observation <= limits[0])
    if otherwise.any():
        what = f"{np.count_nonzero(otherwise):,} {replayed} end otherwise than recorded"
        where = f"{layout.TERMINALS} row {rows[int(np.argmax(otherwise))]}"
        yield Problem(where, what, "time limits belong into timeouts, ends of the task into terminals")
