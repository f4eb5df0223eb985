"""Layouts of NumPy archives."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import lengths_of, say_ends
from vinci_offline.data.assembly.flat import flag_column, flat_ends, one_number
from vinci_offline.data.assembly.lazy import shared, whole, zeros
from vinci_offline.data.assembly.logged import KeptRows, Logged
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import printable


@dataclass(frozen=True)
class Layout:
    """A layout: its title, the arrays that it needs, and its reader."""

    title: str
    names: frozenset[str]
    read: Callable[[Mapping[str, Column], ImportContext], Logged]


def _d4rl(arrays: Mapping[str, Column], context: ImportContext) -> Logged:
    columns = {
        name: values
        for name, values in arrays.items()
        if name.partition("/")[0] in layout.COLUMN_ROOTS and all(map(layout.is_name, name.split("/")))
    }
    _same_length(columns, context)
    columns |= _infos(arrays, columns, columns[layout.REWARDS].shape[0], context)
    terminals = flag_column(columns.pop(layout.TERMINALS), context, layout.TERMINALS)
    timeouts = columns.pop(layout.TIMEOUTS, None)
    marks = None if timeouts is None else flag_column(timeouts, context, layout.TIMEOUTS)
    columns[layout.REWARDS] = _numbers(columns[layout.REWARDS], layout.REWARDS, context)
    ends, table = flat_ends(columns, terminals, marks, context)
    return Logged(columns, lengths_of(ends), terminals[ends], table)


def _ogbench(arrays: Mapping[str, Column], context: ImportContext) -> Logged:
    """Read OGBench's (Park et al., 2024, https://arxiv.org/abs/2410.20092).

    ``terminals`` mark where a trajectory ends, not the task. A trajectory's last row has an observation and an action
    that led nowhere that was seen.
    """
    columns = {name: arrays[name] for name in (layout.OBSERVATIONS, layout.ACTIONS)}
    known = {**columns, layout.TERMINALS: arrays[layout.TERMINALS]}
    _same_length(known, context)
    if context.setting("reward") != "zero":
        raise UsageError(
            f"{context.where} has no rewards, as OGBench's goal-conditioned data: say --set reward=zero"
        )
    ends = flag_column(arrays[layout.TERMINALS], context, layout.TERMINALS)
    ends[-1] = True
    lengths = lengths_of(ends)
    context.decide("rewards are zero, as --set reward says")
    context.decide("terminals mark the ends of trajectories: they are timeouts")
    columns |= _infos(arrays, known, len(ends), context)
    columns[layout.REWARDS] = zeros(len(ends))
    return Logged(columns, lengths, np.zeros(len(lengths), np.bool_))


def _imitation(arrays: Mapping[str, Column], context: ImportContext) -> Logged:
    """Read trajectories end to end.

    ``obs`` has one row more than ``acts`` in each, ``indices`` are where they are cut.
    """
    terminal = flag_column(arrays["terminal"], context, "terminal")
    indices, count = whole(arrays["indices"]).astype(np.int64).reshape(-1), arrays["acts"].shape[0]
    lengths = np.diff(np.concatenate([[0], indices, [count]]))
    if (
        len(lengths) != len(terminal)
        or (lengths < 1).any()
        or arrays["obs"].shape[0] != count + len(terminal)
    ):
        raise DatasetError(
            f"{context.where}: indices do not cut obs, acts and terminal into the same trajectories"
        )
    rewards = _rewards(arrays, "rews", count, context)
    context.decide("terminal trajectories terminated, the others were cut")
    observations, kept = shared(arrays["obs"]), KeptRows(lengths + 1, lengths)
    columns = {
        layout.OBSERVATIONS: kept.of(observations),
        layout.NEXT_OBSERVATIONS: kept.after(observations),
        layout.ACTIONS: arrays["acts"],
        layout.REWARDS: rewards,
        **_infos(arrays, ("obs", "acts", "rews", "terminal", "indices"), count, context),
    }
    return Logged(columns, lengths, terminal)


def _imitation_transitions(arrays: Mapping[str, Column], context: ImportContext) -> Logged:
    """Read single transitions: ``dones`` are terminals, and an episode was cut where ``next_obs`` do not continue."""
    columns = {
        layout.OBSERVATIONS: arrays["obs"],
        layout.ACTIONS: arrays["acts"],
        layout.NEXT_OBSERVATIONS: arrays["next_obs"],
        layout.REWARDS: _rewards(arrays, "rews", arrays["acts"].shape[0], context),
    }
    _same_length({**columns, "dones": arrays["dones"]}, context)
    known, count = ("obs", "acts", "next_obs", "rews", "dones"), arrays["acts"].shape[0]
    columns |= _infos(arrays, known, count, context)
    dones = flag_column(arrays["dones"], context, "dones")
    ends, table = flat_ends(columns, dones, None, context)
    return Logged(columns, lengths_of(ends), dones[ends], table)


def _stable_baselines(arrays: Mapping[str, Column], context: ImportContext) -> Logged:
    """Read Stable-Baselines' expert data: ``episode_starts``, and no word of how an episode ended."""
    columns = {layout.OBSERVATIONS: arrays["obs"], layout.ACTIONS: arrays["actions"]}
    columns[layout.REWARDS] = _numbers(arrays["rewards"], "rewards", context)
    _same_length({**columns, "episode_starts": arrays["episode_starts"]}, context)
    known = ("obs", "actions", "rewards", "episode_starts", "episode_returns")
    columns |= _infos(arrays, known, columns[layout.REWARDS].shape[0], context)
    starts = np.flatnonzero(flag_column(arrays["episode_starts"], context, "episode_starts"))
    if not len(starts) or starts[0] != 0:
        raise DatasetError(
            f"{context.where}: episode_starts does not begin with an episode: the file was cut"
        )
    lengths = np.diff(starts, append=columns[layout.REWARDS].shape[0])
    terminated, said = say_ends(lengths, context)
    context.decide(said)
    return Logged(columns, lengths, terminated)


