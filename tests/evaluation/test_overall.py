"""`compare` over tasks: scores, summaries and profiles, and why there is none."""

import json

import pytest
from typer.testing import CliRunner
from written_runs import run

from vinci_offline.cli.app import app
from vinci_offline.evaluation.comparison import compare
from vinci_offline.evaluation.overall import Summary, summarize

SCALES = {"one": (0.0, 10.0), "two": (-100.0, 100.0)}


def scored(folder, agent, seed, task, value, **settings):
    """Write a run whose last return is ``value``, on data that keep references."""
    path = run(folder, agent, seed, [999, value], data=task, **settings)
    content = json.loads((path / "dataset.json").read_text())
    random, expert = SCALES[task]
    content["reference_returns"] = {"random": random, "expert": expert, "source": "a test"}
    (path / "dataset.json").write_text(json.dumps(content))
    return path


def written(folder, seeds=2):
    """Write two agents with the scores 50, 60 and 20, 30 on one task, and 75, 80 and 10, 90 on another."""
    values = {
        ("iql", "one"): (5, 6, 5, 5, 5),
        ("bc", "one"): (2, 3, 2, 2, 2),
        ("iql", "two"): (50, 60, 50, 50, 50),
        ("bc", "two"): (-80, 80, -80, -80, -80),
    }
    return [
        scored(folder, agent, seed, task, each[seed])
        for (agent, task), each in values.items()
        for seed in range(seeds)
    ]


def test_groups_have_scores_of_their_references(tmp_path):
    groups, _ = compare(written(tmp_path))
    found = {(group.agent, group.task[-11:-8].strip()): group for group in groups}
    assert {round(group.normalized_mean, 6) for group in found.values()} == {55, 25, 77.5, 50}


def test_summary_over_tasks(tmp_path):
    groups, _ = compare(written(tmp_path))
    summary = summarize(groups)
    assert isinstance(summary, Summary)
    iql, bc = summary.agents
    assert (iql.name, bc.name) == ("iql", "bc")
    assert iql.scores.tolist() == [[50, 75], [60, 80]]
    # The middle half of 50, 60, 75, 80, and of 10, 20, 30, 90.
    assert iql.interquartile_mean[0] == pytest.approx(67.5)
    assert bc.interquartile_mean[0] == pytest.approx(25)
    # 100 less the mean score: none is above 100.
    assert bc.optimality_gap[0] == pytest.approx(100 - 37.5)
    assert iql.optimality_gap[1].low < 100 - 66.25 < iql.optimality_gap[1].high
    # iql is above bc in all four pairs of the first task, and in two of four of the second.
    assert summary.verdict.startswith(
        "over 2 tasks iql scores above bc with probability 0.75 (95% interval 0."
    )
    assert summary.verdict.endswith("2 seeds a task may be too few to tell")


def test_enough_seeds_tell(tmp_path):
    summary = summarize(compare(written(tmp_path, seeds=5))[0])
    # All pairs of the first task, 20 of 25 of the second.
    assert "with probability 0.90" in summary.verdict
    assert summary.verdict.endswith(": it is better")


def test_a_single_task_has_no_summary(tmp_path):
    assert summarize(compare([scored(tmp_path, "bc", 0, "one", 3)])[0]) is None


def test_the_reason_of_no_summary_is_told(tmp_path):
    one = scored(tmp_path, "bc", 0, "one", 3)
    assert "no references of scores" in summarize(compare([one, run(tmp_path, "bc", 0, [1], data="two")])[0])
    other = scored(tmp_path, "iql", 0, "two", 3)
    assert "no agent has runs of all tasks" in summarize(compare([one, other])[0])
    uneven = [scored(tmp_path, "bc", seed, "two", 3) for seed in (0, 1)]
    assert "bc has not as many seeds on each task" in summarize(compare([one, *uneven])[0])


def test_the_command_shows_scores_and_draws_profiles(tmp_path):
    (tmp_path / "runs").mkdir()
    paths = list(map(str, written(tmp_path / "runs")))
    picture = tmp_path / "profile.png"
    shown = CliRunner().invoke(app, ["compare", *paths, "--plot", str(picture)])
    assert shown.exit_code == 0, shown.output
    assert "score: 0 is -100, 100 is 100 (a test)" in shown.stdout
    assert "2 tasks, in scores" in shown.stdout
    assert "67.5" in shown.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    content = json.loads(CliRunner().invoke(app, ["compare", *paths, "--json"]).stdout)
    assert [each["name"] for each in content["overall"]["agents"]] == ["iql", "bc"]
    assert content["groups"][0]["reference"]["source"] == "a test"
