"""The verdicts of `info` agree with the results of trained agents that the script keeps."""

import json

import pytest

from vinci_offline import Dataset
from vinci_offline.data.shipped import shipped_datasets
from vinci_offline.quality.assessment import quality


@pytest.fixture
def results(verdicts):
    return json.loads(verdicts.RESULTS.read_text())


def test_no_verdict_contradicts_the_results(verdicts, results, capsys):
    assert {*shipped_datasets()} < {*results}
    assert len(results) >= 12
    assert all(len(seeds) >= 1 for known in results.values() for seeds in known["returns"].values())
    assert verdicts.show(results) == 0
    assert "12 datasets, 0 wrong verdicts" in capsys.readouterr().out


def test_results_are_of_the_shipped_data(verdicts, results):
    found = quality(Dataset.open("cartpole-mixed"))
    kept = results["cartpole-mixed"]["facts"]
    assert {*kept} == {*verdicts.FACTS}
    assert [found["rows"], found["terminals"]] == [kept["rows"], kept["terminals"]]
    assert found["return_mean"] == pytest.approx(kept["return_mean"])
    assert found["stochasticity"]["level"] == pytest.approx(kept["stochasticity"]["level"])


def test_wrong_verdicts_are_found(verdicts, results):
    known = json.loads(json.dumps(results["cartpole-mixed"]))
    assert known["returns"]["bc"]["0"] > known["returns"]["dqn"]["0"]
    known["facts"]["stochasticity"]["level"] = 0.95
    assert len(verdicts.wrong(known)) == 2
    assert "bc suits poorly, but scores 1.00" in verdicts.wrong(known)