def _rewards(arrays: Mapping[str, Column], name: str, count: int, context: ImportContext) -> Column:
    if name in arrays:
        return _numbers(arrays[name], name, context)
    if context.setting("reward") != "zero":
        raise UsageError(
            f"{context.where} has no {name}, so no rewards: say --set reward=zero if that is what they are"
        )
    context.decide("rewards are zero, as --set reward says")
    return zeros(count)


def _numbers(column: Column, name: str, context: ImportContext) -> Column:
    return one_number(column, f"{context.where}: {name}")


def _same_length(columns: Mapping[str, Column], context: ImportContext) -> None:
    lengths = {name: column.shape[0] if column.shape else 0 for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise DatasetError(
            f"{context.where}: unequal lengths ({', '.join(f'{name} {n}' for name, n in lengths.items())})"
        )
    if not any(lengths.values()):
        raise DatasetError(f"{context.where} holds no rows: there is nothing to convert")


def _infos(
    arrays: Mapping[str, Column], used: Collection[str], count: int, context: ImportContext
) -> dict[str, Column]:
    """Return the other arrays that have a row a step as infos; say which have none."""
    others = {name: column for name, column in arrays.items() if name not in used}
    found = {
        name: column
        for name, column in others.items()
        if column.shape[0] == count and all(map(layout.is_name, name.split("/")))
    }
    if left := sorted(set(others) - set(found)):
        context.decide(f"{', '.join(map(printable, left))} were left out: they have no row a step")
    return {f"{layout.INFOS}/{name}": column for name, column in found.items()}


def layout_of(arrays: Mapping[str, Column]) -> Layout | None:
    """Return the layout of an archive; None where its names or shapes are those of none."""
    lengths = {arrays[name].shape[0] for name in (layout.REWARDS, layout.ACTIONS, "rews") if name in arrays}
    if any(
        column.shape[1:] not in {(), (1,)}
        for name in (layout.REWARDS, "rews")
        if (column := arrays.get(name))
    ):
        return None  # padded episodes, or arrays that lie the other way round
    if len(lengths) > 1 and 1 in lengths:
        return None
    return next((kind for kind in LAYOUTS if kind.names <= set(arrays)), None)


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
