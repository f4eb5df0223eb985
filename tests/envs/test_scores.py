"""Normalised scores: published references, and those that a dataset keeps."""

import json
import math

import numpy as np
import pytest
from evaluation_env import SeededLength
from typer.testing import CliRunner

from vinci_offline import Dataset, collect, evaluate
from vinci_offline.cli.app import app
from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.envs.scores import Reference, normalized_score, published_reference, recorded_reference
from vinci_offline.errors import UsageError


@pytest.mark.parametrize(
    ("env", "random", "expert", "approximate"),
    [
        ("Hopper-v2", -20.272305, 3234.3, False),
        ("hopper-medium-v2", -20.272305, 3234.3, False),
        ("Hopper-v5", -20.272305, 3234.3, True),
        ("HalfCheetah-v4", -280.178953, 12135.0, True),
        ("mujoco:Walker2d-v5", 1.629008, 4592.3, True),
        ("ant-full-replay-v2", -325.6, 3879.7, False),
        ("antmaze-large-play-v2", 0, 1, False),
        ("kitchen-mixed-v0", 0, 4, False),
        ("pen-human-v1", 96.262799, 3076.8331017826877, False),
        ("AdroitHandPen-v1", 96.262799, 3076.8331017826877, True),
        ("maze2d-umaze-v1", 23.85, 161.86, False),
    ],
)
def test_published_references_are_those_of_d4rl(env, random, expert, approximate):
    assert published_reference(env) == Reference(random, expert, "D4RL", approximate)


@pytest.mark.parametrize(
    "env", [None, "", "Pendulum-v1", "door-open-v2", "AntMaze_UMaze-v4", "ALE/Hopperish-v5"]
)
def test_environments_without_references_have_no_score(env):
    assert normalized_score(env, 1.0) is None


def test_the_scale_is_affine_in_the_mean_and_the_deviation_stays_that_of_returns():
    found = Evaluation("x", 2, (10.0, 30.0), (1, 1), recorded_reference=Reference(-20, 60, "here"))
    # 100 (20 + 20) / (60 + 20) = 50; the deviation of 10 and 30 is sqrt(200).
    assert found.normalized_mean == 50
    assert found.to_json()["return_std"] == pytest.approx(math.sqrt(200))
    assert found.to_json()["reference"]["source"] == "here"


def test_references_of_minari_are_taken():
    content = {"minari": {"dataset_id": "mujoco/hopper/medium-v0", "ref_min_score": 5.0, "ref_max_score": 45}}
    assert recorded_reference(content) == Reference(5, 45, "Minari mujoco/hopper/medium-v0")


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"reference_returns": {"random": 1.0}},
        {"reference_returns": {"random": 1.0, "expert": 1.0}},
        {"reference_returns": {"random": 1.0, "expert": math.nan}},
        {"reference_returns": {"random": "low", "expert": 2.0}},
        {"reference_returns": 7, "minari": {"ref_min_score": True, "ref_max_score": 3}},
    ],
)
def test_references_that_give_no_scale_are_none(content):
    assert recorded_reference(content) is None


def full(observation):
    """Earn as much as can be."""
    return np.full(1, 0.25, np.float32)


def test_collect_measures_a_random_policy_and_an_expert(tmp_path):
    data = collect(SeededLength, tmp_path / "data.h5", episodes=3, seed=4, expert=full, progress=False)
    random, expert = (
        evaluate(policy, SeededLength, episodes=100, seed=4).return_mean for policy in ("random", full)
    )
    kept = Dataset.open(data.path).attributes["reference_returns"]
    assert (kept["random"], kept["expert"]) == (random, expert)
    assert kept["source"].startswith("measured by collect, 100 episodes, expert ")
    plain = collect(SeededLength, tmp_path / "plain.h5", episodes=3, seed=4, progress=False)
    assert data.hash == plain.hash
    assert "reference_returns" not in plain.attributes
    half = data.select_episodes([0])
    assert recorded_reference(half.attributes) == recorded_reference(data.attributes)


def test_an_expert_that_is_no_better_gives_no_scale(tmp_path):
    with pytest.raises(UsageError, match=r"earns .*, as the random policy does: the two give no scale"):
        collect(SeededLength, tmp_path / "data.h5", episodes=1, expert="random", progress=False)
    with pytest.raises(UsageError, match="records data and is no policy"):
        collect(SeededLength, tmp_path / "data.h5", episodes=1, expert="gep", progress=False)
    assert not (tmp_path / "data.h5").exists()


def test_the_commands_show_the_scale(tmp_path):
    output = tmp_path / "data.h5"
    arguments = [
        "collect",
        "test_scores:SeededLength",
        "-o",
        output,
        "--episodes",
        2,
        "--expert",
        "test_scores:full",
    ]
    shown = CliRunner().invoke(app, list(map(str, arguments)))
    assert shown.exit_code == 0, shown.output
    kept = json.loads(json.dumps(Dataset.open(output).attributes["reference_returns"]))
    assert f"references of scores: random {kept['random']:.4g}, expert {kept['expert']:.4g}" in shown.stdout
