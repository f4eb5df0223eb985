"""A run keeps what the user named: the environment of evaluations, and the file of an agent."""

import json
from pathlib import Path

import gymnasium
import pytest

from vinci_offline import train
from vinci_offline.agents.bc import BC
from vinci_offline.page.repeat import train_command
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.training.named import named

OWN = f"{Path(__file__).parents[1] / 'agents' / 'own_agent.py'}:OwnAgent"
SHORT = {"steps": 2, "batch_size": 8, "log_every": 2, "jit": "off", "progress": False}


class Elsewhere(BC):
    """An agent of another package."""


@pytest.mark.parametrize(
    ("agent", "env", "kwargs", "expected"),
    [
        ("td3bc", None, None, {}),
        ("own.py:Own", "own.py:Env", {"g": 1}, {"agent": "own.py:Own", "env": "own.py:Env", "env_kwargs": {"g": 1}}),
        (BC(), gymnasium.Env, {"make": print}, {"objects": ["env", "env_kwargs"]}),
        (Elsewhere(), None, {"size": (1, 2)}, {"env_kwargs": {"size": [1, 2]}, "objects": ["agent"]}),
    ],
)  # fmt: skip
def test_texts_are_kept_and_objects_are_told(agent, env, kwargs, expected):
    assert named(agent, env, kwargs) == expected


def test_a_run_keeps_them_and_its_command_has_them(tmp_path):
    given = {
        "env": "gymnasium.envs:Pendulum-v1",
        "env_kwargs": {"g": 9.0},
        "eval_every": 2,
        "eval_episodes": 1,
    }
    result = train("pendulum-mixed", OWN, output=tmp_path / "run", **given, **SHORT)
    run = RunDirectory(result.run)
    words = train_command(run)
    assert f"--agent {OWN} " in words
    assert "--env gymnasium.envs:Pendulum-v1 --env-kwargs '{\"g\": 9.0}' -o" in words
    assert run.best.config()["named"] == run.config()["named"]


def test_a_run_of_an_earlier_version_goes_on_and_another_environment_is_no_other_run(tmp_path):
    result = train("pendulum-mixed", "bc", output=tmp_path / "run", **SHORT)
    assert "named" not in json.loads((result.run / "config.json").read_text())
    evaluations = {"env": "Pendulum-v1", "env_kwargs": {"g": 9.0}, "eval_every": 2, "eval_episodes": 1}
    longer = {**SHORT, "steps": 4, "resume": True, **evaluations}
    assert train("pendulum-mixed", "bc", output=tmp_path / "run", **longer).steps == 4
    kept = RunDirectory(result.run).config()["named"]
    assert kept == {"env": "Pendulum-v1", "env_kwargs": {"g": 9.0}}
