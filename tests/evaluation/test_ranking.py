"""`compare --by`: the episodes that judge, fits that are kept, and what a ranking proved to be worth."""

import json
from pathlib import Path

import pytest
from data_examples import discrete_spec, make_columns
from typer.testing import CliRunner
from written_runs import run

from vinci_offline import Dataset, VinciError
from vinci_offline.cli.app import app
from vinci_offline.errors import UsageError
from vinci_offline.evaluation.judging import Judge
from vinci_offline.evaluation.members import members
from vinci_offline.evaluation.ranking import rank
from vinci_offline.policies.stored_file import file_hash
from vinci_offline.training import trainer
from vinci_offline.training.held_out import split_episodes

JUDGE = Judge(steps=100, gamma=0.9, seed=3, progress=False)


@pytest.fixture
def data(tmp_path):
    """Return a file of ten episodes."""
    dataset = Dataset.from_columns(make_columns(discrete_spec(), [3] * 10), discrete_spec())
    return Dataset.open(dataset.save(tmp_path / "data.h5").path)


@pytest.fixture
def runs(tmp_path, data):
    """Return a function that writes three runs on ``data``; a policy's file tells its value to `fits`."""
    folder = tmp_path / "runs"
    folder.mkdir()

    def write(values, returns, **training):
        paths = []
        for seed, (value, mean) in enumerate(zip(values, returns, strict=True)):
            means = [] if mean is None else [mean]
            paths.append(
                run(folder, "bc", seed, means, files=[str(data.path)], hash_=data.hash, training=training)
            )
            (paths[-1] / "policy.keras").write_text(str(value))
        return paths

    return write


@pytest.fixture
def fits(monkeypatch):
    """Stand in for training: the value of a policy is the number in its file. Return the calls."""
    calls = []

    def train(dataset, agent, *, output, settings, steps, **options):
        calls.append({"rows": len(dataset), "agent": agent, "steps": steps, **settings, **options})
        value = float(Path(settings["evaluation_policy"]).read_text())
        output.mkdir(parents=True, exist_ok=True)
        (output / "metrics.csv").write_text(f"step,value/initial,value/standard_error\n{steps},{value},0.5\n")
        return trainer_result

    trainer_result = type("Result", (), {"interrupted": False})()
    monkeypatch.setattr(trainer, "train", train)
    return calls


def test_runs_are_ranked_on_the_same_episodes_seed_and_settings(runs, fits):
    (found,) = rank(
        runs([5, 7, 6], [50, 80, 90], validation=0.3), steps=100, gamma=0.9, seed=3, progress=False
    )
    assert [ranked.value for ranked in found.runs] == [7, 6, 5]
    assert {call["rows"] for call in fits} == {9}  # three held-out episodes of three steps
    assert {(call["agent"], call["steps"], call["gamma"], call["seed"]) for call in fits} == {
        ("fqe", 100, 0.9, 3)
    }
    assert [call["stochastic"] for call in fits] == [False] * 3  # as the last evaluation acted
    # Ranks 3, 2, 1 and 2, 3, 1: 1 - 6 (1 + 1 + 0) / (3 (9 - 1)) = 0.5.
    assert found.rank_correlation == pytest.approx(0.5)
    assert found.regret == {1: 10, 2: 0}
    assert found.episodes == 3
    assert found.verdict.endswith("3 runs are too few to trust these numbers")


def test_a_fit_is_kept_until_the_policy_changes(runs, fits):
    paths = runs([5, 7], [50, 80], validation=0.3)
    rank(paths, steps=100, progress=False)
    rank(paths, steps=100, progress=False)
    assert len(fits) == 2
    (paths[0] / "policy.keras").write_text("9")
    (found,) = rank(paths, steps=100, progress=False)
    assert len(fits) == 3
    assert fits[2]["policy_hash"] == file_hash(paths[0] / "policy.keras")
    assert [ranked.value for ranked in found.runs] == [9, 7]
    rank(paths, steps=200, progress=False)
    assert len(fits) == 5


@pytest.mark.parametrize(
    ("values", "told"), [((99, 100), True), ((97, 100), False), ((-100, -99), True), ((5,), False)]
)
def test_values_that_are_nearly_equal_are_told(runs, fits, values, told):
    (found,) = rank(runs(values, [50] * len(values)), steps=100, progress=False)
    assert any("differ by less than 2%: more --steps than 100" in note for note in found.notes) == told


def test_an_unfinished_fit_goes_on(runs, fits):
    paths = runs([5], [50])
    rank(paths, steps=100, progress=False)
    (table,) = paths[0].glob("fqe/*/metrics.csv")
    table.write_text(table.read_text().replace("\n100,", "\n50,"))
    rank(paths, steps=100, progress=False)
    assert [call["resume"] for call in fits] == [True, True]


