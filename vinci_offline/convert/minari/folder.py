"""Minari's dataset folders (https://minari.farama.org/content/dataset_standards/), before 0.5 too."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import ModuleType

from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.minari import arrow, hdf5
from vinci_offline.convert.minari.episodes import MinariRows
from vinci_offline.convert.minari.metadata import (
    METADATA,
    data_folder,
    environment,
    new_metadata,
    read_metadata,
)
from vinci_offline.convert.sources.folders import refuse_replacing
from vinci_offline.convert.trajectories import cut_episodes
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.logged import assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import FRAGMENT, SEED, TERMINATED, TRUNCATED
from vinci_offline.data.episodes import known_facts
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.files import disk_errors, published_folder
from vinci_offline.text import printable

_ID = "dataset_id"
_STORAGE = "storage"
_STORAGES = ("hdf5", *arrow.STORAGES)
_VALID_ID = re.compile(r"(?:[-\w][-\w/]*[-\w]/)?[-\w]+-v\d+")
"""``namespace/name-vN``, the form that Minari asks for."""


class MinariFormat(Format):
    """A folder with ``data/metadata.json``, and the episodes beside it."""

    name = "minari"
    title = "a Minari dataset"

    def recognises(self, path: Path) -> bool:
        """Tell whether there are metadata with a ``data_format``, or with a count of episodes before 0.5."""
        try:
            return "data_format" in read_metadata(path).entries
        except (DatasetError, OSError):
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import; Minari itself is not needed."""
        self.check_settings(options.settings)
        metadata = read_metadata(path)
        storage = metadata.entries.get("data_format", "hdf5")
        if storage not in _STORAGES:
            raise DatasetError(
                f"{metadata.file}: the data_format {printable(str(storage))} cannot be read, only "
                f"{', '.join(_STORAGES)}: write the dataset anew with Minari"
            )
        context = ImportContext(path, options)
        spec = environment(metadata, context)
        rows = MinariRows(spec, context)
        for episode in _storage(storage).read_episodes(metadata, spec, context):
            with context.episode():
                rows.append(episode)
        return Imported.of(assemble(rows.logged(metadata.remarks), spec, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export; ``dataset_id=NAMESPACE/NAME-vN`` says how much of the path is the id, ``storage`` which one."""
        self.check_settings(options.settings, (_ID, _STORAGE))
        storage = options.settings.get(_STORAGE, "hdf5")
        if storage not in _STORAGES:
            raise UsageError(f"{_STORAGE}={storage}: there are {', '.join(_STORAGES)}")
        path = path if path.name else path.resolve()
        identity = _identity(path, options.settings.get(_ID))
        there = data_folder(path) is not None
        refuse_replacing(path, ("data",), "a Minari dataset", there=there, overwrite=options.overwrite)
        layout.spec_slots(dataset.spec)
        lost: list[str] = []
        with disk_errors(path), published_folder(path) as folder:
            data = folder / "data"
            data.mkdir()
            count = _storage(storage).write_episodes(dataset, data, storage)
            entries = new_metadata(dataset, identity, storage, (count, len(dataset)), lost)
            size = sum(file.stat().st_size for file in data.rglob("*") if file.is_file())
            entries["dataset_size"] = round(size / 1e6, 1)
            (data / METADATA).write_text(json.dumps(entries), encoding="utf-8")
        root = str(path.absolute()).removesuffix(f"/{identity}")
        decisions = [f"minari.load_dataset({identity!r}) finds it where MINARI_DATASETS_PATH is {root}"]
        return Exported(path, (*decisions, *_said(dataset)), (*lost, *_lost(dataset)))


def _storage(name: str) -> ModuleType:
    return hdf5 if name == "hdf5" else arrow


def _identity(path: Path, given: str | None) -> str:
    """Return the dataset's id: the one given, or the path below Minari's root, or the folder's name."""
    absolute = path.absolute()
    root = Path(os.environ.get("MINARI_DATASETS_PATH") or "~/.minari/datasets").expanduser().absolute()
    found = given or (
        absolute.relative_to(root).as_posix() if absolute.is_relative_to(root) else absolute.name
    )
    if not _VALID_ID.fullmatch(found):
        raise UsageError(
            f"{found} is no Minari id: write NAME-vN or NAMESPACE/NAME-vN, as in pendulum/mixed-v0"
        )
    if not absolute.as_posix().endswith(f"/{found}"):
        raise UsageError(f"{path}: Minari finds {found} in a folder of that name: write to …/{found}")
    return found


def _said(dataset: Dataset) -> list[str]:
    table, said = dataset.episode_columns, []
    if cut := cut_episodes(dataset):
        said.append(
            f"{cut} episodes lack rows: each of their pieces is an episode, and all but the last truncated"
        )
    if unfinished := int((~(table[TERMINATED] | table[TRUNCATED])).sum()):
        said.append(f"{unfinished} episodes end unfinished: they are truncated")
    if any(path.startswith(f"{layout.INFOS}/") for path in dataset.columns):
        said.append("infos begin with a row of zeros, where Minari keeps what reset returned")
    return said


def _lost(dataset: Dataset) -> list[str]:
    names = known_facts(dataset.episode_columns)
    lost = [f"{name} of each episode" for name in names if name not in {FRAGMENT, SEED}]
    if names := [name for name in dataset.attributes if name != "minari"]:
        lost.append(f"provenance ({', '.join(map(printable, names))})")
    return lost
