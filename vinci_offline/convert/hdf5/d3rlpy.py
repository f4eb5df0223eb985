"""d3rlpy's ``ReplayBuffer.dump`` (https://d3rlpy.readthedocs.io, ``d3rlpy/dataset/io.py``)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.hdf5.d3rlpy_mdp import REWARDS, is_mdp_dump, read_mdp_dump
from vinci_offline.convert.sources.hdf5 import Hdf5Tree, hdf5_tree
from vinci_offline.convert.sources.new_hdf5 import new_hdf5, put
from vinci_offline.convert.trajectories import EpisodeSpool, Trajectory, cut_episodes, trajectories
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.logged import Logged, assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.columns import Column
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.spec import BoxSpace, DictSpace, EnvironmentSpec
from vinci_offline.types import Array, Columns

_VERSION = "2.1"
_TERMINATED = "terminated"
_COLUMNS = (layout.OBSERVATIONS, layout.ACTIONS, layout.REWARDS, _TERMINATED)
_FINAL = "vinci_final_observations"
"""``[E, …]`` the final observation of each episode. d3rlpy's loader ignores it."""


class D3rlpyFormat(Format):
    """Arrays at the root, named after column and episode: ``observations_0``, or ``observations_0_1`` of a tuple."""

    name = "d3rlpy"
    title = "a d3rlpy ReplayBuffer dump"

    def recognises(self, path: Path) -> bool:
        """Tell whether the file has d3rlpy's counters at the root, or the columns of its first versions."""
        try:
            with hdf5_tree(path) as tree:
                return {"columns", "num_episodes", "version"} <= set(tree.names()) or is_mdp_dump(tree)
        except DatasetError:
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import. d3rlpy has no next observation for the last row of a cut episode: the row is dropped.

        ``rewards=same`` or ``next`` says in which row of a dump by d3rlpy 1.0 or older the reward of an action lies.
        """
        context = ImportContext(path, options)
        with hdf5_tree(path) as tree:
            if is_mdp_dump(tree):
                self.check_settings(options.settings, (REWARDS,))
                return Imported.of(assemble(read_mdp_dump(tree, context), options.spec, context))
            self.check_settings(options.settings)
            context.decide("an episode is terminated where d3rlpy's own flag says so, and cut otherwise")
            terminated = _terminated(tree)
            names = frozenset(tree.names())
            finals = {f"{layout.OBSERVATIONS}/{key}".rstrip("/"): a for key, a in tree.arrays(_FINAL).items()}
            rows = EpisodeSpool(context.where)
            kept = np.zeros(len(terminated), np.bool_)
            for number, ended in enumerate(terminated):
                with context.episode():
                    episode = _episode(tree, names, number)
                    if finals:
                        _check_finals(episode, finals, len(terminated), context)
                        episode = _with_final(episode, finals, number, ended)
                    rows.append(f"episode {number}", episode)
                    kept[number] = True
        if finals:
            context.decide("the rows that hold a cut episode's final observation became next observations")
        columns = _named(rows.spool.columns(), options.spec, context.where)
        logged = Logged(
            columns, np.array(rows.lengths, np.int64), terminated[kept], attributes={"source": "d3rlpy"}
        )
        return Imported.of(assemble(logged, options.spec, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export. A cut episode gets one more row, so that d3rlpy has all of its transitions."""
        self.check_settings(options.settings)
        _refuse_actions(dataset.spec, path)
        finals: dict[str, list[Array]] = {}
        with new_hdf5(path, overwrite=options.overwrite) as file:
            terminated = []
            for number, episode in enumerate(trajectories(dataset)):
                for column, values in _columns_of(episode).items():
                    name, _, part = column.partition("/")
                    put(file, f"{name}_{number}_{part}".rstrip("_"), values)
                for key, values in _keyed(episode).items():
                    finals.setdefault(f"{_FINAL}/{key}".rstrip("/"), []).append(values[-1].copy())
                file[f"{_TERMINATED}_{number}"] = episode.terminated
                terminated.append(episode.terminated)
            for name, rows in finals.items():
                put(file, name, np.stack(rows))
            file["columns"] = list(_COLUMNS)
            file["num_episodes"] = len(terminated)
            file["version"] = _VERSION
        return Exported(path, _decisions(dataset, terminated), _lost(dataset))


def _terminated(tree: Hdf5Tree) -> Array:
    """Return ``[E]`` whether each episode terminated."""
    facts = tree.scalars("/")
    version, count = facts.get("version"), facts.get("num_episodes")
    if not isinstance(count, int) or not 0 <= count <= len(facts):
        raise DatasetError(f"{tree.path}: no number of episodes: no d3rlpy dump, or a damaged one")
    if version != _VERSION:
        raise DatasetError(
            f"{tree.path} is a d3rlpy dump of version {str(version)[:20]!r}, not {_VERSION}: load it with the d3rlpy "
            "that wrote it, and dump it with a current one"
        )
    flags = [facts.get(f"{_TERMINATED}_{number}") for number in range(count)]
    if wrong := [number for number, flag in enumerate(flags) if flag not in {0, 1}]:
        raise DatasetError(
            f"{tree.path}: {_TERMINATED}_{wrong[0]} is missing or neither true nor false: the file is damaged"
        )
    return np.array(flags, np.bool_)


