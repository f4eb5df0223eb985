"""Estimates against online returns: what a run keeps, and its picture on the page."""

import hashlib
import json
import math

import pytest
from html_pages import Page
from written_runs import run

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.evaluation.estimates import estimate
from vinci_offline.evaluation.findings import Estimate, Estimates, Refused
from vinci_offline.evaluation.kept import FILE, Basis, keep, kept
from vinci_offline.evaluation.members import members
from vinci_offline.page.estimates import pictures
from vinci_offline.page.report import report

OPTIONS = {"gamma": 1.0, "interval": "t", "stochastic": False, "behaviour": "logged"}


class Data:
    """What `keep` reads of a dataset."""

    path, hash = "/data/logs.h5", "feed56789abc"


def told(value, low=math.nan, high=math.nan):
    return Estimate(value, low, high, 100.0, 0.1, 1.0, True)


def estimates(**methods):
    return Estimates(told(0.0), methods, None, None, 9, (), 0.95)


def kept_run(folder, agent, seed, online, value, **options):
    """Write a run with an evaluation of 9 episodes and an estimate by wis."""
    path = run(folder, agent, seed, [])
    mean, deviation = online
    (path / "evaluations.csv").write_text(f"step,return_mean,return_std,episodes\n50,{mean},{deviation},9\n")
    (path / "policy.keras").write_bytes(path.name.encode())
    methods = estimates(wis=told(value, value - 1, value + 1), ipw=Refused("no"))
    keep(path, Data(), methods, **{**OPTIONS, **options})
    return path


def test_estimates_are_kept_by_method_data_and_options(tmp_path):
    path = kept_run(tmp_path, "bc", 0, (1, 1), 5.0)
    basis = Basis("wis", "logs feed5678", 1.0, "95% interval by t")
    found, refused = kept(path)
    assert (found.basis, found.value, found.low, found.high) == (basis, 5.0, 4.0, 6.0)
    assert (refused.basis.method, refused.warning) == ("ipw", "no")
    assert math.isnan(refused.value)
    keep(path, Data(), estimates(wis=told(7.0), dice=told(8.0)), **OPTIONS)
    keep(path, Data(), estimates(wis=told(9.0)), **{**OPTIONS, "gamma": 0.5})
    found = [each for each in kept(path) if each.basis.method != "ipw"]
    assert [(each.basis.method, each.basis.gamma, each.value) for each in found] == [
        ("wis", 1.0, 7.0),
        ("dice", 1.0, 8.0),
        ("wis", 0.5, 9.0),
    ]
    assert json.loads((path / FILE).read_text())["estimates"][0]["methods"]["ipw"] == {"refused": "no"}
    (path / "policy.keras").write_bytes(b"trained on")
    assert kept(path) == []  # they judged another policy
    keep(path, Data(), estimates(wis=told(1.0)), **OPTIONS)
    assert [each.value for each in kept(path)] == [1.0]
    (path / FILE).write_text("[]")
    with pytest.raises(VinciError, match="does not hold estimates"):
        kept(path)


def test_fits_of_compare_are_estimates_if_they_judge_this_policy(tmp_path):
    path = kept_run(tmp_path, "bc", 0, (1, 1), 5.0)
    (path / "fqe").mkdir()
    for seed, content in enumerate((path.name.encode(), b"another")):
        fit = run(
            path / "fqe",
            "fqe",
            seed,
            [],
            training={"gamma": 0.9},
            policy_hash=hashlib.sha256(content).hexdigest(),
        )
        (fit / "metrics.csv").write_text("step,value/initial,value/standard_error\n100,3,0.5\n")
    (found,) = [each for each in kept(path) if each.basis.method == "fqe"]
    assert found.basis == Basis(
        "fqe", "abc abc12345", 0.9, "95% interval over first states, 100 steps of fitting"
    )
    assert (found.value, found.low, found.high) == pytest.approx((3, 2.02, 3.98))


def test_a_run_is_a_dot_with_both_intervals(tmp_path):
    runs = [
        kept_run(tmp_path, agent, seed, (10 * value, 3), value)
        for agent, seed, value in [("bc", 0, 1.0), ("bc", 1, 2.0), ("iql", 0, 3.0)]
    ]
    (shown,) = pictures({"bc": members(runs[:2]), "iql": members(runs[2:])}, {"bc": 0, "iql": 1})
    assert shown["verdict"].startswith(
        "rank correlation with the returns of 3 runs: 1.00, regret@1 0, regret@2 0"
    )
    first, _, last = shown["points"]
    # Student with 8 degrees of freedom: 2.306 * 3 / sqrt(9) = 2.306.
    assert (first["estimate_interval"], first["online_interval"]) == ("0 to 2", "7.694 to 12.31")
    assert (first["name"], last["place"]) == ("bc, seed 0", 1)
    assert first["x"] < last["x"]
    assert first["y"] > last["y"]  # upwards
    assert first["across"][0] < first["x"] < first["across"][1]
    assert first["up"][0] > first["y"] > first["up"][1]
    # Both axes are equal, so a place on the diagonal is as far right as it is high.
    assert {tick["text"]: tick["at"] - 58 for tick in shown["x"]} == pytest.approx(
        {tick["text"]: 244 - tick["at"] for tick in shown["y"]}
    )


def test_runs_whose_estimate_was_refused_are_counted(tmp_path):
    paths = [kept_run(tmp_path, "bc", seed, (10, 3), 1.0) for seed in (0, 1, 2)]
    for path in paths[1:]:
        keep(path, Data(), estimates(wis=Refused("no")), **OPTIONS)
    (shown,) = pictures({"bc": members(paths)}, {"bc": 0})
    assert len(shown["points"]) == 1
    assert shown["refused"] == "2 runs not drawn: the data cannot tell how good the policy is."


def test_discounted_estimates_have_no_diagonal(tmp_path):
    path = kept_run(tmp_path, "bc", 0, (10, 3), 1.0, gamma=0.9)
    (shown,) = pictures({"bc": members([path])}, {"bc": 0})
    assert (shown["diagonal"], shown["discounted"]) == (None, True)
    assert shown["verdict"].startswith("nobody knows")


def test_the_page_has_the_picture(tmp_path):
    paths = [kept_run(tmp_path, "bc", seed, (seed, 1), 2.0 * seed) for seed in (0, 1)]
    report(paths, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    assert len(page.all("circle")) == 2
    assert ["bc, seed 1", "2", "1 to 3", "1", "0.2313 to 1.769", ""] in page.rows
    assert "wis on logs feed5678, gamma 1" in page.source


def test_only_a_run_directory_keeps_estimates(tmp_path):
    with pytest.raises(UsageError, match="keep=True keeps estimates in a run directory, and random is none"):
        estimate("random", "pendulum-mixed", keep=True)
