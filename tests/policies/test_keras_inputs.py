"""Keras policies with several inputs: samplers that take noise, and Dict observations."""

import keras
import numpy as np
import pytest

from vinci_offline import collect, evaluate
from vinci_offline.envs.making import make_env
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.policies.keras_policy import KerasPolicy
from vinci_offline.policies.named import load_policy
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import environment_spec

SHORT = {"env_kwargs": {"max_episode_steps": 12}}
MODULE = """
import gymnasium
import numpy as np


class Mixed(gymnasium.Env):
    '''Dict observations of a vector, a choice and an image. The reward is the action.'''

    def __init__(self, discrete=False):
        self.observation_space = gymnasium.spaces.Dict(
            {
                "vector": gymnasium.spaces.Box(-1, 1, (2,), np.float32),
                "choice": gymnasium.spaces.Discrete(3),
                "image": gymnasium.spaces.Box(0, 255, (4, 4, 3), np.uint8),
                "unused": gymnasium.spaces.Box(-1, 1, (1,), np.float32),
            }
        )
        box = gymnasium.spaces.Box(-10, 10, (1,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2) if discrete else box

    def _observation(self):
        draw = self.np_random
        return {
            "vector": draw.uniform(-1, 1, 2).astype(np.float32),
            "choice": int(draw.integers(3)),
            "image": draw.integers(0, 256, (4, 4, 3)).astype(np.uint8),
            "unused": np.zeros(1, np.float32),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(2, 8))
        return self._observation(), {}

    def step(self, action):
        self.left -= 1
        return self._observation(), float(np.sum(action)), self.left == 0, False, {}
"""


@pytest.fixture
def mixed(tmp_path):
    path = tmp_path / "mixed.py"
    path.write_text(MODULE)
    return f"{path}:Mixed"


def mixed_inputs():
    return {
        "vector": keras.Input((2,), name="vector"),
        "choice": keras.Input((), dtype="int32", name="choice"),
        "image": keras.Input((4, 4, 3), dtype="uint8", name="image"),
    }


def mixed_model(outputs=1, noise=None):
    """Make a model that adds the vector, twice the choice, the mean pixel and the noise."""
    inputs = mixed_inputs()
    parts = [
        keras.ops.sum(inputs["vector"], axis=-1, keepdims=True),
        2 * keras.ops.cast(keras.ops.reshape(inputs["choice"], (-1, 1)), "float32"),
        keras.ops.mean(
            keras.ops.cast(keras.layers.Flatten()(inputs["image"]), "float32"), axis=-1, keepdims=True
        )
        / 255,
    ]
    if noise is not None:
        inputs["noise"] = keras.Input((noise,), name="noise")
        parts.append(keras.ops.sum(inputs["noise"], axis=-1, keepdims=True))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return keras.Model(inputs, keras.layers.Concatenate()([total] * outputs) if outputs > 1 else total)


def mixed_actions(data):
    pixels = data.columns["observations/image"].reshape(len(data), -1).astype(np.float64).mean(axis=1)
    return (
        data.columns["observations/vector"].sum(axis=1)
        + 2 * data.columns["observations/choice"]
        + pixels / 255
    )


def pendulum_sampler(scale=1.0):
    inputs = {
        "observation": keras.Input((3,), name="observation"),
        "noise": keras.Input((2,), name="noise"),
    }
    summed = keras.ops.sum(inputs["noise"], axis=-1, keepdims=True)
    return keras.Model(inputs, inputs["observation"][:, :1] + scale * summed)


def pendulum_actor():
    inputs = keras.Input((3,))
    return keras.Model(inputs, inputs[:, :1])


@pytest.fixture
def run(tmp_path):
    directory = RunDirectory(tmp_path / "run")
    spec = environment_spec(make_env("Pendulum-v1", SHORT["env_kwargs"]))
    directory.claim(
        {"agent": "toy", "environment": spec.to_object()},
        {"hash": "0", "files": []},
        resume=False,
        overwrite=False,
    )
    directory.save_models({"policy": pendulum_actor()}, {})
    return directory


def columns(data):
    return {path: values.tobytes() for path, values in data.columns.items()}


def test_dict_observations_reach_the_inputs_of_their_keys(mixed, tmp_path):
    mixed_model().save(tmp_path / "policy.keras")
    data = collect(
        mixed, tmp_path / "data.h5", policy=tmp_path / "policy.keras", episodes=9, lanes=4, progress=False
    )
    assert data.columns["observations/image"].dtype == np.uint8
    assert data.columns["actions"][:, 0] == pytest.approx(mixed_actions(data), abs=1e-5)


def test_dict_policies_are_evaluated(mixed):
    model = mixed_model()
    few, many = (evaluate(model, mixed, episodes=count, lanes=4) for count in (3, 10))
    assert many.returns[:3] == few.returns
    assert len(set(many.returns)) == 10


