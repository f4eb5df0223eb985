"""The commands that other commands print work as they are printed, on paths with spaces."""

import json
import re
import shlex

import h5py
import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from vinci_offline.cli.app import app
from vinci_offline.cli.options import words_of
from vinci_offline.cli.train_options import Learner, Place
from vinci_offline.training.config import TrainingConfig

FAST = ["--set", "hidden=8,8", "--jit", "off", "--batch-size", 16, "--log-every", 10, "--steps", 20]


def call(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def works(*words):
    result = call(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def printed(text):
    """Return the words of each command in a text."""
    return [shlex.split(line)[1:] for line in re.findall(r"vinci-offline .+", text)]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "my first data"
    path.mkdir()
    return path


@pytest.fixture
def columns():
    rng = np.random.default_rng(0)
    ends = np.arange(60) % 20 == 19
    return {
        "observations": rng.normal(size=(60, 3)).astype("f4"),
        "actions": rng.uniform(-1, 1, (60, 1)).astype("f4"),
        "rewards": rng.normal(size=60).astype("f4"),
        "terminals": np.zeros(60, bool),
        "timeouts": ends,
    }


def test_run_of_a_critic_leads_to_its_actor_and_an_evaluation(folder):
    works("collect", "Pendulum-v1", "-o", folder / "data.h5", "--steps", 200)
    told = works("train", folder / "data.h5", "--only", "critic", *FAST, "-o", folder / "run")
    assert "its actor is untrained" in told
    (actor,) = printed(told)
    (evaluation,) = printed(works(*actor))
    assert evaluation == ["evaluate", str(folder / "run-actor")]
    assert "100 episodes" in works(*evaluation)


def test_run_of_a_behaviour_leads_to_all_that_is_untrained(folder):
    """An actor whose critic is untrained cannot be trained alone."""
    options = ["--agent", "plas", "--set", "latent_hidden=8", *FAST]
    told = works("train", "pendulum-mixed", "--only", "behaviour", *options, "-o", folder / "run")
    assert "its critic and actor are untrained" in told
    (rest,) = printed(told)
    assert "--only" not in rest
    (evaluation,) = printed(works(*rest))
    assert evaluation == ["evaluate", str(folder / "run-actor")]


@pytest.mark.parametrize("judged", ["random", "run"])
def test_value_of_a_policy_leads_to_an_interval(folder, judged):
    """Its run holds the judged policy: to evaluate it would not tell what `fqe` learned."""
    policy = judged if judged == "random" else folder / "run"
    if judged == "run":
        works("train", "cartpole-mixed", "--agent", "iql", *FAST, "-o", policy)
    options = ["--agent", "fqe", "--set", f"policy={policy}", *FAST, "-o", folder / "value"]
    told = works("train", "cartpole-mixed", *options)
    (estimate,) = printed(told)
    sampled = [] if judged == "random" else ["--stochastic"]
    assert estimate == ["estimate", str(policy), "cartpole-mixed", "--method", "fqe,dice", *sampled]
    short = works(*estimate, "--steps", 20, "--set", "fqe.hidden=8")
    assert "fqe refused: 20 steps let the values look 0 steps ahead" in short
    assert "dice" in short


def test_fit_that_is_too_short_says_so(folder):
    options = ["--agent", "fqe", *FAST, "-o", folder / "value"]
    note = "the fit is too short: 20 steps let the values look 0 steps ahead, and returns reach 100: give more --steps"
    told = call("train", "cartpole-mixed", *options)
    assert f"note: {note}" in told.stdout
    assert f"step 20: {note}" in told.stderr
    again = works("train", "cartpole-mixed", *options, "--resume", "--json")
    assert json.loads(again)["notes"] == [note]
    ample = ["--set", "target_update=1", "--gamma", 0.9, "--overwrite"]
    assert "too short" not in works("train", "cartpole-mixed", *options, *ample)
    seeds = ["--seeds", 2, "-o", folder / "seeds", "--json"]
    assert json.loads(works("train", "cartpole-mixed", *options[:-2], *seeds))["notes"] == [note]
    again = works("train", "cartpole-mixed", *options[:-2], *seeds, "--resume")
    assert json.loads(again)["notes"] == [note]


def test_table_leads_to_convert_and_a_run_without_an_environment(folder, columns):
    path = folder / "clinic.csv"
    flat = {f"observation_{i}": column for i, column in enumerate(columns["observations"].T)}
    flat |= {"action_0": columns["actions"][:, 0], "reward": columns["rewards"]}
    pd.DataFrame(
        {"episode": np.arange(60) // 20, **flat, "terminal": False, "timeout": columns["timeouts"]}
    ).to_csv(path, index=False)
    refused = call("train", path)
    assert "is not an HDF5 file: convert it first with" in refused.stderr
    (convert,) = printed(refused.stderr)
    works(*convert)
    told = works("train", convert[-1], "--agent", "bc", *FAST, "-o", folder / "run")
    assert printed(told) == []
    assert "evaluate needs one, as --env" in told


@pytest.mark.parametrize("ending", ["h5", "hdf5"])
def test_file_without_next_observations_leads_to_convert(folder, columns, ending):
    path = folder / f"d4rl.{ending}"
    with h5py.File(path, "w") as file:
        for name, column in columns.items():
            file[name] = column
    (convert,) = printed(call("info", path).stderr)
    assert convert[:2] == ["convert", str(path)]
    works(*convert)
    works("info", convert[-1])


def test_options_become_words_that_give_them_again():
    assert words_of(TrainingConfig()) == []
    assert words_of(TrainingConfig(steps=5, only="critic")) == ["--steps", "5", "--only", "critic"]
    assert words_of(Learner(settings={"hidden": "8,8", "tau": "1"}))[2:] == ["--set", "tau=1"]
    assert words_of(Place(env_kwargs={"g": 9.81}, resume=True)) == ["--env-kwargs", '{"g": 9.81}', "--resume"]
