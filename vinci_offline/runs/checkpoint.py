"""Checkpoints: the whole training state in one NumPy archive, published whole."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.errors import VinciError
from vinci_offline.files import published
from vinci_offline.types import Array

_META = "meta"
_KEPT = 2


@dataclass(frozen=True)
class Checkpoint:
    """The state after a global step.

    Attributes:
        step: the last global step taken.
        trained: steps taken by each role so far, ``{"critic": …, "actor": …}``.
        state: every variable's value by name.
        standings: the best scores so far by the name of the score, as JSON values.
    """

    step: int
    trained: Mapping[str, int]
    state: Mapping[str, Array]
    standings: Mapping[str, Any] = field(default_factory=dict)


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and delete all but the newest two. If the last is damaged, one is left to resume from.

    Raises:
        VinciError: the disk is full. Earlier checkpoints stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{checkpoint.step:010d}.npz"
    meta: dict[str, Any] = {
        "step": checkpoint.step,
        "trained": dict(checkpoint.trained),
        "standings": dict(checkpoint.standings),
    }
    with published(path) as temporary:
        arrays: dict[str, Any] = {_META: np.array(json.dumps(meta)), **checkpoint.state}
        np.savez(temporary, **arrays)
    for old in sorted(folder.glob("step-*.npz"))[:-_KEPT]:
        old.unlink()
    return path


def replace_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then delete all others of the folder, later steps too.

    Raises:
        VinciError: the disk is full. The earlier checkpoint stays.
    """
    path = save_checkpoint(folder, checkpoint)
    for old in folder.glob("step-*.npz"):
        if old != path:
            old.unlink()
    return path


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """Read the newest checkpoint that is not damaged; None where there is no checkpoint.

    Raises:
        VinciError: all checkpoints are damaged.
    """
    paths = sorted(folder.glob("step-*.npz"), reverse=True)
    for path in paths:
        try:
            return _load(path)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            continue
    if paths:
        raise VinciError(f"no checkpoint in {folder} can be read: train again with --overwrite")
    return None


def _load(path: Path) -> Checkpoint:
    # Opened here, because np.load leaves a damaged file open.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        meta = json.loads(str(archive[_META]))
        state = {name: archive[name] for name in archive.files if name != _META}
    trained = {role: int(n) for role, n in meta["trained"].items()}
    return Checkpoint(int(meta["step"]), trained, state, meta.get("standings", {}))
