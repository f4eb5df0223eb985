"""Folders as older versions of LeRobot and Minari write them."""

import json

import h5py
import pytest

from vinci_offline.convert.conversion import write
from vinci_offline.testing.format_contract import LENGTHS


def old_minari(folder, dataset, *left_out):
    """Write a dataset as Minari did before 0.5: the metadata are attributes of the file of the episodes."""
    path = folder / "data-v0"
    write(dataset, path, kind="minari")
    metadata = path / "data" / "metadata.json"
    entries = json.loads(metadata.read_text())
    metadata.unlink()
    del entries["data_format"]
    with h5py.File(path / "data" / "main_data.hdf5", "r+") as file:
        file.attrs.update({name: value for name, value in entries.items() if name not in left_out})
    return path


def lerobot_2(folder, dataset, version="v2.1"):
    """Write a dataset as LeRobot 2 lays it out: a file an episode, and its description in lines."""
    pq = pytest.importorskip("pyarrow.parquet")
    write(dataset, folder / "new", kind="lerobot")
    path = folder / "old"
    (path / "meta").mkdir(parents=True)
    (path / "data" / "chunk-000").mkdir(parents=True)
    table = pq.read_table(folder / "new" / "data")
    first, lines = 0, []
    for number, length in enumerate(LENGTHS):
        pq.write_table(
            table.slice(first, length), path / "data" / "chunk-000" / f"episode_{number:06d}.parquet"
        )
        lines.append({"episode_index": number, "tasks": ["walk"], "length": length})
        first += length
    info = json.loads((folder / "new" / "meta" / "info.json").read_text())
    (path / "meta" / "info.json").write_text(json.dumps(info | {"codebase_version": version}))
    (path / "meta" / "episodes.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (path / "meta" / "tasks.jsonl").write_text(json.dumps({"task_index": 0, "task": "walk"}) + "\n")
    return path
