"""The layouts of arrays in a NumPy archive, each told by the names that it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from vinci_offline.convert.trajectories import Trajectory, logged
from vinci_offline.data import layout
from vinci_offline.data.assembly.ends import say_ends
from vinci_offline.data.assembly.flat import flags, flat_ends
from vinci_offline.data.assembly.logged import Logged
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import BoxSpace
from vinci_offline.types import Array, Columns


@dataclass(frozen=True)
class Layout:
    """A layout: its name in words, the arrays that it needs, and its reader."""

    title: str
    names: frozenset[str]
    read: Callable[[Path, Columns, ImportOptions, list[str]], Logged]


def unbounded(observations: Array) -> BoxSpace:
    """The Box of the rows' shape without bounds."""
    shape, dtype = observations.shape[1:], np.dtype(np.float32)
    return BoxSpace(shape, str(dtype), np.full(shape, -np.inf, dtype), np.full(shape, np.inf, dtype))


def _d4rl(path: Path, arrays: Columns, options: ImportOptions, decisions: list[str]) -> Logged:
    columns = {
        name: values for name, values in arrays.items() if name.partition("/")[0] in layout.COLUMN_ROOTS
    }
    _left_out(arrays, columns, decisions)
    _same_length(path, columns)
    terminals = flags(columns.pop(layout.TERMINALS), path, layout.TERMINALS)
    timeouts = columns.pop(layout.TIMEOUTS, None)
    ends = flat_ends(path, columns, terminals, timeouts, options, decisions)
    columns[layout.REWARDS] = _numbers(path, columns[layout.REWARDS], layout.REWARDS)
    return Logged(columns, np.diff(np.flatnonzero(ends) + 1, prepend=0), terminals[ends])


def _ogbench(path: Path, arrays: Columns, options: ImportOptions, decisions: list[str]) -> Logged:
    """Park et al. (2024), https://arxiv.org/abs/2410.20092: ``terminals`` mark where a trajectory ends, not the task.

    A trajectory's last row has an observation and an action that led nowhere that was seen.
    """
    columns: Columns = {name: arrays[name] for name in (layout.OBSERVATIONS, layout.ACTIONS)}
    infos: Columns = {name: arrays[name] for name in ("qpos", "qvel") if name in arrays}
    _left_out(arrays, {**columns, **infos, layout.TERMINALS: arrays[layout.TERMINALS]}, decisions)
    _same_length(path, {**columns, **infos, layout.TERMINALS: arrays[layout.TERMINALS]})
    if options.settings.get("reward") != "zero":
        raise UsageError(f"{path} has no rewards, as OGBench's goal-conditioned data: say --set reward=zero")
    ends = flags(arrays[layout.TERMINALS], path, layout.TERMINALS)
    ends[-1] = True
    lengths = np.diff(np.flatnonzero(ends) + 1, prepend=0)
    decisions += [
        "rewards are zero, as --set reward says",
        "terminals mark the ends of trajectories: they are timeouts",
    ]
    columns |= {f"{layout.INFOS}/{name}": values for name, values in infos.items()}
    columns[layout.REWARDS] = np.zeros(len(ends), np.float32)
    return Logged(columns, lengths, np.zeros(len(lengths), np.bool_))


def _imitation(path: Path, arrays: Columns, options: ImportOptions, decisions: list[str]) -> Logged:
    """Trajectories end to end: ``obs`` has one row more than ``acts`` in each, ``indices`` are where they are cut."""
    _left_out(arrays, dict.fromkeys(("obs", "acts", "rews", "terminal", "indices"), arrays["obs"]), decisions)
    terminal = flags(arrays["terminal"].reshape(-1), path, "terminal")
    cuts = np.concatenate([[0], arrays["indices"].astype(np.int64).reshape(-1), [len(arrays["acts"])]])
    if (
        len(cuts) != len(terminal) + 1
        or (np.diff(cuts) < 1).any()
        or len(arrays["obs"]) != len(arrays["acts"]) + len(terminal)
    ):
        raise DatasetError(f"{path}: indices do not cut obs, acts and terminal into the same trajectories")
    rewards = _rewards(path, arrays, "rews", len(arrays["acts"]), options, decisions)
    decisions.append("terminal trajectories terminated, the others were cut")
    return logged(
        Trajectory(
            {layout.OBSERVATIONS: arrays["obs"][first + number : last + number + 1]},
            {layout.ACTIONS: arrays["acts"][first:last], layout.REWARDS: rewards[first:last]},
            bool(terminal[number]),
        )
        for number, (first, last) in enumerate(pairwise(cuts))
    )


