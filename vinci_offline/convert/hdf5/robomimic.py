"""robomimic's demonstrations (Mandlekar et al., 2021, https://robomimic.github.io/docs/datasets/overview.html)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.hdf5.robomimic_demos import DONES, FLAT, Demos, observation_paths
from vinci_offline.convert.sources.hdf5 import hdf5_tree
from vinci_offline.convert.sources.new_hdf5 import new_hdf5, put
from vinci_offline.convert.trajectories import EpisodeSpool, cut_episodes, trajectories
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import lengths_of, say_ends
from vinci_offline.data.assembly.logged import Logged, assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, SpecError
from vinci_offline.spec import BoxSpace
from vinci_offline.types import Array

_GYM = 2
"""robomimic's ``EnvType`` of an environment that Gym made."""


class RobomimicFormat(Format):
    """A group for each demonstration in ``data``:  ``obs``, ``next_obs``, ``actions``, ``rewards`` and ``dones``."""

    name = "robomimic"
    title = "robomimic demonstrations"

    def recognises(self, path: Path) -> bool:
        """Tell whether there are demonstrations."""
        try:
            with hdf5_tree(path) as tree:
                return any(name.startswith("demo_") for name in tree.names("data"))
        except DatasetError:
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import.

        ``mask=KEY`` takes the demonstrations that ``mask/KEY`` lists, ``observations=KEY,KEY`` some of ``obs``, and
        ``reward=zero`` says that rewards are zero where there are none.
        """
        self.check_settings(options.settings, ("mask", "observations", "reward"))
        context = ImportContext(path, options)
        rows = EpisodeSpool(context.where)
        dones: list[Array] = []
        with hdf5_tree(path) as tree:
            demos = Demos(tree, context)
            paths = observation_paths(demos.keys, context)
            for name in demos.names:
                with context.episode():
                    part = demos.columns(name, paths)
                    rows.append(name, part)
                    dones += [part[DONES]] if DONES in part else []
            environment = tree.attributes("data").get("env_args")
        rows.spool.drop(DONES)
        lengths, terminated = _ends(
            np.array(rows.lengths, np.int64), np.concatenate(dones) if dones else None, context
        )
        id_, kwargs = _gym(environment)
        attributes = {"source": "robomimic", **({"env_args": environment} if environment else {})}
        logged = Logged(rows.spool.columns(), lengths, terminated, {}, attributes, id_, kwargs)
        return Imported.of(assemble(logged, options.spec, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export; an episode is a demonstration."""
        self.check_settings(options.settings)
        _refuse_actions(dataset, path)
        with new_hdf5(path, overwrite=options.overwrite) as file:
            data, count = file.create_group("data"), 0
            for count, episode in enumerate(trajectories(dataset), 1):
                demo = data.create_group(f"demo_{count - 1}")
                demo.attrs["num_samples"] = len(episode)
                for column, values in episode.observations.items():
                    key, rows = _key(column), values if values.ndim > 1 else values[:, None]
                    put(demo, f"obs/{key}", rows[:-1])
                    put(demo, f"next_obs/{key}", rows[1:])
                for column, values in episode.steps.items():
                    put(demo, column, values)
                done = np.zeros(len(episode), np.int64)
                done[-1] = episode.terminated
                put(demo, DONES, done)
            data.attrs["total"] = len(dataset)
            data.attrs["env_args"] = json.dumps(
                {
                    "env_name": dataset.spec.id or "",
                    "type": _GYM,
                    "env_kwargs": dict(dataset.spec.kwargs),
                }
            )
        lost = ("the bounds of the spaces, the time limit, the episode table, provenance",)
        return Exported(path, _decisions(dataset, count), lost)


def _ends(lengths: Array, dones: Array | None, context: ImportContext) -> tuple[Array, Array]:
    """Return the episodes' lengths, and which of them terminated."""
    if dones is None or context.options.ends is not None:
        terminated, said = say_ends(lengths, context)
        context.decide(said if dones is None else f"{said}; dones are passed over")
        return lengths, terminated
    last = np.cumsum(lengths) - 1
    ends = dones.copy()
    ends[last] = True
    context.decide(
        f"dones are terminals, as robomimic's own algorithms have it: {int(dones[last].sum())} of {len(last)} "
        "demonstrations end in one, the others were cut (where dones only mark ends, say --ends timeout)"
    )
    if inner := int(dones.sum() - dones[last].sum()):
        context.decide(
            f"{inner} dones lie before the end of their demonstration: what follows each is an episode of its own "
            "(--ends keeps demonstrations whole)"
        )
    return lengths_of(ends), dones[ends]


def _gym(environment: Any) -> tuple[str | None, Mapping[str, Any]]:
    """Return the Gymnasium id and keyword arguments in ``env_args``, if they describe a Gym environment."""
    if not isinstance(environment, Mapping) or environment.get("type") != _GYM:
        return None, {}
    name, kwargs = environment.get("env_name"), environment.get("env_kwargs")
    if not isinstance(name, str) or not name:
        return None, {}
    return name, kwargs if isinstance(kwargs, dict) else {}


def _key(column: str) -> str:
    return column.partition("/")[2] or FLAT


def _refuse_actions(dataset: Dataset, path: Path) -> None:
    space = dataset.spec.action_space
    if not isinstance(space, BoxSpace) or len(space.shape) != 1 or np.dtype(space.dtype).kind != "f":
        raise SpecError(f"{path}: robomimic's actions are vectors of floats: choose another --to")


def _decisions(dataset: Dataset, count: int) -> tuple[str, ...]:
    said = [f"{count} demonstrations; dones are terminals, so one that was cut has none"]
    if broken := cut_episodes(dataset):
        said.append(f"{broken} episodes from which rows were left out are written in pieces")
    space = dataset.spec.action_space
    if isinstance(space, BoxSpace) and not ((space.low == -1).all() and (space.high == 1).all()):
        said.append("actions are the environment's own, where robomimic expects them in [-1, 1]")
    return tuple(said)
