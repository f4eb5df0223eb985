"""Damages of scripts/faults/damaged_checkpoints.py: each is passed over, or reads as the very same checkpoint."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from vinci_offline.runs.archive import ArrayLayout
from vinci_offline.runs.checkpoint import Checkpoint, save_checkpoint

FAULTS = Path(__file__).parents[2] / "scripts" / "faults"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(FAULTS)
    yield importlib.import_module("damaged_checkpoints")
    for name in ("damaged_checkpoints", "limited_process", "mutate_files"):
        sys.modules.pop(name, None)


def test_damaged_checkpoints_are_passed_over(tmp_path, script):
    made = [
        Checkpoint(
            step,
            {"critic": step, "actor": step},
            {"networks/actor/0": np.full((3, 2), step, np.float32), "optimizers/actor/0": np.array(step, np.int64)},
            {"return": {"score": 1.5, "step": step, "since": 0}},
        )
        for step in (10, 20)
    ]  # fmt: skip
    newest = [save_checkpoint(tmp_path, each) for each in made][-1]
    content = newest.read_bytes()
    known = dict(zip(("passed over", "read right"), map(script.plain, made), strict=True))
    expected = {name: ArrayLayout(values.dtype, values.shape) for name, values in made[0].state.items()}
    kinds = set()
    for seed in range(120):
        kind, damaged = script.damage(content, seed)
        newest.write_bytes(damaged)
        outcome, what = script.outcome_of(tmp_path, expected, known)
        assert outcome in known, (seed, kind, what)
        kinds.add(kind)
    assert len(kinds) > 20
