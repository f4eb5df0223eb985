import gymnasium
import numpy as np
import pytest

from vinci_offline import EnvironmentSpec, EnvWrapper, collect
from vinci_offline.errors import UsageError


def test_wrapper_steps_like_the_environment():
    env, plain = EnvWrapper("Pendulum-v1"), gymnasium.make("Pendulum-v1")
    assert (env.reset(seed=3)[0] == plain.reset(seed=3)[0]).all()
    action = np.array([0.5], np.float32)
    assert env.step(action)[1] == plain.step(action)[1]


def test_inputs_are_made_once():
    env = EnvWrapper("Pendulum-v1", g=5.0)
    assert env.state is env.state
    assert env.action is env.action
    assert tuple(env.state.shape) == (None, 3)
    assert tuple(env.action.shape) == (None, 1)
    assert (env.state_space_dim, env.action_space_dim) == (3, 1)
    assert EnvironmentSpec.from_json(env.spec_json) == env.environment_spec
    assert env.environment_spec.kwargs == {"g": 5.0}


def test_functional_and_sequential_networks():
    import keras

    env = EnvWrapper("MountainCarContinuous-v0")
    hidden = keras.layers.Dense(8, activation="relu")(keras.layers.Concatenate()([env.state, env.action]))
    critic = keras.Model([env.state, env.action], keras.layers.Dense(1)(hidden))
    actor = keras.Sequential(
        [keras.Input((env.state_space_dim,)), keras.layers.Dense(env.action_space_dim, activation="tanh")]
    )
    states = np.zeros((4, 2), np.float32)
    assert critic.predict_on_batch([states, actor.predict_on_batch(states)]).shape == (4, 1)


def test_wrapper_leaves_spaces_unchanged(toys):
    for env in (toys.Counter(dtype="float64"), toys.Chooser(), gymnasium.make("CartPole-v1")):
        observation_space, action_space = str(env.observation_space), str(env.action_space)
        wrapped = EnvWrapper(env)
        assert wrapped.action.dtype == wrapped.state.dtype == "float32"
        assert (str(env.observation_space), str(env.action_space)) == (observation_space, action_space)
        assert wrapped.action_space is env.action_space
    assert EnvWrapper(toys.Chooser()).action_space_dim == 3
    assert EnvWrapper(toys.Chooser()).state_space_dim == 100


def test_wrapper_can_be_collected(tmp_path):
    env = EnvWrapper("Pendulum-v1")
    data = collect(env, tmp_path / "data.h5", episodes=1, progress=False)
    assert data.spec == env.environment_spec


def test_unknown_environment_is_refused():
    with pytest.raises(UsageError, match="no environment"):
        EnvWrapper("Pendulm-v1")
