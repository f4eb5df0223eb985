"""`compare`: groups by settings, last evaluations, and verdicts that need enough seeds."""

import json

import pytest
from typer.testing import CliRunner
from written_runs import run

from vinci_offline.cli.app import app
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.evaluation.comparison import compare


def test_last_evaluations_count_and_not_the_best(tmp_path):
    groups, _ = compare([run(tmp_path, "bc", seed, [100 + seed, seed]) for seed in (1, 2, 3)])
    (group,) = groups
    assert group.scores.tolist() == [1, 2, 3]
    assert group.steps == (100,)
    # 4.302653 is the quantile 0.975 of t with 2 degrees of freedom.
    assert group.interval == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_groups_are_named_by_what_differs(tmp_path):
    runs = [run(tmp_path, "td3bc", seed, [alpha + seed], alpha=alpha) for seed in (0, 1) for alpha in (1, 9)]
    groups, _ = compare(runs)
    assert [group.name for group in groups] == ["td3bc alpha=9", "td3bc alpha=1"]
    assert [group.scores.tolist() for group in groups] == [[9, 10], [1, 2]]


def test_tasks_are_kept_apart(tmp_path):
    groups, duels = compare(
        [run(tmp_path, "bc", 0, [1], data="one"), run(tmp_path, "bc", 0, [2], data="two")]
    )
    assert [group.task for group in groups] == ["Count-v0, one one12345", "Count-v0, two two12345"]
    assert duels == []


def duel(folder, better, other):
    runs = [run(folder, "iql", seed, [value]) for seed, value in enumerate(better)]
    _, (found,) = compare(runs + [run(folder, "bc", seed, [value]) for seed, value in enumerate(other)])
    return found


def test_few_seeds_do_not_tell(tmp_path):
    found = duel(tmp_path, [10, 12], [9, 11])
    assert found.verdict.startswith("these runs do not tell iql and bc apart")
    assert "2 seeds are too few to tell" in found.verdict
    assert found.probability == pytest.approx(3 / 4)


def test_intervals_far_apart_tell(tmp_path):
    assert duel(tmp_path, [100, 101, 102], [1, 2, 3]).verdict.startswith("iql is better than bc")


def test_one_seed_each_never_tells(tmp_path):
    assert "1 seed is too few to tell" in duel(tmp_path, [100], [1]).verdict


def test_equal_seeds_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"two runs of bc on .* have seed 3"):
        compare([run(tmp_path, "bc", 3, [1]), run(tmp_path, "bc", 3, [2])])


def test_a_run_without_evaluations_is_refused(tmp_path):
    with pytest.raises(UsageError, match="ends without an evaluation to compare: train with --eval-every"):
        compare([run(tmp_path, "bc", 0, [])])


def test_a_damaged_run_is_one_line(tmp_path):
    path = run(tmp_path, "bc", 0, [1])
    (path / "dataset.json").write_text("{}")
    with pytest.raises(VinciError, match=r"dataset.json does not describe a run \(it has no 'files'\)"):
        compare([path])


def test_the_command_shows_seeds_and_episodes_beside_the_figure(tmp_path):
    runs = [str(run(tmp_path, agent, seed, [seed])) for agent in ("bc", "iql") for seed in (0, 1, 2)]
    shown = CliRunner().invoke(app, ["compare", *runs])
    assert shown.exit_code == 0, shown.output
    assert "seeds" in shown.stdout
    assert "episodes" in shown.stdout
    assert "3 seeds are too few to tell" in shown.stdout
    content = json.loads(CliRunner().invoke(app, ["compare", *runs, "--json"]).stdout)
    assert [group["seeds"] for group in content["groups"]] == [3, 3]
