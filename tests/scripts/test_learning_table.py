"""The comparison of returns goes on where it was stopped, and its table has the right figures."""

import json
from argparse import Namespace

import pytest


@pytest.fixture
def learning(bench):
    import learning

    return learning


def options(folder, **changed):
    values = {"folder": folder, "tasks": ["hopper-mixture"], "agents": ["bc"], "seeds": 3, "steps": 10_000}
    return Namespace(
        **{**values, "episodes": 2, "learners": 1, "markdown": None, "sides": ["ours", "peer"], **changed}
    )


def write(learning, folder, side, returns, seconds):
    for seed, value in enumerate(returns):
        path = learning.Cell("hopper-mixture", "bc", side, seed).result(folder)
        path.write_text(json.dumps({"returns": [value - 10, value + 10], "seconds": seconds}))


def test_cells_are_ordered_by_value(learning, tmp_path):
    listed = [
        (c.side, c.agent, c.seed) for c in learning.cells(options(tmp_path, agents=["iql", "bc"], seeds=2))
    ]
    assert listed == [
        *(("ours", agent, seed) for agent in ("iql", "bc") for seed in (0, 1)),
        *(("peer", agent, seed) for seed in (0, 1) for agent in ("iql", "bc")),
    ]


def test_agent_without_counterpart_has_no_cell_of_the_peer(learning, tmp_path):
    listed = learning.cells(options(tmp_path, tasks=["lander-mixture"], agents=["iql"]))
    assert {cell.side for cell in listed} == {"ours"}


def test_cell_with_a_result_is_not_run_again(learning, tmp_path, monkeypatch):
    write(learning, tmp_path, "ours", [1], 1)
    monkeypatch.setattr(learning.subprocess, "run", lambda *_, **__: pytest.fail("was run"))
    learning.Cell("hopper-mixture", "bc", "ours", 0).run(tmp_path, options(tmp_path))


def test_table_has_intervals_scores_and_times(learning, tmp_path):
    write(learning, tmp_path, "ours", [100, 200, 300], 10)
    write(learning, tmp_path, "peer", [150], 25)
    ours, peer = learning.section("hopper-mixture", options(tmp_path)).splitlines()[-2:]
    # The deviation over the seeds is 100: 4.303 * 100 / sqrt(3) = 248.4. The score is 100 * 220.27 / 3254.57 = 6.77.
    assert [part.strip() for part in ours.split("|")[1:-1]] == [
        "bc",
        "vinci-offline",
        "100, 200, 300",
        "200 ± 248",
        "6.8",
        "10",
    ]
    assert [part.strip() for part in peer.split("|")[3:-1]] == ["150", "150", "5.2", "25"]
