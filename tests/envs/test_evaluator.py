import importlib.util
import json
import math
from pathlib import Path

import gymnasium
import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from vinci_offline.envs.evaluator import Evaluation, evaluate
from vinci_offline.envs.scores import normalized_score
from vinci_offline.envs.seeding import EvaluationSeeds
from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.loading import load_object
from vinci_offline.spec import environment_spec

HERE = Path(__file__).parent / "evaluation_env.py"
ENV, NOISY = f"{HERE}:SeededLength", f"{HERE}:noisy"


def still(observation):
    return np.zeros(1, np.float32)


@pytest.fixture
def model():
    keras.utils.set_random_seed(3)
    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])


@pytest.fixture
def run_directory(tmp_path, model):
    model.save(tmp_path / "policy.keras")
    spec = json.loads(environment_spec(gymnasium.make("Pendulum-v1", max_episode_steps=7)).to_json())
    (tmp_path / "config.json").write_text(json.dumps({"environment": spec}))
    return tmp_path


def test_short_episodes_are_not_favoured():
    alone = [evaluate(still, ENV, episodes=60, lanes=1, seed=5).lengths]
    lanes = [evaluate(still, ENV, episodes=60, lanes=count, seed=5).lengths for count in (3, 16, 64)]
    assert all(found == alone[0] for found in lanes)
    assert set(alone[0]) == {1, 2, 40}
    # Stopping at the first 60 episodes to end would count short ones almost alone.
    assert np.mean(alone[0]) == pytest.approx(0.5 * 1 + 0.3 * 2 + 0.2 * 40, abs=5)


def test_batch_shape_stays_to_the_last_episode():
    batched = load_object(f"{HERE}:Batched")()
    evaluate(batched, ENV, episodes=5, lanes=4)
    evaluate(batched, ENV, episodes=2, lanes=4)
    assert batched.shapes == {((4, 2), 4)}


def test_workers_do_not_change_returns():
    one, two = (evaluate(NOISY, ENV, episodes=11, lanes=4, workers=count, seed=1) for count in (1, 2))
    assert one == two
    assert len(set(one.returns)) == 11


def test_evaluations_that_choose_have_starting_states_of_their_own():
    first, again, other = (
        evaluate(NOISY, ENV, episodes=3, lanes=4, seed=1, selection=selection)
        for selection in (True, True, False)
    )
    assert first.returns == again.returns != other.returns
    scored, chosen = EvaluationSeeds(1), EvaluationSeeds(1, selection=True)
    assert not {scored.start(i) for i in range(100)} & {chosen.start(i) for i in range(100)}
    assert scored.rng(0).random() != chosen.rng(0).random()


def test_episodes_depend_on_seed_and_number_alone():
    few, many = (evaluate(NOISY, ENV, episodes=count, lanes=4).returns for count in (3, 30))
    assert few == many[:3]
    assert evaluate(NOISY, ENV, episodes=3, lanes=4, seed=1).returns != few


def test_keras_model_is_evaluated(model):
    result = evaluate(model, "Pendulum-v1", episodes=3, env_kwargs={"max_episode_steps": 5})
    assert result.env == "Pendulum-v1"
    assert result.lengths == (5, 5, 5)
    env = gymnasium.make("Pendulum-v1", max_episode_steps=5)
    assert evaluate(model, env, episodes=3).returns == pytest.approx(result.returns, rel=1e-4)
    env.reset()  # still open, for it belongs to the caller
    env.close()


def test_run_directory_gives_the_environment(run_directory):
    result = evaluate(run_directory, episodes=2)
    assert result.env == "Pendulum-v1"
    assert result.lengths == (7, 7)


def test_different_spaces_are_refused(run_directory):
    with pytest.raises(
        SpecError, match=r"CartPole-v1 does not fit Pendulum-v1: .*Box\(3,\) against Box\(4,\)"
    ):
        evaluate(run_directory, "CartPole-v1")
    with pytest.raises(SpecError, match="action bounds"):
        evaluate(run_directory, Louder)
    with pytest.raises(SpecError, match="observations"):
        evaluate(run_directory / "policy.keras", "CartPole-v1")


