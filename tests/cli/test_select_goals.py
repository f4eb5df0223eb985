from __future__ import annotations

import json

import numpy as np
import pytest
from data_examples import box, continuous_spec, make_columns
from typer.testing import CliRunner

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.cli.app import app
from vinci_offline.spec import DictSpace

ENVIRONMENT = """
import gymnasium as gym
import numpy as np

SPACE = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)


class Reach(gym.Env):
    observation_space = gym.spaces.Dict({"observation": SPACE, "achieved_goal": SPACE, "desired_goal": SPACE})
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def compute_reward(self, achieved, desired, info):
        return -(np.linalg.norm(achieved - desired, axis=-1) > 0.5).astype(np.float32)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ("observation", "achieved_goal", "desired_goal")
    spec = EnvironmentSpec(DictSpace({name: box(2) for name in names}), box(1, low=-1, high=1))
    columns = make_columns(spec, [4, 3, 5])
    apart = columns["next_observations/achieved_goal"] - columns["next_observations/desired_goal"]
    columns["rewards"] = np.where(np.linalg.norm(apart, axis=1) > 0.5, -1, 0)
    Dataset.from_columns(columns, spec, {"length": [4, 3, 5]}).save("goals.h5")
    Dataset.from_columns(make_columns(continuous_spec(), [4]), continuous_spec()).save("plain.h5")
    (tmp_path / "reach.py").write_text(ENVIRONMENT)
    return lambda *words: CliRunner().invoke(app, ["select", *words])


def test_relabel_applies_to_both_parts_of_a_split(run):
    words = ["goals.h5", "--relabel", "future:2", "--split", "0.7:b.h5", "--json"]
    result = run(*words, "-o", "a.h5", "--env", "reach.py:Reach")
    assert result.exit_code == 0, result.output
    parts = json.loads(result.stdout)["parts"]
    assert sum(part["rows"] for part in parts) == 3 * 12
    assert "rewards are the recorded ones" in parts[0]["notes"][0]
    assert run(*words, "-o", "c.h5", "--reward-threshold", "0.5", "--overwrite").exit_code == 0
    by_distance, by_environment = Dataset.open("c.h5").columns, Dataset.open("a.h5").columns
    for path in by_environment:  # compared as numbers, since the environment's zeros are negative
        np.testing.assert_array_equal(by_distance[path], by_environment[path])
    told = Dataset.open("a.h5").attributes
    assert told["parents"] == [Dataset.open("goals.h5").hash]
    assert (told["selection"]["split"], told["relabelling"]["copies"]) == (0.7, 2)
    assert (
        "rewards are the recorded ones"
        in run(*words[:-1], "-o", "d.h5", "--env", "reach.py:Reach", "--overwrite").stdout
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["goals.h5", "--relabel", "future:2"], 2, "never guesses rewards"),
        (["goals.h5", "--relabel", "future:2", "--env", "x", "--reward-threshold", "1"], 2, "one of them"),
        (["goals.h5", "--reward-threshold", "1"], 2, "give --relabel"),
        (["goals.h5", "--relabel", "future:2", "--env", "Pendulum-v1"], 2, "has no compute_reward"),
        (["goals.h5", "--relabel", "final:2", "--reward-threshold", "1"], 2, "write future:K"),
        (["plain.h5", "--relabel", "future:2", "--reward-threshold", "1"], 1, "needs Dict observations"),
        (["goals.h5", "--split", "0.5:goals.h5", "--overwrite"], 2, "is one of the sources"),
        (["goals.h5", "--split", "0.5:out.h5"], 2, "is named for both parts"),
    ],
)
def test_wrong_usage_is_one_line_and_writes_nothing(run, tmp_path, words, code, message):
    result = run(*words, "-o", "out.h5")
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out.h5").exists()
