"""Checkpoints: the whole training state in one NumPy archive, published whole and checked when it is read."""

from __future__ import annotations

import hashlib
import json
import math
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from vinci_offline.errors import VinciError, VinciWarning
from vinci_offline.files import make_folder, published
from vinci_offline.recorded import RecordedFile, recorded
from vinci_offline.runs.archive import Archive, ArrayLayout, open_archive
from vinci_offline.types import Array

_META = "meta"
_META_BYTES = 2**26
_DIGEST = "sha256"
_DUE = "evaluation_due"
_KEPT = 2
_NAME = re.compile(r"step-(\d{10,18})\.npz")
_MOST = 2**53
"""The greatest count: JSON readers keep integers exact up to here."""


@dataclass(frozen=True)
class Checkpoint:
    """The state after a global step.

    Attributes:
        step: the last global step taken.
        trained: steps taken by each role so far, ``{"critic": …, "actor": …}``.
        state: every variable's value by name.
        standings: the best scores so far by the name of the score, as JSON values.
        evaluation_due: True if the evaluation of this step is still to come.
    """

    step: int
    trained: Mapping[str, int]
    state: Mapping[str, Array]
    standings: Mapping[str, Any] = field(default_factory=dict)
    evaluation_due: bool = False


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint and delete all but the newest two. If the last is damaged, one is left to resume from.

    Those of later steps go too: the run has passed over them, because they could not be read.

    Raises:
        VinciError: the disk is full. Earlier checkpoints stay.
    """
    path = _write(folder, checkpoint)
    earlier = [step for step in _paths(folder) if step <= checkpoint.step]
    _delete_all_but(folder, earlier[:_KEPT])
    return path


def replace_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then delete all others of the folder, later steps too.

    Raises:
        VinciError: the disk is full. The earlier checkpoint stays.
    """
    path = _write(folder, checkpoint)
    _delete_all_but(folder, [checkpoint.step])
    return path


def latest_checkpoint(folder: Path, expected: Mapping[str, ArrayLayout] | None = None) -> Checkpoint | None:
    """Read the newest checkpoint that is sound, with a warning for each that is not; None where there is none.

    Args:
        folder: the folder of checkpoints.
        expected: the arrays that the state must consist of; None takes any.

    Raises:
        VinciError: no checkpoint is sound.
    """
    unsound: dict[Path, str] = {}
    for step, path in _paths(folder).items():
        try:
            found = _read(path, step, expected)
        except Exception as error:  # noqa: BLE001 - damage raises errors of any kind, and all mean the same
            unsound[path] = _reason(error)
            continue
        for each, reason in unsound.items():
            told = f"{each} cannot be used ({reason}): {path.name} before it is"
            warnings.warn(told, VinciWarning, stacklevel=2)
        return found
    if unsound:
        newest, reason = next(iter(unsound.items()))
        raise VinciError(
            f"no checkpoint in {folder} can be used ({newest.name}: {reason}): restore one from a copy, or train "
            "again with --overwrite"
        )
    return None


def _paths(folder: Path) -> dict[int, Path]:
    """Return the checkpoints by their steps, the newest first."""
    found = {int(match[1]): path for path in folder.glob("step-*") if (match := _NAME.fullmatch(path.name))}
    return dict(sorted(found.items(), reverse=True))


def _delete_all_but(folder: Path, kept: list[int]) -> None:
    for step, path in _paths(folder).items():
        if step not in kept and not path.is_dir():
            path.unlink(missing_ok=True)


def _write(folder: Path, checkpoint: Checkpoint) -> Path:
    make_folder(folder)
    path = folder / f"step-{checkpoint.step:010d}.npz"
    state = {name: np.asarray(values, order="C") for name, values in checkpoint.state.items()}
    meta: dict[str, Any] = {
        "step": checkpoint.step,
        "trained": dict(checkpoint.trained),
        "standings": dict(checkpoint.standings),
        "arrays": {name: _listed(values) for name, values in state.items()},
        **({_DUE: True} if checkpoint.evaluation_due else {}),
    }
    meta[_DIGEST] = _digest_of_json(meta)
    with published(path) as temporary, recorded(RecordedFile(temporary)) as file:
        arrays: dict[str, Any] = {_META: np.array(json.dumps(meta)), **state}
        np.savez(file, **arrays)
    return path


