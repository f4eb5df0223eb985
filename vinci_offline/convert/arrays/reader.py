"""Arrays under any names to a dataset. Their names, or the user's mapping, and their shapes tell the layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

from vinci_offline.convert.arrays.episode_rows import ROLES, EpisodeRows
from vinci_offline.convert.arrays.groups import (
    EPISODE,
    Groups,
    found_arrays,
    found_groups,
    said_groups,
)
from vinci_offline.convert.arrays.padded import PADDING, padded_shape, read_padded
from vinci_offline.data.assembly.aliases import root_of
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.mapping import Choice, choose, listed
from vinci_offline.data.assembly.parts import Parts
from vinci_offline.data.assembly.table import from_table
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import printable
from vinci_offline.types import Array

SETTINGS = ("actions", PADDING, "reward", "step")
"""Settings of the importer."""


@dataclass(frozen=True)
class Arrays:
    """The arrays of a source.

    Attributes:
        columns: those that are numbers, by path.
        turned: returns one of them with its axes the other way round.
        whole: reads one of them.
    """

    columns: Mapping[str, Column]
    turned: Callable[[str], Column]
    whole: Callable[[str], Array]


def read_arrays(arrays: Arrays, context: ImportContext) -> Parts:
    """Return the parts of a dataset.

    Raises:
        DatasetError: there are no observations or actions, or arrays do not fit each other.
        UsageError: the arrays leave something open that an option must say.
    """
    columns, mapping, where = arrays.columns, context.options.columns, context.where
    if any(EPISODE in text for text in mapping.values()):
        groups, mapping = said_groups(list(columns), mapping, where)
        return _episodes(arrays, groups, mapping, context)
    if (found := found_arrays(columns, mapping, where)) is not None:
        return _episodes(arrays, found, mapping, context)
    padding = {"length", "mask"} & set(mapping)
    choice = _choice(columns, {key: text for key, text in mapping.items() if key not in padding}, where)
    if not _has_roles(choice):
        if (found := found_groups(columns, mapping, where)) is not None:
            return _episodes(arrays, found, mapping, context)
        arrays = _inner(arrays, mapping, context)
        columns, choice = arrays.columns, _choice(arrays.columns, mapping, where)
    if (grid := padded_shape(columns, choice)) is not None:
        return read_padded(columns, mapping, grid, context)
    if padding:
        raise UsageError(
            f"{where}: --map {min(padding)} is for arrays of episodes x steps, and there are none"
        )
    return _flat(arrays, choice, context)


def _choice(columns: Mapping[str, Column], mapping: Mapping[str, str], where: str) -> Choice:
    """Return the chosen arrays; none where the mapping names those of a group."""
    try:
        return choose(list(columns), mapping, where)
    except DatasetError:
        if any("/" in name for name in columns):
            return Choice({})
        raise


def _has_roles(choice: Choice) -> bool:
    return {"observation", "action"} <= set(map(root_of, choice.sources))


def _episodes(arrays: Arrays, groups: Groups, mapping: Mapping[str, str], context: ImportContext) -> Parts:
    used = {path for each in groups.episodes.values() for path in each.values()}
    if others := [name for name in arrays.columns if name not in used]:
        context.decide(f"{listed(others)} were left out: they lie in no episode")
    rows = EpisodeRows(groups.names, context, mapping)
    for label in groups.ordered():
        paths = groups.episodes[label]
        rows.append(
            groups.title.replace(EPISODE, printable(label)).rstrip("/") or f"episode {label}",
            {name: arrays.whole(path) for name, path in paths.items()},
        )
    return rows.parts()


def _inner(arrays: Arrays, mapping: Mapping[str, str], context: ImportContext) -> Arrays:
    """Return the arrays of the only group that holds observations and actions.

    Raises:
        DatasetError: there is none, or there are several.
    """
    found: dict[str, dict[str, Column]] = {}
    for path, column in arrays.columns.items():
        group, _, name = path.partition("/")
        if name:
            found.setdefault(group, {})[name] = column
    fitting = [group for group, each in found.items() if _has_roles(_choice(each, mapping, context.where))]
    if len(fitting) == 1:
        group = fitting[0]
        context.decide(f"the arrays are those of the group {printable(group)}")
        return Arrays(
            found[group],
            lambda name: arrays.turned(f"{group}/{name}"),
            lambda name: arrays.whole(f"{group}/{name}"),
        )
    if fitting:
        shown = ", ".join(map(printable, fitting))
        raise UsageError(
            f"{context.where} has several groups of transitions, {shown}: choose one with --map, as "
            f"--map observation={fitting[0]}/NAME, and so on for each array"
        )
    choice = choose(list(arrays.columns), mapping, context.where)
    missing = [role for role in ("observation", "action") if role not in set(map(root_of, choice.sources))]
    unclear = [
        f"{' and '.join(map(printable, choice.unclear[role]))} could both be the {role}"
        for role in missing
        if role in choice.unclear
    ]
    what = unclear[0] if unclear else f"has no array that is known to be the {missing[0]}"
    raise DatasetError(
        f"{context.where}{':' if unclear else ''} {what}: say which it is with --map {missing[0]}=NAME; there are "
        f"{listed(arrays.columns) or 'no arrays of numbers'}"
    )


def _flat(arrays: Arrays, choice: Choice, context: ImportContext) -> Parts:
    """Return the parts of a dataset of arrays of one length: a row is a step."""
    count = _count(arrays.columns, choice, context)
    columns = {name: arrays.columns[name] for name in choice.sources.values()}
    lying = [
        name
        for name, column in columns.items()
        if column.shape[:1] != (count,) and column.shape[-1:] == (count,)
    ]
    is_turned = any(len(columns[name].shape) > 1 and prod(columns[name].shape) > count for name in lying)
    for name, column in columns.items():
        if name in lying or (is_turned and len(column.shape) == 2 and column.shape == (count, count)):
            columns[name] = arrays.turned(name)
    if is_turned:
        context.decide(
            "arrays lie the other way round, as MATLAB's do: they were turned, so that a row is a step"
        )
    observed = [name for target, name in choice.sources.items() if root_of(target) == "observation"]
    if all(columns[name].shape[0] == count + 1 for name in observed):
        rows = EpisodeRows(list(arrays.columns), context, context.options.columns)
        rows.append("the only episode", {name: arrays.whole(name) for name in arrays.columns})
        return rows.parts()
    sources = {}
    for target, name in choice.sources.items():
        found = columns[name].shape[0]
        if found == count:
            sources[target] = name
        elif root_of(target) in ROLES | {"episode"}:
            raise DatasetError(
                f"{context.where}: {printable(name)} has shape {list(columns[name].shape)}, and there are {count} "
                "rows: the file is damaged, or map another array"
            )
        else:
            context.decide(f"{printable(name)} was left out: it has {found} rows, not {count}")
    return from_table(columns, replace(choice, sources=sources), context)


def _count(columns: Mapping[str, Column], choice: Choice, context: ImportContext) -> int:
    """Return the number of rows: that of the rewards, or of the actions."""
    by_root = {root_of(target): name for target, name in reversed([*choice.sources.items()])}
    shape = columns[by_root.get("reward", by_root["action"])].shape
    single = prod(shape) == max(shape)  # one number a row, whichever way it lies
    count = max(shape) if single else shape[0]
    if not count:
        raise DatasetError(
            f"{context.where} holds no rows: every column has length zero; there is nothing to convert"
        )
    observed = columns[by_root["observation"]].shape
    if "reward" not in by_root and observed[0] not in {count, count + 1} and observed[-1] == shape[-1]:
        return shape[-1]  # both lie the other way round
    return count
