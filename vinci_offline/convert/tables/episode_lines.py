"""Tables in which a row or line is a whole episode: its cells are lists of steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np

from vinci_offline.convert.arrays.episode_rows import EpisodeRows
from vinci_offline.data.assembly.aliases import role_of, root_of
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.parts import Parts
from vinci_offline.errors import UsageError
from vinci_offline.types import Array

ROWS = "rows"
"""The setting that says what a row is: ``rows=episodes``, or ``rows=steps``."""

Episode: TypeAlias = tuple[str, Callable[[], Mapping[str, Array]]]
"""The name of an episode for messages, and a function that reads its arrays by name."""


def holds_episodes(depths: Mapping[str, int], context: ImportContext) -> bool:
    """Tell whether a row of a table is an episode.

    It is if its reward is a list, and its observation or action a list of lists. A list of steps, each an object, is
    such a one too.

    Args:
        depths: how deep lists are nested in each column of a row, by name; 0 for single numbers and texts.
        context: the import; its setting ``rows`` says it too.

    Raises:
        UsageError: rewards are lists, and nothing tells whether they are those of several steps.
    """
    said = context.setting(ROWS)
    if said not in {None, "episodes", "steps"}:
        raise UsageError(f"--set {ROWS}={said}: there are {ROWS}=episodes and {ROWS}=steps")
    if said is not None:
        return said == "episodes"
    deepest = {role: _deepest(depths, role, context) for role in ("observation", "action", "reward")}
    is_nested = max(deepest["observation"], deepest["action"]) > 1
    if deepest["reward"] < 0:  # no rewards: both must be lists of steps
        return is_nested and min(deepest["observation"], deepest["action"]) > 0
    if deepest["reward"] == 1 and not is_nested:
        raise UsageError(
            f"{context.where}: rewards are lists. Say --set {ROWS}=episodes if a row is an episode, with an entry a "
            "step; otherwise map one of the entries, as with --map reward=reward_0"
        )
    return deepest["reward"] == 1


def read_episodes(names: list[str], episodes: Iterable[Episode], context: ImportContext) -> Parts:
    """Return the parts of a dataset of which each row is an episode.

    Raises:
        DatasetError: an episode's arrays do not fit each other.
        UsageError: nothing tells how episodes ended, and an option must.
    """
    rows = EpisodeRows(names, context, context.options.columns)
    for name, arrays in episodes:
        with context.episode():
            found = arrays()
            rows.append(name, found)
    return rows.parts()


def spread(row: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the leaves of an object by path. A list of objects, the steps, is one object of lists without a name."""
    for name, value in row.items():
        if isinstance(value, list) and value and all(isinstance(step, dict) for step in value):
            yield from spread(_of_lists(value))
        elif isinstance(value, dict):
            yield from ((f"{name}/{key}", leaf) for key, leaf in spread(value))
        else:
            yield name, value


def depth(value: object) -> int:
    """Return how deep lists are nested."""
    levels = 0
    while isinstance(value, list):
        levels, value = levels + 1, value[0] if value else None
    return levels


def numbers_of(leaves: Iterable[tuple[str, object]]) -> dict[str, Array]:
    """Return the leaves that are numbers, or lists of them that are alike, as arrays of one axis or more."""
    found: dict[str, Array] = {}
    for name, value in leaves:
        try:
            array = np.array(value)
        except ValueError:  # lists of different lengths
            continue
        if array.dtype.kind in "biuf" and array.size:
            found[name] = np.atleast_1d(array)
    return found


def _of_lists(steps: list[dict[str, object]]) -> dict[str, object]:
    names = dict.fromkeys(name for step in steps for name in step)
    found: dict[str, object] = {}
    for name in names:
        values = [step.get(name) for step in steps]
        is_object = all(isinstance(value, dict) for value in values)
        found[name] = _of_lists(values) if is_object else values  # type: ignore[arg-type]
    return found


def _deepest(depths: Mapping[str, int], role: str, context: ImportContext) -> int:
    """Return how deep the lists of a role's columns are nested; -1 if it has none."""
    said = {
        part.strip()
        for target, text in context.options.columns.items()
        if root_of(target) == role
        for part in (text, *text.split(","))
    }
    deepest = -1
    for name, level in depths.items():
        is_meant = name in said or name.partition("/")[0] in said if said else role_of(name) == role
        deepest = max(deepest, level if is_meant else -1)
    return deepest
