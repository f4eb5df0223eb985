"""Histograms over the dataset's observations: what they hold, when they are written, and that they change nothing."""

import hashlib
from dataclasses import replace

import keras
import numpy as np
import pytest

import vinci_offline
from vinci_offline.envs.evaluator import Evaluation
from vinci_offline.hooks.distributions import Distributions
from vinci_offline.spec import BoxSpace, EnvironmentSpec
from vinci_offline.training import trainer


class Heard:
    """Stands for TensorBoard, and keeps what it is given."""

    def __init__(self):
        self.written = {}

    def histogram(self, step, tag, values):
        self.written[step, tag] = np.asarray(values)


EVALUATION = Evaluation(None, 1, (1.0,), (1,))


@pytest.fixture
def observation():
    return keras.Input((2,))


def test_actions_and_values_at_evaluations_and_the_end(tmp_path, make_run, observation):
    policy = keras.Model(observation, observation[:, 1:] * 2)
    value = keras.Model(observation, observation[:, 0] * 7)
    run = make_run(tmp_path, policy=policy, nets={"value": value})
    recorded = run.observations[:, :1] * 3
    heard = Heard()
    hook = Distributions(heard)
    hook.start(replace(run, actions=recorded))
    hook.metrics(5, {})
    hook.evaluation(10, EVALUATION)
    hook.finish(10)  # the same networks
    hook.finish(20)
    assert list(heard.written) == [
        (0, "action/data"),
        *((step, tag) for step in (10, 20) for tag in ("action/policy", "value")),
    ]
    np.testing.assert_array_equal(heard.written[0, "action/data"], recorded[:, 0])
    np.testing.assert_allclose(heard.written[10, "action/policy"], run.observations[:, 1] * 2, rtol=1e-6)
    np.testing.assert_allclose(heard.written[20, "value"], run.observations[:, 0] * 7, rtol=1e-6)


def test_resumed_run_shows_the_data_once(tmp_path, make_run, observation):
    policy = keras.Model(observation, observation[:, 1:])
    run = make_run(tmp_path, policy=policy, start_step=10)
    heard = Heard()
    Distributions(heard).start(replace(run, actions=run.observations[:, :1]))
    assert heard.written == {}


def test_six_dimensions_of_many_and_512_rows_at_most(tmp_path, make_run, observation):
    policy = keras.Model(observation, keras.ops.tile(observation, (1, 4)))
    run = make_run(tmp_path, policy=policy, observations=np.zeros((4000, 2), np.float32))
    heard = Heard()
    hook = Distributions(heard)
    hook.start(run)
    hook.finish(1)
    assert [tag for _, tag in heard.written] == [f"action_{place}/policy" for place in range(6)]
    assert {len(values) for values in heard.written.values()} == {512}


def test_few_rows_of_images(tmp_path, make_run):
    image = keras.Input((64, 64, 3))
    policy = keras.Model(image, keras.ops.mean(image, axis=(1, 2))[:, :1])
    bounds = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 255, np.uint8)
    actions = BoxSpace((1,), "float32", np.array([-1], np.float32), np.array([1], np.float32))
    spec = EnvironmentSpec(BoxSpace((64, 64, 3), "uint8", *bounds), actions)
    pictures = np.zeros((100, 64, 64, 3), np.uint8)
    heard = Heard()
    hook = Distributions(heard)
    hook.start(make_run(tmp_path, policy=policy, spec=spec, observations=pictures))
    hook.finish(1)
    assert {tag: len(values) for (_, tag), values in heard.written.items()} == {"action/policy": 21}


def test_diverged_networks_have_no_histogram(tmp_path, make_run, observation):
    broken = keras.Model(observation, keras.ops.log(-keras.ops.abs(observation[:, :1]) - 1))
    heard = Heard()
    hook = Distributions(heard)
    hook.start(make_run(tmp_path, policy=broken))
    hook.finish(1)
    assert heard.written == {}


def test_pictures_and_histograms_change_no_weight(tmp_path, monkeypatch):
    def digest(name):
        given = {"steps": 12, "log_every": 4, "eval_every": 6, "eval_episodes": 1, "batch_size": 16}
        result = vinci_offline.train(
            "mountaincar-mixed",
            "td3bc",
            settings={"hidden": (8,)},
            output=tmp_path / name,
            progress=False,
            **given,
        )
        weights = result.policy.get_weights()
        return hashlib.sha256(b"".join(each.tobytes() for each in weights)).hexdigest()

    shown = digest("shown")
    assert (tmp_path / "shown" / "portraits").is_dir()
    monkeypatch.setattr(trainer, "default_hooks", lambda progress: ())
    assert digest("silent") == shown
    assert not (tmp_path / "silent" / "portraits").exists()
