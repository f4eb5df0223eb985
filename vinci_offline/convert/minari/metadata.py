"""The metadata of a Minari dataset: its spaces, its environment, its author."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vinci_offline.convert.minari.spaces import space_from_minari, space_to_minari
from vinci_offline.convert.sources.folders import read_json
from vinci_offline.convert.sources.hdf5 import hdf5_tree
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import DatasetError, SpecError, UsageError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.text import printable

METADATA = "metadata.json"
EPISODES = "main_data.hdf5"
"""The file of the episodes, in the storage ``hdf5``."""
VERSION = "0.5.4"
"""The layout of this version of Minari is written."""

_REMARKS = (
    "dataset_id",
    "algorithm_name",
    "author",
    "author_email",
    "code_permalink",
    "description",
    "requirements",
    "eval_env_spec",
    "ref_min_score",
    "ref_max_score",
    "num_episodes_average_score",
)


@dataclass(frozen=True)
class Metadata:
    """The entries of a dataset's ``metadata.json``.

    Attributes:
        folder: the one that the file lies in, beside the episodes.
        entries: as they are.
    """

    folder: Path
    entries: Mapping[str, Any] = field(repr=False)

    @property
    def file(self) -> Path:
        """The file that holds the metadata: before 0.5, that of the episodes."""
        file = self.folder / METADATA
        return file if file.is_file() else self.folder / EPISODES

    @property
    def remarks(self) -> dict[str, Any]:
        """Origin of the data, as its author states it."""
        return {name: self.entries[name] for name in _REMARKS if name in self.entries}

    def space(self, name: str, spec: EnvironmentSpec) -> str:
        """Return the description of the space of ``observations`` or ``actions``, JSON text; else that of the spec."""
        key = f"{name.removesuffix('s')}_space"
        return str(self.entries[key]) if key in self.entries else space_to_minari(getattr(spec, key))

    def count(self, name: str) -> int:
        """Return ``total_episodes`` or ``total_steps``.

        Raises:
            DatasetError: it is no count.
        """
        value = self.entries.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise DatasetError(f"{self.file}: {name} is no count: the file is damaged")
        return value


def data_folder(path: Path) -> Path | None:
    """Return the folder of the episodes, given it or the dataset's folder; None if there is none."""
    names = (METADATA, EPISODES)
    folders = (path / "data", path)
    return next((each for each in folders if any((each / name).is_file() for name in names)), None)


def read_metadata(path: Path) -> Metadata:
    """Read the metadata of a dataset's folder.

    Raises:
        DatasetError: there is no such dataset, or the file is damaged.
    """
    folder = data_folder(path)
    if folder is None:
        what = "does not exist" if not path.exists() else f"is no folder that holds data/{METADATA}"
        raise DatasetError(f"{path} {what}: give the folder of a Minari dataset")
    if (folder / METADATA).is_file():
        return Metadata(folder, read_json(folder / METADATA))
    return Metadata(folder, _attributes(folder / EPISODES))


def _attributes(file: Path) -> dict[str, Any]:
    """Return the metadata of a dataset written before Minari 0.5: attributes of the only file.

    Raises:
        DatasetError: they are not there.
    """
    with hdf5_tree(file) as tree:
        found = tree.attributes("/")
    if "total_episodes" not in found:
        raise DatasetError(
            f"{file} has no attribute total_episodes: no Minari dataset, or one that was never finished"
        )
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in found.items()
        if name in {"env_spec", "observation_space", "action_space"}
    }
    return {**found, **texts, "total_episodes": int(found["total_episodes"]), "data_format": "hdf5"}


def environment(metadata: Metadata, context: ImportContext) -> EnvironmentSpec:
    """Return the environment: its spaces, and its id, keyword arguments and time limit if the metadata have them.

    Args:
        metadata: of the dataset.
        context: the import; a spec that its options give must have the dataset's spaces.

    Raises:
        SpecError: the spaces cannot be held, or are not those of the spec given.
        UsageError: the spaces are not told, and must be given.
    """
    names, given = ("observation_space", "action_space"), context.options.spec
    if absent := [name for name in names if name not in metadata.entries]:
        if given is not None:
            return given
        known = _environment_entries(metadata).get("id")
        raise UsageError(
            f"{metadata.file} does not tell its {' and '.join(absent)}: say --env "
            f"{known if isinstance(known, str) else 'ENV'}"
        )
    spaces = {
        name: space_from_minari(
            metadata.entries[name], f"{metadata.file}: {name}", actions=name == "action_space"
        )
        for name in names
    }
    for name, space in spaces.items():
        if given is not None and getattr(given, name) != space:
            raise SpecError(f"{metadata.file}: the {name} given is not the dataset's; leave --env out")
    if given is not None:
        return given
    told = _environment_entries(metadata)
    limit = told.get("max_episode_steps")
    kwargs = told.get("kwargs")
    if wrappers := told.get("additional_wrappers"):
        shown = ", ".join(printable(str(each.get("name"))) for each in wrappers if isinstance(each, dict))
        context.decide(f"the environment's wrappers ({shown}) are not kept: evaluate with --env instead")
    return EnvironmentSpec(
        spaces["observation_space"],
        spaces["action_space"],
        id=told["id"] if isinstance(told.get("id"), str) else None,
        kwargs=kwargs if isinstance(kwargs, dict) else {},
        max_episode_steps=limit if isinstance(limit, int) and limit > 0 else None,
    )


def _environment_entries(metadata: Metadata) -> dict[str, Any]:
    """Return Gymnasium's ``EnvSpec.to_json``; empty if there is none."""
    text = metadata.entries.get("env_spec")
    try:
        told = json.loads(text) if isinstance(text, str) else {}
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{metadata.file}: env_spec is not JSON: the file is damaged") from error
    return told if isinstance(told, dict) else {}


def new_metadata(
    dataset: Dataset, identity: str, storage: str, counts: tuple[int, int], lost: list[str]
) -> dict[str, Any]:
    """Return the entries of a dataset that is written.

    Args:
        dataset: what was written.
        identity: the dataset's id.
        storage: the ``data_format``.
        counts: episodes and steps.
        lost: facts that the format has no place for are added here.
    """
    spec = dataset.spec
    remarks = dataset.attributes.get("minari")
    entries: dict[str, Any] = {
        **(
            {name: value for name, value in remarks.items() if name in _REMARKS}
            if isinstance(remarks, dict)
            else {}
        ),
        "total_episodes": counts[0],
        "total_steps": counts[1],
        "data_format": storage,
        "jpeg_encoding": False,
        "observation_space": space_to_minari(spec.observation_space),
        "action_space": space_to_minari(spec.action_space),
        "dataset_id": identity,
        "minari_version": VERSION,
    }
    if (text := _gymnasium_spec(spec)) is not None:
        entries["env_spec"] = text
    elif spec.id is not None:
        lost.append(
            f"the environment {printable(spec.id)}: Gymnasium knows it only once its module is imported"
        )
    return entries


def _gymnasium_spec(spec: EnvironmentSpec) -> str | None:
    """Return Gymnasium's own description of the environment, with its keyword arguments. Nothing is imported for it."""
    import gymnasium

    known = gymnasium.registry.get((spec.id or "").rpartition(":")[2])
    if known is None:
        return None
    known = copy.deepcopy(known)
    known.kwargs.update(spec.kwargs)
    known.max_episode_steps = spec.max_episode_steps
    try:
        return str(known.to_json())
    except (TypeError, ValueError):  # made by a function, which JSON cannot name
        return None
