"""Sweeps that learn from returns: rounds of draws, the same after kills, in any number of processes."""

import json
import math
import sys

import pytest
from typer.testing import CliRunner
from written_sweeps import FakePool

import vinci_offline as vinci
from vinci_offline.cli.app import app
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.runs.sweep_directory import SweepDirectory
from vinci_offline.sweeps.search import Search
from vinci_offline.sweeps.spec import SweepSpec

SPEC = {
    "agents": ["td3bc"],
    "datasets": ["pendulum-mixed"],
    "seeds": 2,
    "steps": 10,
    "eval_every": 10,
    "samples": 20,
    "sampler": "tpe",
    "set": {"alpha": {"low": 0.1, "high": 10, "log": True}, "hidden": [[4], [8], [16]]},
}


def score(cell):
    """Return a return that is best at alpha 2 with 8 units."""
    if cell.agent == "bc":
        return -1.0
    distance = math.log(cell.settings["alpha"] / 2) ** 2 + (cell.settings["hidden"] != [8])
    return -distance - 0.01 * cell.seed


@pytest.fixture
def pool(monkeypatch):
    return FakePool(monkeypatch, score)


def draws(path):
    return SweepDirectory(path).read()["draws"]


def test_draws_gather_where_returns_are_high(pool, tmp_path):
    pytest.importorskip("optuna")
    result = vinci.sweep(SPEC, tmp_path / "sweep", progress=False)
    found = [each["values"] for each in draws(tmp_path / "sweep")]
    assert len(found) == 20
    assert len(result.cells) == len(result.results) == len(pool.trained)
    first, last = found[:8], found[12:]
    assert sum(each["hidden"] == [8] for each in last) > sum(each["hidden"] == [8] for each in first)

    def distance(values):
        return sum(abs(math.log(each["alpha"] / 2)) for each in values) / len(values)

    assert distance(last) < distance(first) / 2
    assert all(0.1 <= each["alpha"] <= 10 for each in found)


def test_the_first_draws_are_those_of_random_search(pool, tmp_path):
    pytest.importorskip("optuna")
    vinci.sweep(SPEC, tmp_path / "sweep", progress=False)
    values = {name: value for name, value in SPEC.items() if name != "sampler"}
    at_random = SweepSpec.of({**values, "samples": 8, "seeds": 1}).cells()
    found = [each["values"] for each in draws(tmp_path / "sweep")[:8]]
    assert found == [dict(cell.settings) for cell in at_random]


@pytest.mark.parametrize("stops_after", [0, 1, 7, 8, 17, 31])
def test_a_killed_search_goes_on_to_the_same_file(pool, tmp_path, stops_after):
    pytest.importorskip("optuna")
    vinci.sweep(SPEC, tmp_path / "whole", progress=False)
    pool.left = stops_after
    with pytest.raises(KeyboardInterrupt):
        vinci.sweep(SPEC, tmp_path / "killed", progress=False)
    pool.left = 1000
    pool.reverse = True  # another order of cells, as of other workers
    vinci.sweep(SPEC, tmp_path / "killed", resume=True, progress=False)
    whole, killed = ((tmp_path / name / "sweep.json").read_bytes() for name in ("whole", "killed"))
    assert whole == killed


def test_a_failed_draw_counts_as_the_worst(monkeypatch, tmp_path):
    pytest.importorskip("optuna")

    def fails_above_one(cell):
        return None if cell.settings["alpha"] > 1 else score(cell)

    FakePool(monkeypatch, fails_above_one)
    result = vinci.sweep(SPEC, tmp_path / "sweep", progress=False)
    found = [each["values"]["alpha"] for each in draws(tmp_path / "sweep")]
    assert len(found) == 20
    assert result.failures
    assert sum(each > 1 for each in found[12:]) < sum(each > 1 for each in found[:8])


def test_each_agent_and_dataset_is_searched_for_itself(pool, tmp_path):
    pytest.importorskip("optuna")
    spec = {
        **SPEC,
        "agents": ["td3bc", "bc"],
        "datasets": ["pendulum-mixed", "mountaincar-mixed"],
        "seeds": 1,
    }
    spec["set"] = {"td3bc": SPEC["set"]}
    vinci.sweep(spec, tmp_path / "sweep", progress=False)
    found = draws(tmp_path / "sweep")
    counts = {}
    for each in found:
        key = each["agent"], each["dataset"]
        counts[key] = counts.get(key, 0) + 1
    assert counts == {
        ("td3bc", "pendulum-mixed"): 20,
        ("td3bc", "mountaincar-mixed"): 20,
        ("bc", "pendulum-mixed"): 1,  # nothing to draw
        ("bc", "mountaincar-mixed"): 1,
    }


