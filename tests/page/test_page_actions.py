"""Actions of the data against those of policies, on the page."""

import numpy as np
import pytest
from data_examples import continuous_spec, discrete_spec, make_columns
from html_pages import Page
from written_runs import run

from vinci_offline.data.dataset import Dataset
from vinci_offline.evaluation.members import members
from vinci_offline.page import actions
from vinci_offline.page.actions import actions_of
from vinci_offline.page.report import report
from vinci_offline.policies.callable_policy import own_policy


@pytest.fixture
def policies(monkeypatch):
    """Policies by the names of runs' agents, in place of Keras files."""
    known = {}

    def load(path, spec):
        return own_policy(known[path.name.split("-")[0]], spec)

    monkeypatch.setattr(actions, "load_policy", load)
    return known


def runs_on(folder, dataset, names, seeds=1):
    found = {}
    for name in names:
        for seed in range(seeds):
            path = run(folder, name, seed, [1], files=[str(dataset.path)], hash_=dataset.hash)
            (path / "policy.keras").write_bytes(b"stands for a policy")
            found.setdefault(name, []).append(path)
    return {name: members(paths) for name, paths in found.items()}


def shown_of(runs):
    return actions_of(runs, {name: place for place, name in enumerate(runs)})


def saved(path, spec, actions_=None, lengths=(40, 40)):
    columns = make_columns(spec, list(lengths))
    if actions_ is not None:
        columns["actions"] = actions_
    return Dataset.from_columns(columns, spec, {"length": list(lengths)}).save(path)


def test_each_dimension_has_shares_of_the_data_and_of_each_policy(tmp_path, policies):
    spec = continuous_spec()
    size = spec.action_space.shape[0]
    low, high = (float(end[0]) for end in (spec.action_space.low, spec.action_space.high))
    recorded = np.full((80, size), low, np.float32)
    recorded[:20] = high
    dataset = saved(tmp_path / "d.h5", spec, recorded)
    policies["bc"] = lambda observation: np.full(size, high, np.float32)
    found = shown_of(runs_on(tmp_path, dataset, ["bc"]))
    assert found.notes == []
    assert len(found.charts) == size
    data, policy = found.charts[0]["series"]
    assert (found.charts[0]["steps"][0], found.charts[0]["steps"][-1]) == pytest.approx((low, high))
    assert (data["place"], data["mean"][0], data["mean"][-2:]) == (-1, 0.75, [0.25, 0.25])
    assert (policy["name"], policy["mean"][0], policy["mean"][-1]) == ("bc", 0, 1)


def test_choices_are_bars_side_by_side(tmp_path, policies):
    spec = discrete_spec()
    space = spec.action_space
    recorded = np.full(80, space.start, np.int64)
    recorded[:20] = space.start + 1
    dataset = saved(tmp_path / "d.h5", spec, recorded)
    policies["bc"] = lambda observation: space.start + 1
    policies["iql"] = lambda observation: space.start
    (chart,) = shown_of(runs_on(tmp_path, dataset, ["bc", "iql"])).charts
    assert chart["steps"][:3] == pytest.approx([space.start - 0.28, space.start, space.start + 0.28])
    data, bc, iql = (each["mean"] for each in chart["series"])
    assert (data[0], data[3], bc[1], bc[4], iql[2], iql[5]) == (0.75, 0.25, 0, 1, 1, 0)
    assert data[1] is None
    assert len(data) == 3 * space.n


def test_many_seeds_and_dimensions_are_not_all_shown(tmp_path, policies, monkeypatch):
    monkeypatch.setattr(actions, "MOST_DIMENSIONS", 1)
    spec = continuous_spec()
    dataset = saved(tmp_path / "d.h5", spec)
    size, asked = spec.action_space.shape[0], []
    policies["bc"] = lambda observation: asked.append(0) or np.zeros(size, np.float32)
    found = shown_of(runs_on(tmp_path, dataset, ["bc"], seeds=4))
    assert found.notes == [
        "the first 3 seeds of each are shown",
        f"the first 1 of {size} dimensions are shown",
    ]
    assert len(asked) == 3 * 80


def test_of_large_observations_fewer_are_taken(tmp_path, policies, monkeypatch):
    monkeypatch.setattr(actions, "MOST_BYTES", 500)
    spec = continuous_spec()
    size, asked = spec.action_space.shape[0], []
    policies["bc"] = lambda observation: asked.append(observation) or np.zeros(size, np.float32)
    found = shown_of(runs_on(tmp_path, saved(tmp_path / "d.h5", spec), ["bc"]))
    assert 0 < len(asked) == 500 // asked[0].nbytes < 80
    assert f"{len(asked):,} rows" in found.hint


@pytest.mark.parametrize("gone", [True, False])
def test_data_that_are_gone_or_others_are_told(tmp_path, policies, gone):
    dataset = saved(tmp_path / "d.h5", continuous_spec())
    runs = runs_on(tmp_path, dataset, ["bc"])
    dataset.path.unlink()
    if not gone:
        saved(tmp_path / "d.h5", continuous_spec(), lengths=[3])
    found = shown_of(runs)
    assert found.charts == []
    assert ("is gone" if gone else "is not what") in found.notes[0]
    report([each.path for each in runs["bc"]], tmp_path / "page.html")
    assert "Not shown: " in Page(tmp_path / "page.html").source


def test_a_policy_that_cannot_be_loaded_is_told(tmp_path):
    dataset = saved(tmp_path / "d.h5", continuous_spec())
    found = shown_of(runs_on(tmp_path, dataset, ["bc"]))
    (chart, *_) = found.charts
    assert [each["name"] for each in chart["series"]] == ["data"]
    assert "policy.keras" in found.notes[0]


def test_runs_without_policies_have_no_such_part(tmp_path):
    found = shown_of({"bc": members([run(tmp_path, "bc", 0, [1])])})
    assert (found.charts, found.notes) == ([], [])