def _imitation_transitions(
    path: Path, arrays: Columns, options: ImportOptions, decisions: list[str]
) -> Logged:
    """Single transitions: ``dones`` are terminals, and where ``next_obs`` do not continue an episode was cut."""
    columns = {
        layout.OBSERVATIONS: arrays["obs"],
        layout.ACTIONS: arrays["acts"],
        layout.NEXT_OBSERVATIONS: arrays["next_obs"],
        layout.REWARDS: _rewards(path, arrays, "rews", len(arrays["acts"]), options, decisions),
    }
    _left_out(arrays, dict.fromkeys(("obs", "acts", "next_obs", "rews", "dones"), arrays["obs"]), decisions)
    _same_length(path, {**columns, "dones": arrays["dones"]})
    dones = flags(arrays["dones"], path, "dones")
    ends = flat_ends(path, columns, dones, None, options, decisions)
    return Logged(columns, np.diff(np.flatnonzero(ends) + 1, prepend=0), dones[ends])


def _stable_baselines(path: Path, arrays: Columns, options: ImportOptions, decisions: list[str]) -> Logged:
    """Stable-Baselines' expert data: ``episode_starts``, and no word of how an episode ended."""
    columns = {layout.OBSERVATIONS: arrays["obs"], layout.ACTIONS: arrays["actions"]}
    columns[layout.REWARDS] = _numbers(path, arrays["rewards"], "rewards")
    known = ("obs", "actions", "rewards", "episode_starts", "episode_returns")
    _left_out(arrays, dict.fromkeys(known, arrays["obs"]), decisions)
    _same_length(path, {**columns, "episode_starts": arrays["episode_starts"]})
    starts = np.flatnonzero(flags(arrays["episode_starts"], path, "episode_starts"))
    if not len(starts) or starts[0] != 0:
        raise DatasetError(f"{path}: episode_starts does not begin with an episode: the file was cut")
    lengths = np.diff(starts, append=len(columns[layout.REWARDS]))
    terminated, said = say_ends(lengths, options, str(path))
    decisions.append(said)
    return Logged(columns, lengths, terminated)


def _rewards(
    path: Path, arrays: Columns, name: str, count: int, options: ImportOptions, decisions: list[str]
) -> Array:
    if name in arrays:
        return _numbers(path, arrays[name], name)
    if options.settings.get("reward") != "zero":
        raise UsageError(
            f"{path} has no {name}, so no rewards: say --set reward=zero if that is what they are"
        )
    decisions.append("rewards are zero, as --set reward says")
    return np.zeros(count, np.float32)


def _numbers(path: Path, values: Array, name: str) -> Array:
    if values.size != len(values):
        raise DatasetError(f"{path}: {name} have shape {values.shape}, one number a row is expected")
    return values.reshape(-1)


def _same_length(path: Path, columns: Columns) -> None:
    lengths = {name: len(values) if values.ndim else 0 for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DatasetError(
            f"{path}: unequal lengths ({', '.join(f'{name} {n}' for name, n in lengths.items())})"
        )
    if not any(lengths.values()):
        raise DatasetError(f"{path} holds no rows: there is nothing to convert")


def _left_out(arrays: Columns, used: Columns, decisions: list[str]) -> None:
    if others := sorted(set(arrays) - set(used)):
        decisions.append(f"{', '.join(others)} were left out: this layout has no place for them")


LAYOUTS = (
    Layout("D4RL's", frozenset({"observations", "actions", "rewards", "terminals"}), _d4rl),
    Layout("OGBench's", frozenset({"observations", "actions", "terminals"}), _ogbench),
    Layout("imitation's trajectories", frozenset({"obs", "acts", "indices", "terminal"}), _imitation),
    Layout(
        "imitation's transitions", frozenset({"obs", "acts", "next_obs", "dones"}), _imitation_transitions
    ),
    Layout(
        "Stable-Baselines' expert data",
        frozenset({"obs", "actions", "rewards", "episode_starts"}),
        _stable_baselines,
    ),
)
"""In the order of looking."""
