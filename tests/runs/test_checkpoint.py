"""Checkpoints survive a killed writer, damage and a full disk."""

import numpy as np
import pytest

from vinci_offline import VinciError
from vinci_offline.files import drop_unfinished
from vinci_offline.runs.checkpoint import Checkpoint, latest_checkpoint, save_checkpoint


def checkpoint(step):
    return Checkpoint(step, {"critic": step, "actor": 0}, {"networks/critic/0": np.full(3, step, np.float32)})


def test_round_trip_keeps_the_newest_two(tmp_path):
    for step in (10, 200, 3000):
        save_checkpoint(tmp_path, checkpoint(step))
    assert len(list(tmp_path.glob("*"))) == 2
    latest = latest_checkpoint(tmp_path)
    assert latest.step == 3000
    assert latest.trained == {"critic": 3000, "actor": 0}
    np.testing.assert_array_equal(latest.state["networks/critic/0"], np.full(3, 3000, np.float32))


def test_damaged_checkpoint_falls_back_to_the_previous(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    path = save_checkpoint(tmp_path, checkpoint(2))
    path.write_bytes(path.read_bytes()[:100])
    assert latest_checkpoint(tmp_path).step == 1
    for each in tmp_path.glob("*.npz"):
        each.write_bytes(b"")
    with pytest.raises(VinciError, match="can be read"):
        latest_checkpoint(tmp_path)


def test_failed_save_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, checkpoint(1))

    def full_disk(path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(VinciError, match="the disk is full"):
        save_checkpoint(tmp_path, checkpoint(2))
    assert latest_checkpoint(tmp_path).step == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_no_checkpoint_is_none(tmp_path):
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_drop_unfinished_removes_only_unfinished_files(tmp_path):
    save_checkpoint(tmp_path, checkpoint(1))
    left = (tmp_path / ".step-2.npz.0a1b2c3d.tmp.npz", tmp_path / ".policy.keras.4d5e6f70.tmp.keras")
    kept = (
        tmp_path / ".hidden",
        tmp_path / "notes.tmp",
        tmp_path / ".mine.tmp",
        tmp_path / ".mine.4321.tmp.h5",
    )
    for path in (*left, *kept):
        path.write_bytes(b"half")
    drop_unfinished(tmp_path)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in kept)
    assert latest_checkpoint(tmp_path).step == 1
