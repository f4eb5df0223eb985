"""Directories of sweeps: what may be taken, what is finished, and what `compare` makes of them."""

import json

import pytest
from data_examples import discrete_spec

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.evaluation.comparison import compare
from vinci_offline.runs.sweep_directory import SweepDirectory
from vinci_offline.sweeps.checks import check_extends
from vinci_offline.sweeps.spec import SweepSpec

SPEC = {"agents": ["td3bc"], "datasets": ["one.h5"], "seeds": 2, "steps": 10, "set": {"alpha": [1, 2]}}


def begun(path, **content):
    spec = SweepSpec.of({**SPEC, **content})
    directory = SweepDirectory(path / "sweep")
    cells = [cell.to_json() for cell in spec.cells()]
    directory.claim({"spec": spec.to_json(), "cells": cells, "failures": {}}, resume=False, overwrite=False)
    return directory


def finish(directory, name, seed, score):
    """Write what a finished cell leaves, as far as `compare` reads it."""
    path = directory.cell(name).path
    path.mkdir(parents=True)
    config = {
        "agent": "td3bc",
        "hyperparameters": {"alpha": 1},
        "environment": json.loads(discrete_spec().to_json()),
        "steps": 10,
        "training": {"seed": seed},
    }
    (path / "config.json").write_text(json.dumps(config))
    (path / "dataset.json").write_text(json.dumps({"files": ["one.h5"], "hash": "abc"}))
    (path / "evaluations.csv").write_text(f"step,return_mean,episodes\n10,{score},5\n")
    directory.finish(name, {"planned": 10, "steps": 10})


def test_finished_cells_are_compared_and_others_named(tmp_path):
    directory = begun(tmp_path)
    with pytest.raises(UsageError, match="a sweep without a finished cell"):
        compare([directory.path])
    for seed in (0, 1):
        finish(directory, f"one-td3bc-alpha=1.0-seed-{seed}", seed, 4 + seed)
    with pytest.warns(match="2 cells of the sweep, not finished, left out"):
        groups, _ = compare([directory.path])
    assert [group.scores.tolist() for group in groups] == [[4, 5]]


def test_a_cell_is_finished_for_the_steps_it_was_planned_for(tmp_path):
    directory = begun(tmp_path)
    name = "one-td3bc-alpha=1.0-seed-0"
    assert directory.result(name) is None
    finish(directory, name, 0, 1)
    assert directory.result(name, 10) == {"planned": 10, "steps": 10}
    assert directory.result(name, 20) is None


def test_a_sweep_is_taken_once(tmp_path):
    directory = begun(tmp_path)
    with pytest.raises(
        UsageError, match="exists, a sweep: --resume goes on with it, --overwrite replaces it"
    ):
        begun(tmp_path)
    finish(directory, "one-td3bc-alpha=1.0-seed-0", 0, 1)
    directory.claim({"spec": {}, "cells": [], "failures": {}}, resume=False, overwrite=True)
    assert directory.read()["cells"] == []
    assert not list((directory.path / "cells").iterdir())


def test_a_folder_that_is_no_sweep_is_never_cleared(tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "thesis.tex").touch()
    with pytest.raises(UsageError, match="exists and is no sweep"):
        SweepDirectory(tmp_path / "sweep").check_claim(resume=False, overwrite=True)


@pytest.mark.parametrize("name", ["../../elsewhere", "/etc", ".", "", "a/b"])
def test_names_of_cells_lead_nowhere(tmp_path, name):
    directory = begun(tmp_path)
    content = directory.read()
    content["cells"][0]["name"] = name
    directory.save(content)
    with pytest.raises(VinciError, match=r"sweep\.json is damaged"):
        directory.read()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"cells": 3}'])
def test_a_damaged_file_is_one_line(tmp_path, text):
    directory = begun(tmp_path)
    (directory.path / "sweep.json").write_text(text)
    with pytest.raises(VinciError, match=r"sweep\.json is damaged: restore it, or sweep again"):
        directory.read()


@pytest.mark.parametrize(
    "more",
    [
        {"seeds": 5},
        {"steps": 20},
        {"set": {"alpha": [1, 2, 3]}},
        {"agents": ["td3bc", "iql"], "set": {"td3bc": {"alpha": [1, 2]}}},
    ],
)
def test_a_sweep_may_grow(tmp_path, more):
    directory = begun(tmp_path)
    check_extends(directory, SweepSpec.of({**SPEC, **more}).cells())


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"seeds": 1}, "has the cell one-td3bc-alpha=1.0-seed-1, which the spec no longer has"),
        ({"set": {"alpha": [1]}}, "may have more cells and more steps, not fewer"),
        ({"batch_size": 64}, "with another batch_size: give the spec that it was begun with"),
        ({"steps": 5}, "with 10 steps: go on with as many or more, not 5"),
    ],
)
def test_a_sweep_may_not_change(tmp_path, other, told):
    directory = begun(tmp_path)
    with pytest.raises(UsageError, match=told):
        check_extends(directory, SweepSpec.of({**SPEC, **other}).cells())
