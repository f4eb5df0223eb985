"""A sweep that goes on does not mix data: a dataset that changed since a cell learned from it is refused."""

import shutil

import pytest
from written_sweeps import FakePool

import vinci_offline as vinci
from vinci_offline.errors import UsageError


@pytest.fixture
def begun(monkeypatch, tmp_path):
    """Return a spec of two datasets, of which a sweep has finished one of four cells."""
    pool = FakePool(monkeypatch, lambda cell: 1.0)
    whole = vinci.Dataset.open("pendulum-mixed")
    for number, name in enumerate(("one", "two")):
        whole.select_episodes(range(number, number + 3)).save(tmp_path / f"{name}.h5")
    files = [str(tmp_path / "one.h5"), str(tmp_path / "two.h5")]
    spec = {"agents": ["bc"], "datasets": files, "seeds": 2, "steps": 10}
    pool.left = 1
    with pytest.raises(KeyboardInterrupt):
        vinci.sweep(spec, tmp_path / "sweep", progress=False)
    pool.left = 1000
    assert pool.trained == ["one-bc-seed-0"]
    return spec, pool


def test_changed_data_of_a_finished_cell_are_refused(begun, tmp_path):
    spec, pool = begun
    vinci.Dataset.open("pendulum-mixed").select_episodes(range(7, 9)).save(
        tmp_path / "one.h5", overwrite=True
    )
    for dry_run in (True, False):
        with pytest.raises(UsageError, match=r"one\.h5 has changed since the cell one-bc-seed-0 ") as caught:
            vinci.sweep(spec, tmp_path / "sweep", resume=True, dry_run=dry_run, progress=False)
    assert "\n" not in str(caught.value)
    assert len(pool.trained) == 1
    # What the message says helps.
    shutil.rmtree(tmp_path / "sweep" / "cells" / "one-bc-seed-0")
    result = vinci.sweep(spec, tmp_path / "sweep", resume=True, progress=False)
    assert len(result.results) == 4


def test_data_that_no_cell_learned_from_may_change(begun, tmp_path):
    spec, _ = begun
    vinci.Dataset.open("pendulum-mixed").select_episodes(range(7, 9)).save(
        tmp_path / "two.h5", overwrite=True
    )
    result = vinci.sweep(spec, tmp_path / "sweep", resume=True, progress=False)
    assert len(result.results) == 4