class Louder(gymnasium.Wrapper):
    """Pendulum with a stronger motor."""

    def __init__(self):
        super().__init__(gymnasium.make("Pendulum-v1"))
        self.action_space = gymnasium.spaces.Box(-5.0, 5.0, (1,), np.float32)


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (lambda _: np.array([np.nan]), "NaN"),
        (lambda _: np.zeros(3), "shape"),
        (lambda _: "left", "type"),
        (lambda _: None, "type"),
    ],
)
def test_bad_actions_are_refused(policy, message):
    with pytest.raises(VinciError, match=message):
        evaluate(policy, ENV, episodes=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "episodes must be at least 1, not 0"),
        ({"workers": 0}, "workers must be at least 1, not 0"),
        ({"lanes": -1}, "lanes must be at least 1, not -1"),
        ({"seed": -1}, "seed must be at least 0, not -1"),
        ({"env": None}, "env="),
        ({"env": "Pendulm-v1"}, "Pendulum-v1"),
        ({"workers": 2, "lanes": 2}, "file.py:object"),
        ({"stochastic": True}, "sample"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        evaluate(lambda _: np.zeros(1), **({"env": ENV, "episodes": 4} | options))


def test_workers_cannot_share_one_environment():
    with pytest.raises(UsageError, match="share one environment"):
        evaluate("random", gymnasium.make("Pendulum-v1"), workers=2)


@pytest.mark.parametrize("name", ["gep", "gep:file.py:goal", "random-state"])
def test_recording_only_policies_are_refused(name):
    with pytest.raises(UsageError, match="use it with collect"):
        evaluate(name, ENV, episodes=1)


def test_folder_without_run_is_refused(tmp_path):
    with pytest.raises(VinciError, match="not a run directory"):
        evaluate(tmp_path)
    (tmp_path / "config.json").write_text('{"environment": 3}')
    with pytest.raises(VinciError, match=r"config\.json|description"):
        evaluate(tmp_path)


def test_video_needs_moviepy(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"vinci-offline\[video\]"):
        evaluate(still, ENV, episodes=1, video=tmp_path / "films")


def test_video_needs_empty_folder_and_rendering(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    (tmp_path / "mine.mp4").touch()
    with pytest.raises(UsageError, match="exists"):
        evaluate(still, ENV, episodes=1, video=tmp_path)
    with pytest.raises(UsageError, match="rgb_array"):
        evaluate(still, Undrawn, episodes=1, video=tmp_path / "films")


class Undrawn(load_object(ENV)):
    def render(self):
        return None


def test_normalized_score_matches_d4rl():
    assert normalized_score("Hopper-v5", -20.272305) == 0
    assert normalized_score("HalfCheetah-v4", 12135.0) == 100
    assert normalized_score("module:Walker2d-v5", (4592.3 + 1.629008) / 2) == pytest.approx(50)
    assert normalized_score("Pendulum-v1", 0.0) is None
    assert normalized_score(None, 0.0) is None


def test_statistics_and_json():
    result = Evaluation("Hopper-v5", 2, (1.0, 3.0), (10, 30))
    assert result.to_json() == {
        "env": "Hopper-v5",
        "episodes": 2,
        "return_mean": 2.0,
        "return_std": pytest.approx(2**0.5),  # the sample's: (1 + 1) / (2 - 1)
        "returns": [1.0, 3.0],
        "length_mean": 20.0,
        "normalized_mean": normalized_score("Hopper-v5", 2.0),
        "reference": {"random": -20.272305, "expert": 3234.3, "source": "D4RL", "approximate": True},
    }


def test_a_single_episode_has_no_deviation():
    single = Evaluation(None, 1, (1.0,), (10,))
    assert math.isnan(single.return_std)
    assert single.to_json()["return_std"] is None


@pytest.fixture
def command():
    import typer

    from vinci_offline.cli.console import errors_as_exit_codes
    from vinci_offline.cli.evaluate import evaluate as function

    app = typer.Typer()
    app.command()(function)

    def run(*arguments):
        with errors_as_exit_codes():
            result = CliRunner().invoke(app, list(map(str, arguments)))
        if isinstance(result.exception, VinciError):
            return result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


def test_command_prints_one_json_object(command):
    result = command("random", "--env", "Pendulum-v1", "--episodes", 3, "--seed", 2, "--json")
    content = json.loads(result.stdout)
    expected = evaluate("random", "Pendulum-v1", episodes=3, seed=2)
    assert content == expected.to_json()
    assert result.stderr == ""


def test_command_prints_a_summary(command, run_directory):
    result = command(run_directory, "--episodes", 4, "--env-kwargs", '{"max_episode_steps": 3}')
    assert "Pendulum-v1, 4 episodes" in result.stdout
    assert "3.0 steps" in result.stdout
    assert "median" in result.stdout


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_command_refuses_bad_env_kwargs(command, text):
    assert "--env-kwargs" in str(command("random", "--env", "Pendulum-v1", "--env-kwargs", text))


def test_function_gets_tuple_observations():
    found = evaluate(
        lambda seen: int(seen[0] < 12 and not seen[2]), "Blackjack-v1", episodes=60, lanes=4, seed=1
    )
    # Always drawing loses every game; this policy loses fewer.
    drawing = evaluate(lambda seen: 1, "Blackjack-v1", episodes=60, lanes=4, seed=1)
    assert drawing.return_mean == -1
    assert found.return_mean > -0.5


def test_path_of_first_episode_is_kept_in_the_plane():
    still = lambda observation: [0.0]  # noqa: E731
    given = {"env": "MountainCarContinuous-v0", "max_episode_steps": 5}
    found = evaluate(still, episodes=3, **given)
    assert found.path.shape == (6, 2)
    start = found.path[0]
    assert -0.6 <= start[0] <= -0.4
    assert start[1] == 0
    # Position is the sum of velocities.
    np.testing.assert_allclose(np.diff(found.path[:, 0]), found.path[1:, 1], atol=1e-6)
    np.testing.assert_array_equal(evaluate(still, episodes=1, **given).path, found.path)
    assert evaluate("random", "Pendulum-v1", episodes=1, max_episode_steps=5).path is None
