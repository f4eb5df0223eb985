"""Minari's episodes to and from trajectories: where they end, which infos all of them have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from vinci_offline.convert.trajectories import Trajectory
from vinci_offline.data import layout
from vinci_offline.data.assembly.ends import say_ends
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.episode_columns import SEED
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError
from vinci_offline.spec import BoxSpace, EnvironmentSpec
from vinci_offline.types import Array, Columns


@dataclass(frozen=True)
class Episode:
    """One episode of T steps as a storage holds it.

    Attributes:
        where: the file and the episode, for messages.
        observations: ``[T + 1, …]`` by our paths.
        steps: ``[T, …]`` by our paths: ``actions``, ``rewards``.
        terminations: ``[T]`` zeros and ones.
        truncations: ``[T]`` zeros and ones.
        infos: ``[T + 1, …]`` or ``[T, …]`` by key; with one row more, the first is what reset returned.
        seed: of its reset.
    """

    where: str
    observations: Columns
    steps: Columns
    terminations: Array
    truncations: Array
    infos: Columns = field(default_factory=dict)
    seed: int | None = None

    def __len__(self) -> int:
        """The number of steps."""
        return len(self.steps[layout.REWARDS])


@dataclass(frozen=True)
class _Part:
    """Steps of an episode up to an end, which nobody told where ``terminated`` is None."""

    episode: Episode
    first: int
    last: int
    terminated: bool | None

    def __len__(self) -> int:
        return self.last - self.first


def trajectories_of(
    episodes: Iterable[Episode],
    spec: EnvironmentSpec,
    options: ImportOptions,
    where: str,
    decisions: list[str],
) -> list[Trajectory]:
    """Minari's episodes, cut where one goes on after its end.

    Args:
        episodes: as stored.
        spec: the environment.
        options: how those ended that neither terminated nor were truncated.
        where: the dataset, for messages.
        decisions: what is decided goes here.

    Raises:
        DatasetError: an episode's arrays do not fit each other or the spaces.
        UsageError: an episode neither terminated nor was truncated, and the options do not say what it did.
    """
    found = [_checked(episode, spec) for episode in episodes]
    parts, both = [], 0
    for episode in found:
        terminated, truncated = (
            _flags(episode, name, values)
            for name, values in (
                ("terminations", episode.terminations),
                ("truncations", episode.truncations),
            )
        )
        both += int((terminated & truncated).sum())
        ends = terminated | truncated
        told = bool(ends[-1])
        ends[-1] = True
        for first, last in pairwise([0, *(np.flatnonzero(ends) + 1).tolist()]):
            known = told or last < len(episode)
            parts.append(_Part(episode, first, last, bool(terminated[last - 1]) if known else None))
    decisions.append("terminals and timeouts are the terminations and truncations")
    if both:
        decisions.append(f"{both} steps both terminated and were truncated: they count as terminals")
    if going_on := len(parts) - len(found):
        decisions.append(f"episodes that go on after a termination or truncation were cut there ({going_on})")
    infos = _common_infos(found, decisions)
    ended = _ends(parts, options, where, decisions)
    return [_trajectory(part, infos, end) for part, end in zip(parts, ended, strict=True)]


def _checked(episode: Episode, spec: EnvironmentSpec) -> Episode:
    """The episode, if its arrays have the lengths and shapes that they should."""
    slots, count = layout.spec_slots(spec), episode.steps[layout.REWARDS].size
    rewards = episode.steps[layout.REWARDS].reshape(-1)
    wanted = {
        **{path: (count + 1, *slots[path].shape) for path in episode.observations},
        layout.ACTIONS: (count, *slots[layout.ACTIONS].shape),
        layout.REWARDS: (count,),
        "terminations": (count,),
        "truncations": (count,),
    }
    flags = {"terminations": episode.terminations, "truncations": episode.truncations}
    arrays = {**episode.observations, **episode.steps, layout.REWARDS: rewards, **flags}
    for path, shape in wanted.items():
        if arrays[path].shape != shape:
            raise DatasetError(
                f"{episode.where}: {printable(path)} has shape {arrays[path].shape}, not {shape}: the episode is "
                "damaged or was never finished"
            )
    return episode


def _flags(episode: Episode, name: str, values: Array) -> Array:
    if ((values != 0) & (values != 1)).any():
        raise DatasetError(f"{episode.where}: {name} that are neither 0 nor 1: the episode is damaged")
    return np.array(values, np.bool_)


def _common_infos(episodes: list[Episode], decisions: list[str]) -> list[str]:
    """The keys of infos that every episode has a row a step of, all of one shape."""
    kept = [
        key
        for key, values in (episodes[0].infos.items() if episodes else ())
        if all(
            key in each.infos
            and len(each.infos[key]) in {len(each), len(each) + 1}
            and each.infos[key].shape[1:] == values.shape[1:]
            for each in episodes
        )
    ]
    if others := sorted({key for each in episodes for key in each.infos} - set(kept)):
        shown = ", ".join(printable(key) for key in others)
        decisions.append(f"infos {shown} were left out: not every step of every episode has them alike")
    if any(len(each.infos[key]) > len(each) for key in kept for each in episodes):
        decisions.append("infos are those of the steps: what resets returned was left out")
    return kept


def _ends(parts: list[_Part], options: ImportOptions, where: str, decisions: list[str]) -> list[bool]:
    """Whether each part terminated; the user says it of those that do not."""
    ended = [bool(part.terminated) for part in parts]
    untold = [number for number, part in enumerate(parts) if part.terminated is None]
    if untold:
        lengths = np.array([len(parts[number]) for number in untold])
        said, decision = say_ends(
            lengths, options, f"{where} ({len(untold)} episodes, the first {parts[untold[0]].episode.where})"
        )
        decisions.append(f"{len(untold)} episodes neither terminated nor were truncated: {decision}")
        for number, end in zip(untold, said, strict=True):
            ended[number] = bool(end)
    return ended


def _trajectory(part: _Part, infos: list[str], terminated: bool) -> Trajectory:
    episode, first, last = part.episode, part.first, part.last
    steps = dict(episode.steps)
    steps[layout.REWARDS] = steps[layout.REWARDS].reshape(-1)
    for key in infos:
        values = episode.infos[key]
        steps[f"{layout.INFOS}/{key}"] = values[len(values) - len(episode) :]
    facts = {} if episode.seed is None else {SEED: episode.seed}
    return Trajectory(
        {path: values[first : last + 1] for path, values in episode.observations.items()},
        {path: values[first:last] for path, values in steps.items()},
        terminated,
        facts,
    )


def stored(trajectory: Trajectory, spec: EnvironmentSpec) -> dict[str, Array]:
    """A trajectory under Minari's names, observations and actions of the spaces' own dtypes.

    Infos have a row more than there are steps, as Minari's: of zeros, where it keeps what reset returned.
    """
    slots = layout.spec_slots(spec)
    found: dict[str, Array] = {}
    for path, values in {**trajectory.observations, **trajectory.steps}.items():
        space = slots[path].space if path in slots else None
        if isinstance(space, BoxSpace):
            found[path] = values.astype(space.dtype, copy=False)
        elif path.startswith(f"{layout.INFOS}/"):
            found[path] = np.concatenate([np.zeros_like(values[:1]), values])
        else:
            found[path] = values
    found[layout.REWARDS] = found[layout.REWARDS].astype(np.float64)
    last = np.arange(len(trajectory)) == len(trajectory) - 1
    found["terminations"] = last & trajectory.terminated
    found["truncations"] = last & (not trajectory.terminated)
    return found
