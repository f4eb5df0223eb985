"""The fault script finds damage and differences, and none in a run that was killed."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vinci_offline as vinci

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "faults" / "kill_training.py"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    settings = {"hidden": (4,)}
    vinci.train("pendulum-mixed", "bc", settings=settings, steps=2, output=folder, progress=False)
    return folder


def test_a_run_equals_its_copy(kill_training, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    assert list(kill_training.unreadable(copy)) == []
    assert list(kill_training.differences(run, copy)) == []
    names = {path.name for path in kill_training.published(run)}
    assert {"policy.keras", "actor.keras", "step-0000000002.npz"} <= names


def test_one_bit_in_a_checkpoint_is_seen(kill_training, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    path = next(copy.rglob("step-*.npz"))
    arrays = kill_training.arrays(path)
    name = next(name for name, value in arrays.items() if value.dtype == np.float32 and value.size)
    arrays[name].reshape(-1).view(np.uint32)[0] ^= 1
    np.savez(path, **arrays)
    assert list(kill_training.differences(run, copy)) == [f"checkpoints/{path.name}: {name} differs"]


def test_other_weights_and_missing_files_are_seen(kill_training, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.copy(copy / "policy.keras", copy / "networks" / "actor.keras")
    (copy / "policy.keras").unlink()
    found = list(kill_training.differences(run, copy))
    assert "policy.keras is missing" in found
    assert any(each.startswith("networks/actor.keras: ") for each in found)


def test_a_file_cut_short_is_seen(kill_training, run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "copy")
    path = next(copy.rglob("step-*.npz"))
    path.write_bytes(path.read_bytes()[:-30])
    assert [each.split(" ")[0] for each in kill_training.unreadable(copy)] == [f"checkpoints/{path.name}"]


@pytest.mark.slow
def test_three_kills_leave_no_trace(tmp_path):
    options = ["--kills", "3", "--checkpoint-every", "20", "--", "--agent", "td3bc"]
    training = ["--steps", "300", "--set", "hidden=16x16"]
    result = subprocess.run(
        [sys.executable, SCRIPT, "pendulum-mixed", *options, *training], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.startswith("uninterrupted: ")
    assert "\n3 kills of " in result.stdout