def test_discrete_actions_of_dict_observations(mixed, tmp_path):
    inputs = mixed_inputs()
    scores = keras.layers.Concatenate()([inputs["vector"][:, :1], inputs["vector"][:, 1:]])
    data = collect(
        mixed,
        tmp_path / "data.h5",
        policy=keras.Model(inputs, scores),
        episodes=5,
        env_kwargs={"discrete": True},
        progress=False,
    )
    assert data.columns["actions"].tolist() == data.columns["observations/vector"].argmax(axis=1).tolist()
    assert not data.columns["infos/action_log_probs"].any()


def test_inputs_must_be_keys_of_the_observation(mixed):
    spec = environment_spec(make_env(mixed))
    other = keras.Input((2,), name="velocity")
    with pytest.raises(SpecError, match=r"velocity \(2,\).*observations Dict\(choice: Discrete\(3\)"):
        KerasPolicy(keras.Model({"velocity": other}, keras.layers.Dense(1)(other)), spec)
    wide = keras.Input((3,), name="vector")
    with pytest.raises(SpecError, match=r"vector \(3,\)"):
        KerasPolicy(keras.Model({"vector": wide}, keras.layers.Dense(1)(wide)), spec)


def test_sampler_draws_noise_from_the_lanes(tmp_path):
    policy = KerasPolicy(pendulum_sampler(), environment_spec(make_env("Pendulum-v1")))
    observations = np.linspace(-0.5, 0.5, 12, dtype=np.float32).reshape(4, 3)
    decision = policy.act(observations, [np.random.default_rng(lane) for lane in range(4)])
    noise = [np.random.default_rng(lane).standard_normal(2, np.float32).sum() for lane in range(4)]
    expected = np.clip(observations[:, 0] + noise, -2, 2)
    assert decision.actions[:, 0] == pytest.approx(expected, abs=1e-6)
    assert decision.log_probs is None
    assert not policy.deterministic


def test_sampler_episodes_do_not_depend_on_lanes_or_workers(tmp_path):
    pendulum_sampler().save(tmp_path / "sampler.keras")
    options = {"policy": str(tmp_path / "sampler.keras"), "episodes": 9, "progress": False, **SHORT}
    one = collect("Pendulum-v1", tmp_path / "one.h5", lanes=4, **options)
    two = collect("Pendulum-v1", tmp_path / "two.h5", lanes=4, workers=2, **options)
    wide = collect("Pendulum-v1", tmp_path / "wide.h5", lanes=8, **options)
    assert columns(two) == columns(one)
    np.testing.assert_allclose(wide.columns["actions"][:], one.columns["actions"][:], atol=1e-5)
    assert one.columns["actions"].reshape(9, 12).std(axis=0).min() > 0
    assert "infos/action_log_probs" not in one.columns


def test_sampler_of_dict_observations(mixed, tmp_path):
    model = mixed_model(noise=3)
    options = {"policy": model, "episodes": 6, "progress": False}
    data = collect(mixed, tmp_path / "data.h5", lanes=3, **options)
    noise = data.columns["actions"][:, 0] - mixed_actions(data)
    assert 0.8 < noise.std() < 2.8
    again = collect(mixed, tmp_path / "again.h5", lanes=6, **options)
    np.testing.assert_allclose(again.columns["actions"][:], data.columns["actions"][:], atol=1e-5)


def test_stochastic_takes_the_sampler_of_a_run(run, tmp_path):
    still = evaluate(run.path, episodes=3)
    with pytest.raises(UsageError, match="no stochastic policy"):
        evaluate(run.path, episodes=3, stochastic=True)
    run.save_models({"sampler": pendulum_sampler()}, {})
    assert run.policy_file(stochastic=True) == run.sampler
    assert evaluate(run.path, episodes=3) == still
    sampled = evaluate(run.path, episodes=3, stochastic=True)
    assert sampled.returns != still.returns
    assert evaluate(run.path, episodes=3, stochastic=True, workers=2, lanes=16) == sampled
    data = collect(
        "Pendulum-v1",
        tmp_path / "data.h5",
        policy=str(run.path),
        noise="sample",
        episodes=3,
        progress=False,
        **SHORT,
    )
    direct = collect(
        "Pendulum-v1", tmp_path / "direct.h5", policy=pendulum_sampler(), episodes=3, progress=False, **SHORT
    )
    assert columns(data) == columns(direct)


def test_distribution_comes_before_the_sampler(run):
    inputs = keras.Input((3,))
    distribution = keras.Model(inputs, {"mean": inputs[:, :1], "log_std": inputs[:, :1]})
    run.save_models({"sampler": pendulum_sampler(), "stochastic_policy": distribution}, {})
    spec = run.environment()
    decision = load_policy(run.path, spec, stochastic=True).act(
        np.zeros((2, 3), np.float32), [np.random.default_rng(lane) for lane in range(2)]
    )
    assert np.isfinite(decision.log_probs).all()