def test_the_held_out_episodes_of_all_runs_judge(runs, data):
    found = JUDGE.own(members([*runs([1], [1], validation=0.5), *runs([1], [1], validation=0.2)]))
    expected = split_episodes(data, 0.2).held_out
    assert found.data.hash == expected.hash
    assert found.notes == ("the runs held these episodes out: none has learned from them",)


def test_runs_that_learned_from_the_episodes_are_told(runs, data):
    own = members([*runs([1], [1], validation=0.5), *runs([1], [1])])
    for found in (JUDGE.own(own), JUDGE.given(data, own)):
        assert len(found.data) == len(data)
        assert "have learned from these very episodes" in found.notes[0]


def test_other_episodes_are_taken_whole(runs, tmp_path):
    other = Dataset.from_columns(make_columns(discrete_spec(), [4] * 3, seed=1), discrete_spec())
    found = JUDGE.given(other, members(runs([1], [1])))
    assert (len(found.data), found.notes) == (12, ())


def test_a_changed_or_missing_file_is_named(runs, data):
    paths = runs([1], [1])
    content = json.loads((paths[0] / "dataset.json").read_text())
    (paths[0] / "dataset.json").write_text(json.dumps({**content, "hash": "other"}))
    with pytest.raises(UsageError, match=r"data.h5 is not what .* learned from: give episodes with --data"):
        JUDGE.own(members(paths))
    data.path.unlink()
    with pytest.raises(UsageError, match="is gone: give episodes with --data FILE"):
        JUDGE.own(members(paths))


def test_runs_without_evaluations_are_ranked_too(runs, fits):
    (found,) = rank(runs([5, 7], [None, None]), steps=100, progress=False)
    # One copy of the target; the longest episode has three rows.
    assert any(
        "100 steps let the values look 1 steps ahead, and returns reach 3" in each for each in found.notes
    )
    assert [ranked.value for ranked in found.runs] == [7, 5]
    assert (found.rank_correlation, found.regret) == (None, {})
    assert found.verdict.startswith("nobody knows how good this ranking is")


def test_less_of_a_loss_is_better(runs):
    paths = runs([0, 0, 0], [10, 20, 30])
    for path, loss in zip(paths, (3, 1, 2), strict=True):
        (path / "metrics.csv").write_text(f"step,validation/loss/actor\n50,9\n100,{loss}\n")
    (found,) = rank(paths, "validation/loss/actor")
    assert [ranked.value for ranked in found.runs] == [1, 2, 3]
    # Ranks 1, 3, 2 and 1, 2, 3.
    assert found.rank_correlation == pytest.approx(0.5)
    assert found.regret == {1: 10, 2: 0}


def test_a_column_that_is_none_is_named(runs):
    paths = runs([0], [10])
    (paths[0] / "metrics.csv").write_text("step,q/mean\n50,9\n")
    with pytest.raises(UsageError, match=r"metrics.csv has no values of 'q/men'.*q/mean"):
        rank(paths, "q/men")
    with pytest.raises(UsageError, match=r"--data judges runs by fqe"):
        rank(paths, "q/mean", "data.h5")


def test_a_run_without_a_policy_is_named(runs):
    paths = runs([0], [10])
    (paths[0] / "policy.keras").unlink()
    with pytest.raises(VinciError, match=r"has no policy.keras"):
        rank(paths)


def test_the_command_shows_the_ranking_and_its_worth(runs, fits):
    paths = list(map(str, runs([5, 7, 6], [50, 80, 90])))
    shown = CliRunner().invoke(app, ["compare", *paths, "--by", "fqe", "--steps", "100"])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.index(paths[1]) < shown.stdout.index(paths[2]) < shown.stdout.index(paths[0])
    assert "rank correlation with the returns of 3 runs: 0.50, regret@1 10, regret@2 0" in shown.stdout
    content = json.loads(
        CliRunner().invoke(app, ["compare", *paths, "--by", "fqe", "--steps", "100", "--json"]).stdout
    )
    (ranking,) = content["rankings"]
    assert [each["value"] for each in ranking["runs"]] == [7, 6, 5]
    assert ranking["regret"] == {"1": 10, "2": 0}


def test_data_without_a_ranking_is_refused(runs):
    shown = CliRunner().invoke(app, ["compare", str(runs([5], [50])[0]), "--data", "data.h5"])
    assert shown.exit_code == 2
    assert "--data belongs to a ranking: add --by fqe" in shown.output
