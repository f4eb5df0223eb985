"""Dataset files on a disk that fails: no wrong file appears, and HDF5 does not crash."""

from __future__ import annotations

import os
import signal
from functools import partial

import h5py
import numpy as np
import pytest
from data_examples import continuous_spec, make_columns
from failing_writes import fail_pwrite

from vinci_offline import Dataset, VinciError
from vinci_offline.data.hdf5.new_file import check_disk, new_file
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.quality.validation import validate


@pytest.fixture
def fail_write(monkeypatch):
    """Return a function that lets the n-th write fail and later ones pass, and returns the list of calls."""

    return partial(fail_pwrite, monkeypatch)


def write(path, frames="plain"):
    spec = continuous_spec()
    with DatasetWriter(path, spec, frames=frames) as writer:
        for seed in range(2):
            writer.append(make_columns(spec, [40, 60], seed), {"length": [40, 60]})


@pytest.mark.parametrize("frames", ["plain", "once"])
def test_each_write_failed_once_leaves_no_file(frames, tmp_path, fail_write):
    calls = fail_write(at=0)
    write(tmp_path / "right.h5", frames)
    count = len(calls)
    assert count > 10
    for at in range(1, count + 1):
        calls = fail_write(at)
        with pytest.raises(VinciError, match=r"d\.h5 cannot be written: Input/output error"):
            write(tmp_path / "d.h5", frames)
        assert [path.name for path in tmp_path.iterdir()] == ["right.h5"]
        assert len(calls) == at  # nothing goes to the disk any more


def test_a_file_that_is_read_back_otherwise_is_not_published(tmp_path, monkeypatch):
    """A disk may take a write and keep something else."""
    real = os.pwrite

    def pwrite(descriptor, content, place):
        lost = memoryview(content).nbytes > 1000
        return len(content) if lost else real(descriptor, content, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(VinciError, match="what was read back is not what was written"):
        write(tmp_path / "d.h5")
    assert [path.name for path in tmp_path.iterdir()] == []


def test_the_episode_table_has_a_hash(tmp_path):
    write(tmp_path / "d.h5")
    assert validate(tmp_path / "d.h5") == []
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        file["metadata/episodes/seed"] = np.arange(4)
    problems = [str(problem) for problem in validate(tmp_path / "d.h5")]
    assert len(problems) == 1
    assert "the episode table was changed after it was written" in problems[0]
    assert len(Dataset.open(tmp_path / "d.h5").episodes) == 4


def test_a_signal_within_a_call_from_hdf5_comes_after_it(tmp_path, monkeypatch):
    """KeyboardInterrupt inside such a call would crash HDF5."""
    real, sent = os.pwrite, []

    def pwrite(descriptor, content, place):
        if not sent:
            sent.append(place)
            signal.raise_signal(signal.SIGINT)
        return real(descriptor, content, place)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), new_file(tmp_path / "d.h5") as file:
        monkeypatch.setattr(os, "pwrite", pwrite)
        file["a"] = np.zeros(10)
        file.flush()
        assert sent
        check_disk(file)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_failed_write_ends_the_next_check(tmp_path, fail_write):
    with pytest.raises(OSError, match="Input/output error"), new_file(tmp_path / "d.h5") as file:
        fail_write(at=1)
        file["a"] = np.zeros(10)
        file.flush()
        check_disk(file["a"])
        pytest.fail("the check did not end the block")
