"""Separate episodes under any names, and the rows that they become."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from vinci_offline.convert.trajectories import EpisodeSpool
from vinci_offline.data import layout
from vinci_offline.data.assembly.aliases import DONE, root_of
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.mapping import PROPENSITY, choose, listed
from vinci_offline.data.assembly.parts import Parts
from vinci_offline.data.assembly.table import from_table
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array, Columns

FLAGS = {"terminal", "timeout", DONE}
ROLES = {"observation", "action", "reward", "next_observation", "step", PROPENSITY, *FLAGS}
"""Targets of which every episode must have a row a step; all others are infos."""

_EPISODE = "episode"


class EpisodeRows:
    """Collector of episodes, each a mapping of arrays by name.

    An episode has as many steps as actions. Its observations have as many rows, or one more: the last is then the one
    that the last action led to. A flag may be a single one: it is the last row's.

    Args:
        names: of the arrays that episodes have.
        context: the import.
        columns: the user's mapping, to names of ``names``.

    Raises:
        DatasetError: a mapped name is not there, or neither observations nor actions are.
        UsageError: the mapping gives a single number several arrays.
    """

    def __init__(self, names: Sequence[str], context: ImportContext, columns: Mapping[str, str]) -> None:
        self._choice = choose(names, columns, context.where)
        self._context = context
        self._rows = EpisodeSpool(context.where)
        self._infos: set[str] | None = None
        self._others: set[str] = set()
        self._longer: set[str] = set()
        self._sources = {
            target: source for target, source in self._choice.sources.items() if root_of(target) != _EPISODE
        }
        self._labels = self._choice.sources.get(_EPISODE, "")
        if missing := {"observation", "action"} - set(map(root_of, self._sources)):
            first = min(missing)
            raise DatasetError(
                f"{context.where} has no {first} in its episodes: say which it is with --map {first}=NAME; there are "
                f"{listed(names)}"
            )

    def append(self, name: str, arrays: Mapping[str, Array]) -> None:
        """Add an episode; a bad one is left out where the options say so.

        Args:
            name: the source's name for it, for messages.
            arrays: by name; only those that are numbers.

        Raises:
            DatasetError: an array is missing, or has another length or shape than it should.
        """
        with self._context.episode():
            found = self._columns(name, arrays)
            self._keep_infos(name, found)
            number = np.full(len(next(iter(found.values()))), len(self._rows.lengths))
            self._rows.append(name, {**found, _EPISODE: number})

    def parts(self) -> Parts:
        """Return the parts of a dataset, once all episodes are there.

        Raises:
            DatasetError: there are no episodes, or they do not fit the spaces.
            UsageError: they do not tell how they ended, and an option must.
        """
        context = self._context
        context.check_bad(len(self._rows.lengths))
        if not self._rows.lengths:
            raise DatasetError(f"{context.where} holds no episodes: there is nothing to convert")
        if self._longer:
            context.decide(f"{listed(sorted(self._longer))}: the row after the last step was left out")
        if self._others:
            context.decide(
                f"{listed(sorted(self._others))} were left out: not every step of every episode has such numbers"
            )
        columns = self._rows.spool.columns()
        context.decide(f"{len(self._rows.lengths):,} episodes, each by itself")
        return from_table(columns, replace(self._choice, sources={name: name for name in columns}), context)

    def _columns(self, name: str, arrays: Mapping[str, Array]) -> Columns:
        """Return the rows of an episode by their names in a frame."""
        actions = [source for target, source in self._sources.items() if root_of(target) == "action"]
        if actions[0] not in arrays:
            raise DatasetError(f"{self._context.where}: {name} has no {printable(actions[0])} of numbers")
        count = len(arrays[actions[0]])
        if not count:
            raise DatasetError(f"{self._context.where}: {name} has no steps")
        if self._labels in arrays and (arrays[self._labels] != arrays[self._labels][0]).any():
            raise DatasetError(
                f"{self._context.where}: {name} holds several episodes, as {printable(self._labels)} tells: give "
                "each its own, or a step a row"
            )
        found: Columns = {}
        for target, source in self._sources.items():
            if source in arrays:
                found |= self._rows_of(target, arrays[source], count, name)
            elif root_of(target) in ROLES:
                raise DatasetError(f"{self._context.where}: {name} has no {printable(source)} of numbers")
            else:
                self._others.add(source)
        return found

    def _rows_of(self, target: str, values: Array, count: int, name: str) -> Columns:
        """Return the rows that an array of an episode of ``count`` steps holds, by their names in a frame."""
        root, source = root_of(target), self._sources[target]
        if root == "observation" and len(values) == count + 1:
            return {target: values[:-1], f"next_{target}": values[1:]}
        if len(values) == count:
            return {target: values}
        if root in FLAGS and values.size == 1:
            return {target: np.append(np.zeros(count - 1, values.dtype), values.reshape(-1))}
        if root in ROLES:
            raise DatasetError(
                f"{self._context.where}: {name} has {count} actions and {len(values)} rows of {printable(source)}"
            )
        if len(values) == count + 1:
            self._longer.add(source)
            return {target: values[:-1]}
        self._others.add(source)
        return {}

    def _keep_infos(self, name: str, found: Columns) -> None:
        """Drop the infos that not all episodes so far have alike."""
        infos = {target for target in found if root_of(target) not in ROLES}
        if self._infos is None:
            self._infos = {
                target for target in infos if all(layout.is_name(part) for part in target.split("/"))
            }
        for target in [each for each in self._infos if not self._rows.fits(each, found.get(each))]:
            self._infos.discard(target)
            self._rows.drop(target)
        for target in infos - self._infos:
            self._others.add(self._sources[target])
            del found[target]
