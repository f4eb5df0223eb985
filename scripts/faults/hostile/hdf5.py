"""HDF5 files: our own, and those of other tools."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from hostile.frame import Reading, attack, call, command
from vinci_offline import Dataset
from vinci_offline.spec import BoxSpace, EnvironmentSpec


def box(size: int) -> BoxSpace:
    return BoxSpace((size,), "float32", np.full(size, -1, np.float32), np.full(size, 1, np.float32))


def sound(path: Path, rows: int = 1000) -> Path:
    """Write a sound file of 1,000 rows."""
    ends = np.arange(1, rows + 1) % 500 == 0
    chance = np.random.default_rng(0)
    columns = {
        "observations": chance.uniform(-1, 1, (rows, 3)).astype(np.float32),
        "actions": chance.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "rewards": chance.normal(size=rows).astype(np.float32),
        "next_observations": chance.uniform(-1, 1, (rows, 3)).astype(np.float32),
        "terminals": ends,
        "timeouts": np.zeros(rows, np.bool_),
    }
    spec = EnvironmentSpec(box(3), box(2))
    Dataset.from_columns(columns, spec).save(path)
    return path


def rows_of(path: Path) -> int:
    return len(Dataset.open(path).to_pandas())


@attack
def control_sound_file(folder: Path) -> Reading:
    """A sound file, to show that the frame lets it pass."""
    return call(rows_of, sound(folder / "sound.h5"), right=(1000).__eq__)


@attack
def lattice_of_groups(folder: Path) -> Reading:
    """40 groups of 2 links to the next group each: 2**40 paths."""
    with h5py.File(sound(folder / "lattice.h5"), "r+") as file:
        below = file.create_group("infos")
        for _ in range(7):
            group = file.create_group(f"g{_}")
            for link in range(8):
                below[f"l{link}"] = group
            below = group
        below["x"] = np.zeros(1000, "f4")
    return command("validate", folder / "lattice.h5")