def test_a_search_may_grow(pool, tmp_path):
    pytest.importorskip("optuna")
    vinci.sweep({**SPEC, "samples": 10}, tmp_path / "sweep", progress=False)
    before = draws(tmp_path / "sweep")
    vinci.sweep({**SPEC, "samples": 14, "seeds": 3}, tmp_path / "sweep", resume=True, progress=False)
    after = draws(tmp_path / "sweep")
    assert after[:10] == before
    assert len(after) == 14


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"sampler": "random"}, "was begun with another sampler"),
        ({"round": 2}, "was begun with another round"),
        ({"sample_seed": 1}, "was begun with another sample_seed"),
        ({"set": {**SPEC["set"], "hidden": [[4], [8]]}}, "begun with other values of hidden for td3bc"),
        ({"samples": 5}, "has 10 draws: go on with as many samples or more, not 5"),
    ],
)
def test_a_search_may_not_change(pool, tmp_path, other, told):
    pytest.importorskip("optuna")
    vinci.sweep({**SPEC, "samples": 10}, tmp_path / "sweep", progress=False)
    with pytest.raises(UsageError, match=told):
        vinci.sweep({**SPEC, "samples": 10, **other}, tmp_path / "sweep", resume=True, progress=False)


@pytest.mark.parametrize(
    "damage",
    [
        {"draws": [{"agent": "td3bc"}]},
        {"draws": [{"agent": "td3bc", "dataset": "pendulum-mixed", "values": {"alpha": 1.0}}]},
        {"draws": 3},
        {"spec": {}},
    ],
)
def test_damaged_draws_are_one_line(pool, tmp_path, damage):
    pytest.importorskip("optuna")
    vinci.sweep({**SPEC, "samples": 4}, tmp_path / "sweep", progress=False)
    directory = SweepDirectory(tmp_path / "sweep")
    directory.save({**directory.read(), **damage})
    with pytest.raises(VinciError, match=r"sweep\.json is damaged"):
        vinci.sweep({**SPEC, "samples": 4}, tmp_path / "sweep", resume=True, progress=False)


def test_a_dry_run_says_what_will_come(tmp_path):
    pytest.importorskip("optuna")
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(SPEC))
    shown = CliRunner().invoke(app, ["sweep", str(path), "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "40 cells: 400 steps to take" in shown.output
    assert "32 of them, with 320 steps, are still to be drawn" in shown.output


def test_a_missing_optuna_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match=r"sampler: tpe needs Optuna: pip install 'vinci-offline\[optuna\]'"):
        vinci.sweep(SPEC, dry_run=True)


def test_random_search_imports_no_optuna(monkeypatch, pool, tmp_path):
    monkeypatch.setitem(sys.modules, "optuna", None)
    vinci.sweep({**SPEC, "sampler": "random", "samples": 10}, tmp_path / "sweep", progress=False)
    assert len(pool.trained) == 20


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sampler": "tep"}, "sampler must be random or tpe, not 'tep'; did you mean 'tpe'"),
        ({"samples": None}, "say how many draws to try, as samples: 20"),
        ({"eval_every": None}, "learns from returns: say how often to evaluate"),
        ({"steps": [10, 20]}, "give steps one value"),
        ({"set": {}}, "has nothing to draw"),
        ({"round": 0}, "round must be a whole number from 1 on"),
        ({"sampler": "random", "round": 2}, "round: belongs to sampler: tpe"),
    ],
)
def test_mistakes_are_one_line(change, told):
    content = {key: value for key, value in {**SPEC, **change}.items() if value is not None}
    with pytest.raises(UsageError, match=told) as caught:
        SweepSpec.of(content)
    assert "\n" not in str(caught.value)


def test_options_of_train_are_drawn_too():
    spec = SweepSpec.of({**SPEC, "batch_size": [32, 64], "set": {}})
    search = Search(spec)
    assert {cell.options["batch_size"] for cell in search.cells} <= {32, 64}
    assert all(each.values.keys() == {"train.batch_size"} for each in search.draws)
    assert SweepSpec.of(spec.to_json()) == spec
