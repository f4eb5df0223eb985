"""RLDS episodes in the files of TensorFlow Datasets (https://github.com/google-research/rlds#dataset-format).

The last step of an episode holds the final observation alone: its action and reward mean nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.convert.format import Exported, ExportOptions, Format, Imported
from vinci_offline.convert.rlds.episodes import logged
from vinci_offline.convert.rlds.features import Feature, described_whole
from vinci_offline.convert.rlds.records import SPLIT, TEMPLATE, RecordWriter
from vinci_offline.convert.sources.folders import read_json, refuse_replacing
from vinci_offline.convert.trajectories import Trajectory, cut_episodes, trajectories
from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.logged import assemble
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import known_facts
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.files import disk_errors, published_folder
from vinci_offline.text import printable
from vinci_offline.types import Array, Columns

FEATURES, INFO = "features.json", "dataset_info.json"

_FLAGS = ("is_first", "is_last", "is_terminal")


class RldsFormat(Format):
    """A folder with ``features.json``, ``dataset_info.json`` and TFRecord files."""

    name = "rlds"
    title = "an RLDS dataset"
    keeps_fragments = True

    def recognises(self, path: Path) -> bool:
        """Tell whether ``features.json`` describes steps."""
        try:
            return "steps" in read_json(path / FEATURES)["featuresDict"]["features"]
        except (DatasetError, KeyError, TypeError):
            return False

    def read(self, path: Path, options: ImportOptions) -> Imported:
        """Import the features that are numbers or images.

        ``split=NAME`` chooses one of several, ``action=KEY,KEY`` those of an action of several parts, in that order;
        ``reward=zero`` says that rewards are zero where there are none, ``last=step`` that an episode's last step is a
        step like the others.
        """
        self.check_settings(options.settings, ("action", "last", "reward", "split"))
        if not (path / FEATURES).is_file():
            what = "does not exist" if not path.exists() else f"has no {FEATURES}"
            raise DatasetError(f"{path} {what}: give the folder of one version of an RLDS dataset")
        context = ImportContext(path, options)
        info = read_json(path / INFO) if (path / INFO).is_file() else {}
        found = logged(path, read_json(path / FEATURES), info, context)
        return Imported.of(assemble(found, options.spec, context))

    def write(self, dataset: Dataset, path: Path, options: ExportOptions) -> Exported:
        """Export; ``name=NAME`` is TFDS' name of the dataset, otherwise the folder's name is."""
        self.check_settings(options.settings, ("name",))
        path = path if path.name else path.resolve()
        name, version = _identity(path, options.settings.get("name"))
        there = [each.name for each in path.glob("*.tfrecord*")] if path.is_dir() else []
        refuse_replacing(
            path,
            (FEATURES, INFO, *there),
            "an RLDS dataset",
            there=self.recognises(path),
            overwrite=options.overwrite,
        )
        steps, facts = _features(dataset)
        with disk_errors(path), published_folder(path) as folder:
            with RecordWriter(folder, name) as writer:
                for each in trajectories(dataset):
                    values = {key: np.asarray([each.facts[key]]) for key in facts}
                    writer.append({"steps": (steps, _steps(each)), "episode_metadata": (facts, values)})
            size = sum(file.stat().st_size for file in folder.iterdir())
            _publish(folder / FEATURES, described_whole(steps, facts))
            _publish(folder / INFO, _info(name, version, writer.lengths, size))
        said = [f"{name} {version}, the split {SPLIT}: an episode a record"]
        said.append(
            "an episode ends in a step more, with the final observation, a reward of 0 and an action of zeros"
        )
        if cut := cut_episodes(dataset):
            said.append(f"{cut} episodes lack rows: each of their pieces is an episode")
        return Exported(path, tuple(said), tuple(_lost(dataset, facts)))


def _identity(path: Path, name: str | None) -> tuple[str, str]:
    """Return TFDS' name of the dataset and its version, from the folders ``NAME/1.0.0`` or ``NAME``."""
    is_version = re.fullmatch(r"\d+\.\d+\.\d+", path.name) is not None
    version, folder = (path.name, path.resolve().parent.name) if is_version else ("1.0.0", path.name)
    found = re.sub(r"\W+", "_", folder, flags=re.ASCII).strip("_") if name is None else name
    if not re.fullmatch(r"[a-zA-Z]\w*", found, re.ASCII):
        raise UsageError(
            f"TFDS cannot call a dataset {found!r}: give a name of letters with --set to.name=NAME"
        )
    return found, version


def _features(dataset: Dataset) -> tuple[dict[str, Feature], dict[str, Feature]]:
    """Return the features of a step, and those of an episode."""
    steps = dict.fromkeys(_FLAGS, Feature((), np.dtype(np.bool_)))
    steps["discount"] = Feature((), np.dtype(np.float32))
    for path in dataset.columns:
        if path.partition("/")[0] not in {layout.NEXT_OBSERVATIONS, layout.TERMINALS, layout.TIMEOUTS}:
            shape, dtype = dataset.columns.shape(path)[1:], dataset.columns.dtype(path)
            steps[_step_name(path)] = Feature.holding(shape, dtype)
    table = dataset.episode_columns
    facts = {
        name: Feature((), np.dtype(np.int64))
        for name in known_facts(table)
        if table[name].dtype.kind in "biu"
    }
    return steps, facts


def _step_name(path: str) -> str:
    root, slash, rest = path.partition("/")
    names = {layout.OBSERVATIONS: "observation", layout.ACTIONS: "action", layout.REWARDS: "reward"}
    return names.get(root, root) + slash + rest


def _steps(each: Trajectory) -> Columns:
    """Return ``[T + 1, …]`` steps; the last one holds the final observation."""
    count = len(each)
    found: dict[str, Array] = {_step_name(path): values for path, values in each.observations.items()}
    for path, values in each.steps.items():
        found[_step_name(path)] = np.concatenate([values, np.zeros_like(values[:1])])
    place = np.arange(count + 1)
    found |= {"is_first": place == 0, "is_last": place == count}
    found["is_terminal"] = (place == count) & each.terminated
    # The discount of what follows the step's action, as in dm_env: none where that ended the episode.
    found["discount"] = (place < count - each.terminated).astype(np.float32)
    return found


def _info(name: str, version: str, lengths: list[int], size: int) -> dict[str, Any]:
    split = {
        "name": SPLIT,
        "shardLengths": [str(length) for length in lengths],
        "numBytes": str(size),
        "filepathTemplate": TEMPLATE,
    }
    return {"name": name, "version": version, "fileFormat": "tfrecord", "splits": [split]}


def _publish(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True), encoding="utf-8")


def _lost(dataset: Dataset, facts: Mapping[str, Feature]) -> list[str]:
    lost = ["the bounds of spaces, the environment's id and arguments"]
    names = known_facts(dataset.episode_columns)
    lost += [f"{printable(name)} of each episode" for name in names if name not in facts]
    if dataset.attributes:
        lost.append(f"provenance ({', '.join(map(printable, dataset.attributes))})")
    return lost
