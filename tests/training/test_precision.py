"""Tests of bfloat16: hidden layers use it; weights, losses, outputs and normalisation stay float32."""

import keras
import numpy as np
import pytest
from backends import every_compiler

from vinci_offline.agents.bc import BC
from vinci_offline.agents.ddpg import DDPG
from vinci_offline.agents.dqn import DQN
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.functional import random
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.testing.agent_contract import BOX, DISCRETE, transitions
from vinci_offline.training.learner import Learner
from vinci_offline.training.precision import precision


def layers(model):
    return [layer for layer in model._flatten_layers(include_self=False) if layer.weights]


@every_compiler
def test_bfloat16_run_matches_float32_and_resumes_bitwise(make_learner, make_engine, trainer_of, jit):
    half = make_learner(dtype="bfloat16")
    initial, engine = half.state(), make_engine(half, jit)
    loss = engine.run(half.select(None), 0, 6)["loss/critic"]
    expected = trainer_of().run(6)["loss/critic"]
    assert loss != expected
    assert loss == pytest.approx(expected, rel=0.05)
    trained = half.state()
    assert {value.dtype.name for value in trained.values()} <= {"float32", "int32", "int64"}
    half.restore(initial)
    for start, count in [(0, 2), (2, 4)]:
        engine.run(half.select(None), start, count)
        half.restore(half.state())
    for name, value in half.state().items():
        np.testing.assert_array_equal(value, trained[name], err_msg=name)


def test_products_are_bfloat16_and_outputs_float32():
    before = keras.config.dtype_policy().name
    with precision("bfloat16"):
        learner = Learner(IQL(hidden=(8, 8)), NetworkBuilder(BOX, (np.zeros(3, "f4"), np.ones(3, "f4"))), 0)
    assert keras.config.dtype_policy().name == before
    for name, net in learner.nets.items():
        inner = [layer for layer in layers(net) if "_dense_" in layer.name]
        assert inner, name
        assert {layer.compute_dtype for layer in inner} == {"bfloat16"}, name
        kernels = [weight for layer in inner for weight in layer.weights]
        assert {keras.backend.standardize_dtype(weight.dtype) for weight in kernels} == {"float32"}
        outputs = net.output.values() if isinstance(net.output, dict) else [net.output]
        assert {x.dtype for x in outputs} == {"float32"}, name


def own_critic(env):
    x = keras.layers.Concatenate()([env.state, env.action])
    return keras.Model([env.state, env.action], keras.layers.Dense(1)(keras.layers.Dense(8, "relu")(x)))


@pytest.mark.parametrize(
    ("agent", "spec", "networks"),
    [
        (BC(hidden=(8,), gaussian=True, state_dependent_std=True), BOX, {}),
        (TD3BC(hidden=(8,)), BOX, {"critic": own_critic}),
        (DDPG(hidden=(8,), invert_gradients=True, critic_l2=0.01), BOX, {}),
        (DQN(hidden=(8, 8), dueling=True), DISCRETE, {}),
    ],
)
def test_losses_are_float32(agent, spec, networks):
    with precision("bfloat16"):
        learner = Learner(agent, NetworkBuilder(spec, user_networks=networks), 0)
    key = random.key(0, keras.ops.convert_to_tensor(1), 0)
    for bound in learner.updates:
        loss, metrics = bound.update.loss(learner.nets, transitions(spec), key)
        assert keras.backend.standardize_dtype(loss.dtype) == "float32"
        assert {keras.backend.standardize_dtype(x.dtype) for x in metrics.values()} <= {"float32"}
        assert np.isfinite(keras.ops.convert_to_numpy(loss))
    if networks:
        inner = [layer.compute_dtype for layer in layers(learner.nets["critic"]) if "dense" in layer.name]
        assert set(inner) == {"bfloat16"}


def test_observations_are_normalised_before_rounding():
    # bfloat16 rounds 1000.5 to 1000: rounding first would make the two states equal.
    with precision("bfloat16"):
        build = NetworkBuilder(BOX, (np.full(3, 1000.0, "f4"), np.full(3, 0.5, "f4")))
        learner = Learner(BC(hidden=(8,)), build, 0)
    states = np.array([[1000.0] * 3, [1000.5] * 3], "f4")
    left, right = keras.ops.convert_to_numpy(learner.policy(states))
    assert not np.allclose(left, right, atol=1e-4)


def test_bfloat16_policy_loads_with_plain_keras(tmp_path):
    with precision("bfloat16"):
        learner = Learner(BC(hidden=(8,)), NetworkBuilder(BOX), 0)
    learner.policy.save(tmp_path / "policy.keras")
    loaded = keras.saving.load_model(tmp_path / "policy.keras", safe_mode=True)
    states = np.linspace(-1, 1, 15, dtype="f4").reshape(5, 3)
    actions = loaded.predict_on_batch(states)
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(actions, learner.policy.predict_on_batch(states))
    dense = [layer for layer in layers(loaded) if "_dense_" in layer.name]
    assert [layer.compute_dtype for layer in dense] == ["bfloat16"]