def _episode(tree: Hdf5Tree, names: frozenset[str], number: int) -> Columns:
    """Return one episode's columns. Parts of a tuple are ``observations/0``, ``observations/1`` and so on."""
    columns = {layout.ACTIONS: tree.array(f"{layout.ACTIONS}_{number}")}
    columns[layout.REWARDS] = tree.numbers(f"{layout.REWARDS}_{number}")
    name, part = f"{layout.OBSERVATIONS}_{number}", 0
    while f"{name}_{part}" in names:
        columns[f"{layout.OBSERVATIONS}/{part}"] = tree.array(f"{name}_{part}")
        part += 1
    if not part:
        columns[layout.OBSERVATIONS] = tree.array(name)
    return columns


def _check_finals(episode: Columns, finals: Columns, count: int, context: ImportContext) -> None:
    """Refuse final observations that are not one an episode, of the shape of the observations."""
    for path in _observed(episode):
        expected = (count, *episode[path].shape[1:])
        if path not in finals or finals[path].shape != expected:
            raise DatasetError(f"{context.where}: {_FINAL} has no array of shape {expected} for {path}")


def _with_final(episode: Columns, finals: Columns, number: int, ended: bool) -> Columns:
    """Return an episode's rows with next observations.

    A cut episode has a row more than steps: it holds the final observation, and goes.
    """
    count = len(episode[layout.REWARDS]) - (not ended)
    rows = {path: values[:count] for path, values in episode.items()}
    for path in _observed(episode):
        last = finals[path][number : number + 1] if ended else episode[path][count : count + 1]
        rows[f"next_{path}"] = np.concatenate([rows[path][1:], last])
    return rows


def _observed(episode: Columns) -> list[str]:
    return [path for path in episode if path.partition("/")[0] == layout.OBSERVATIONS]


def _named(columns: dict[str, Column], spec: EnvironmentSpec | None, where: str) -> dict[str, Column]:
    """Return the parts of a tuple by the keys of the spec's Dict space, which were sorted when they became a tuple."""
    parts = sum(path.startswith(f"{layout.OBSERVATIONS}/") for path in columns)
    if spec is None or not isinstance(spec.observation_space, DictSpace) or not parts:
        return columns
    paths = sorted(layout.space_slots(layout.OBSERVATIONS, spec.observation_space))
    if len(paths) != parts:
        raise SpecError(f"{where}: observations have {parts} parts, those of the environment {len(paths)}")
    names = {f"{layout.OBSERVATIONS}/{part}": path for part, path in enumerate(paths)}
    names |= {f"next_{old}": f"next_{new}" for old, new in names.items()}
    return {names.get(path, path): values for path, values in columns.items()}


def _refuse_actions(spec: EnvironmentSpec, path: Path) -> None:
    space = spec.action_space
    if isinstance(space, BoxSpace) and (len(space.shape) != 1 or np.dtype(space.dtype).kind != "f"):
        raise SpecError(
            f"{path}: d3rlpy has vectors of floats or one discrete choice as actions, not {space.dtype} of shape "
            f"{list(space.shape)}: choose another --to"
        )


def _keyed(episode: Trajectory) -> Columns:
    """Return ``[T + 1, …]`` observations by part of the tuple; the key of a single array is empty."""
    paths = sorted(episode.observations)
    return {
        "" if path == layout.OBSERVATIONS else str(part): _vectors(episode.observations[path])
        for part, path in enumerate(paths)
    }


def _columns_of(episode: Trajectory) -> Columns:
    """Return an episode's arrays under d3rlpy's names.

    d3rlpy makes no transition of a cut episode's last row. So the final observation becomes a row of its own, with
    the last action again, since nothing else surely lies in the action space, and a reward of zero.
    """
    rows = len(episode) + (not episode.terminated)
    columns = {f"{layout.OBSERVATIONS}/{key}": values[:rows] for key, values in _keyed(episode).items()}
    actions, rewards = episode.steps[layout.ACTIONS], episode.steps[layout.REWARDS]
    if not episode.terminated:
        actions, rewards = np.concatenate([actions, actions[-1:]]), np.append(rewards, np.float32(0))
    return {**columns, layout.ACTIONS: _vectors(actions), layout.REWARDS: _vectors(rewards)}


def _vectors(values: Array) -> Array:
    """Return ``[N, 1]`` if a row is one number: d3rlpy has no scalars."""
    return values[:, None] if values.ndim == 1 else values


def _decisions(dataset: Dataset, terminated: list[bool]) -> tuple[str, ...]:
    said = [f"{len(terminated)} episodes of d3rlpy {_VERSION}, {sum(terminated)} of them terminated"]
    if cut := len(terminated) - sum(terminated):
        said.append(
            f"the {cut} that were cut end in a row more: the final observation, the last action again, and a reward of "
            "zero; d3rlpy makes no transition of such a row, and so has all that there are"
        )
    if broken := cut_episodes(dataset):
        said.append(f"{broken} episodes from which rows were left out are written in pieces")
    if isinstance(dataset.spec.observation_space, DictSpace):
        paths = sorted(layout.space_slots(layout.OBSERVATIONS, dataset.spec.observation_space))
        said.append(f"observations are tuples of {', '.join(path.partition('/')[2] for path in paths)}")
    return tuple(said)


def _lost(dataset: Dataset) -> tuple[str, ...]:
    infos = ", ".join(path for path in dataset.columns if path.startswith(f"{layout.INFOS}/"))
    lost = ("the environment's spaces and id, the episode table, provenance",)
    return (infos, *lost) if infos else lost
