"""The shell completes values: names of agents, datasets, environments, settings and choices."""

import pytest
from typer.testing import CliRunner

from vinci_offline.cli.app import app


def completed(words):
    """Return what bash gets for the last word."""
    environment = {
        "COMP_WORDS": f"vinci-offline {words}",
        "COMP_CWORD": str(len(words.split(" "))),
        "_VINCI_OFFLINE_COMPLETE": "complete_bash",
    }
    return CliRunner().invoke(app, env=environment, prog_name="vinci-offline").stdout.split()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("train pend", ["pendulum-mixed"]),
        ("info moun", ["mountaincar-mixed"]),
        ("train pendulum-mixed --agent td", ["td3", "td3bc"]),
        ("train pendulum-mixed --only ", ["critic", "actor"]),
        ("train pendulum-mixed --agent iql --set exp", ["expectile=0.7"]),
        ("train pendulum-mixed --agent nobody --set a", []),
        ("train pendulum-mixed --schedule actor:", ["actor:cosine"]),
        ("train pendulum-mixed --jit o", ["on", "off"]),
        ("train pendulum-mixed --backend ", ["tensorflow", "jax"]),
        ("collect Pendulum-v", ["Pendulum-v1"]),
        ("evaluate run --env CartPole-v", ["CartPole-v0", "CartPole-v1"]),
        ("collect E -o new.h5 --policy random", ["random", "random-state"]),
        ("collect E -o new.h5 --compress g", ["gzip"]),
        ("select a.h5 -o new.h5 --compress l", ["lzf"]),
        ("convert a b --from mi", ["minari"]),
        ("convert a b --set ", []),
        ("convert a b --ends t", ["terminal", "timeout"]),
        ("train d.h5 --preset edac/hop", ["edac/hopper"]),
        ("train d.h5 --agent sql --preset ", ["sql/mujoco", "sql/antmaze", "sql/kitchen"]),
        ("train d.h5 --preset rebrac/hopper-medium --set actor_p", ["actor_penalty=0.01"]),
        ("agents iq", ["iql"]),
        ("estimate runs/a b.h5 --method wp", ["wpdis"]),
        ("estimate runs/a b.h5 --interval bo", ["bootstrap"]),
    ],
)
def test_values_are_completed(words, values):
    assert completed(words) == values


def test_datasets_of_this_folder_are_completed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.h5", "mine.csv"):
        (tmp_path / name).touch()
    assert completed("train mi") == ["mine.h5"]
