"""Minari's episodes to rows, and trajectories to Minari's episodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vinci_offline.convert.sources.spool import Spool
from vinci_offline.convert.trajectories import Trajectory, rows_of
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import lengths_of, say_ends
from vinci_offline.data.assembly.flat import flags
from vinci_offline.data.assembly.logged import Logged
from vinci_offline.data.episode_columns import SEED
from vinci_offline.errors import DatasetError
from vinci_offline.spec import BoxSpace, EnvironmentSpec
from vinci_offline.text import printable
from vinci_offline.types import Array, Columns

EMPTY = "episodes without a step"
"""Reason for dropping an episode."""

_MASK_KEY = layout.ACTION_MASKS.removeprefix(f"{layout.INFOS}/")


@dataclass(frozen=True)
class Episode:
    """An episode of T steps, as a storage holds it.

    Attributes:
        where: the file and the episode, for messages.
        observations: ``[T + 1, …]`` by our paths.
        steps: ``[T, …]`` by our paths: ``actions``, ``rewards``.
        terminations: ``[T]`` zeros and ones.
        truncations: ``[T]`` zeros and ones.
        infos: ``[T + 1, …]`` or ``[T, …]`` by key; with one row more, the first is what reset returned.
        seed: that the environment was reset with.
    """

    where: str
    observations: Columns
    steps: Columns
    terminations: Array
    truncations: Array
    infos: Columns = field(default_factory=dict)
    seed: int | None = None

    def __len__(self) -> int:
        """Return the number of steps."""
        return len(self.steps[layout.REWARDS])


class MinariRows:
    """Collector of rows. An episode that goes on after its end is cut there.

    Args:
        spec: the environment.
        context: the import.
    """

    def __init__(self, spec: EnvironmentSpec, context: ImportContext) -> None:
        self._slots = layout.spec_slots(spec)
        self._context = context
        self._spool = Spool(context.where)
        self._infos: dict[str, tuple[int, ...]] | None = None
        self._others: set[str] = set()
        self._lengths: list[int] = []
        self._terminated: list[bool] = []
        self._untold: list[int] = []
        self._first_untold = ""
        self._seeds: list[int | None] = []
        self._both = self._going_on = self._empty = 0
        self._has_reset_infos = False
        self._own_masks = True

    def append(self, episode: Episode) -> None:
        """Add an episode; one without a step is counted and left out.

        Raises:
            DatasetError: its arrays do not fit each other or the spaces.
        """
        if not len(episode):
            self._empty += 1
            return
        _check(episode, self._slots)
        terminated, truncated = (
            flags(values, episode.where, name)
            for name, values in (
                ("terminations", episode.terminations),
                ("truncations", episode.truncations),
            )
        )
        self._both += int((terminated & truncated).sum())
        ends = terminated | truncated
        if not ends[-1]:
            self._first_untold = self._first_untold or episode.where
        told = bool(ends[-1])
        ends[-1] = True
        lengths = lengths_of(ends)
        self._going_on += len(lengths) - 1
        self._lengths += lengths.tolist()
        self._terminated += terminated[ends].tolist()
        self._untold += [] if told else [len(self._lengths) - 1]
        self._seeds += [episode.seed] * len(lengths)
        steps = {**episode.steps, layout.REWARDS: episode.steps[layout.REWARDS].reshape(-1)}
        self._spool.append(rows_of(episode.observations, {**steps, **self._info_rows(episode)}))

    def logged(self, remarks: Mapping[str, Any]) -> Logged:
        """Return the rows, once all episodes are there.

        Args:
            remarks: where the data comes from.

        Raises:
            UsageError: an episode neither terminated nor was truncated, and the options do not say what it did.
        """
        context = self._context
        context.decide("terminals and timeouts are the terminations and truncations")
        if self._both:
            context.decide(f"{self._both} steps both terminated and were truncated: they count as terminals")
        if self._going_on:
            context.decide(
                f"episodes that go on after a termination or truncation were cut there ({self._going_on})"
            )
        if self._others:
            shown = ", ".join(printable(key) for key in sorted(self._others))
            context.decide(f"infos {shown} were left out: not every step of every episode has them alike")
        if self._has_reset_infos and self._infos:
            context.decide("infos are those of the steps: what resets returned was left out")
        context.drop(self._empty, EMPTY)
        columns = self._spool.columns()
        lengths = np.array(self._lengths, np.int64)
        facts = {} if None in self._seeds else {SEED: np.array(self._seeds)}
        return Logged(columns, lengths, self._ends(lengths), facts, {"minari": remarks})

    def _info_rows(self, episode: Episode) -> Columns:
        """Return the infos that every episode so far has a row a step of, all of one shape; drop the others."""
        count = len(episode)
        fitting = {key: values for key, values in episode.infos.items() if len(values) in {count, count + 1}}
        if self._infos is None:
            self._infos = {key: values.shape[1:] for key, values in fitting.items()}
        for key, shape in list(self._infos.items()):
            if key not in fitting or fitting[key].shape[1:] != shape:
                del self._infos[key]
                self._spool.drop(f"{layout.INFOS}/{key}")
                if key == _MASK_KEY:
                    self._spool.drop(layout.NEXT_ACTION_MASKS)
                self._others.add(key)
        self._others |= set(episode.infos) - set(self._infos)
        self._has_reset_infos |= any(len(fitting[key]) > count for key in self._infos if key != _MASK_KEY)
        rows = {f"{layout.INFOS}/{key}": fitting[key][-count:] for key in self._infos}
        if layout.ACTION_MASKS in rows:
            # The mask in a step's info is that of its next observation; the row before has that of its own.
            rows[layout.NEXT_ACTION_MASKS] = rows.pop(layout.ACTION_MASKS)
            self._own_masks &= len(fitting[_MASK_KEY]) > count
            if self._own_masks:
                rows[layout.ACTION_MASKS] = fitting[_MASK_KEY][:count]
            else:
                self._spool.drop(layout.ACTION_MASKS)
        return rows

    def _ends(self, lengths: Array) -> Array:
        """Return whether each episode terminated; the user says it of those that do not."""
        terminated = np.array(self._terminated, np.bool_)
        if self._untold:
            count = len(self._untold)
            where = f"{self._context.where} ({count} episodes, the first {self._first_untold})"
            terminated[self._untold], said = say_ends(lengths[self._untold], self._context, where)
            self._context.decide(f"{count} episodes neither terminated nor were truncated: {said}")
        return terminated


def _check(episode: Episode, slots: Mapping[str, layout.Slot]) -> None:
    """Refuse an episode whose arrays have other lengths or shapes than they should.

    Raises:
        DatasetError: it names the array.
    """
    count = episode.steps[layout.REWARDS].size
    rewards = episode.steps[layout.REWARDS].reshape(-1)
    wanted = {
        **{path: (count + 1, *slots[path].shape) for path in episode.observations},
        layout.ACTIONS: (count, *slots[layout.ACTIONS].shape),
        layout.REWARDS: (count,),
        "terminations": (count,),
        "truncations": (count,),
    }
    marks = {"terminations": episode.terminations, "truncations": episode.truncations}
    arrays = {**episode.observations, **episode.steps, layout.REWARDS: rewards, **marks}
    for path, shape in wanted.items():
        if arrays[path].shape != shape:
            raise DatasetError(
                f"{episode.where}: {printable(path)} has shape {arrays[path].shape}, not {shape}: the episode is "
                "damaged or was never finished"
            )


def stored(trajectory: Trajectory, spec: EnvironmentSpec) -> dict[str, Array]:
    """Return a trajectory under Minari's names, observations and actions of the spaces' own dtypes.

    Infos have a row more than there are steps, as Minari's: of zeros, where it keeps what reset returned. Only masks of
    actions are known at the reset.
    """
    slots = layout.spec_slots(spec)
    found: dict[str, Array] = {}
    for path, values in {**trajectory.observations, **trajectory.steps}.items():
        space = slots[path].space if path in slots else None
        if isinstance(space, BoxSpace):
            found[path] = values.astype(space.dtype, copy=False)
        elif path == layout.ACTION_MASKS:
            after = trajectory.steps.get(layout.NEXT_ACTION_MASKS, np.ones_like(values))
            found[path] = np.concatenate([values, after[-1:]])
        elif path == layout.NEXT_ACTION_MASKS and layout.ACTION_MASKS in trajectory.steps:
            continue
        elif path.startswith(f"{layout.INFOS}/"):
            found[path] = np.concatenate([np.zeros_like(values[:1]), values])
        else:
            found[path] = values
    found[layout.REWARDS] = found[layout.REWARDS].astype(np.float64)
    last = np.arange(len(trajectory)) == len(trajectory) - 1
    found["terminations"] = last & trajectory.terminated
    found["truncations"] = last & (not trajectory.terminated)
    return found