def _read(path: Path, step: int, expected: Mapping[str, ArrayLayout] | None) -> Checkpoint:
    """Read a checkpoint. Any exception means that it is damaged."""
    with open_archive(path) as archive:
        layouts = archive.layouts
        meta = _read_meta(archive, layouts.pop(_META))
        trained, standings = _counters(meta, step)
        listed = meta.get("arrays")
        if listed is not None:
            _check_list(listed, layouts)
        if expected is not None and dict(expected) != layouts:
            raise ValueError("it belongs to other networks than this run's")
        state = {name: archive.read(name) for name in layouts}
    for name, values in state.items():
        if listed is not None and listed[name] != _listed(values):
            raise ValueError(f"the array {name} differs from its digest")
    return Checkpoint(step, trained, state, standings, evaluation_due=meta.get(_DUE) is True)


def _read_meta(archive: Archive, layout: ArrayLayout) -> dict[str, Any]:
    if layout.shape or layout.dtype.kind != "U" or layout.dtype.itemsize > _META_BYTES:
        raise ValueError(f"its {_META} is no text")
    meta = json.loads(str(archive.read(_META)), parse_constant=_refuse_constant)
    if not isinstance(meta, dict):
        raise TypeError(f"its {_META} is no JSON object")
    # Checkpoints of earlier versions have neither a list of arrays nor a digest.
    digest = meta.pop(_DIGEST, None)
    if ("arrays" in meta) != (digest is not None) or (digest is not None and digest != _digest_of_json(meta)):
        raise ValueError(f"its {_META} differs from its digest")
    return meta


def _counters(meta: Mapping[str, Any], step: int) -> tuple[dict[str, int], dict[str, Any]]:
    """Return the steps of each role and the standings, after a check of all."""
    if not _is_count(meta["step"]) or meta["step"] != step:
        raise ValueError(f"it is of step {str(meta['step'])[:40]}, and its name says {step}")
    trained, standings = meta["trained"], meta.get("standings", {})
    if not isinstance(trained, dict) or not all(map(_is_count, trained.values())):
        raise ValueError("its steps of each role are no counts")
    if not isinstance(standings, dict) or not all(_is_standing(each, step) for each in standings.values()):
        raise ValueError("its best scores are no scores")
    return trained, standings


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def _is_standing(value: Any, step: int) -> bool:
    if not isinstance(value, dict) or value.keys() != {"score", "step", "since"}:
        return False
    score = value["score"]
    scored = score is None or (isinstance(score, int | float) and not isinstance(score, bool))
    counted = _is_count(value["step"]) and _is_count(value["since"])
    return scored and counted and value["step"] <= step and (score is None or math.isfinite(score))


def _check_list(listed: Any, layouts: Mapping[str, ArrayLayout]) -> None:
    """Compare the list of arrays with the headers, before the arrays are read."""
    for name, layout in layouts.items():
        entry = listed.get(name)
        if entry is None:
            raise ValueError(f"the array {name[:80]!r} is not on its list")
        if (entry["dtype"], entry["shape"]) != (layout.dtype.str, list(layout.shape)):
            raise ValueError(f"the array {name[:80]!r} has another type or shape than on its list")
    if missing := sorted(listed.keys() - layouts.keys()):
        raise ValueError(f"{len(missing)} of its arrays are missing, such as {missing[0][:80]!r}")


def _listed(values: Array) -> dict[str, Any]:
    """Return an array's entry in the list."""
    digest = hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
    return {"dtype": values.dtype.str, "shape": list(values.shape), _DIGEST: digest}


def _digest_of_json(meta: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"its {_META} holds {name}")


def _reason(error: Exception) -> str:
    """Return an error's text in one line; texts from the file are cut."""
    text = " ".join(str(error).split())
    if not isinstance(error, ValueError) or not text:
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[:200])
