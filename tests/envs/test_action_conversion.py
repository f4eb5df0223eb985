"""What acts is what is stored: actions of every space, from every kind of policy, as the environment receives them."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from vinci_offline import EnvWrapper, SpecError, collect, evaluate
from vinci_offline.envs.replay_check import _action
from vinci_offline.policies.actions import to_actions, to_choices, to_environment
from vinci_offline.spec import action_space_from_gymnasium

SPACES = {
    "scalar": (Box(-1, 1, (), np.float32), 0.7),
    "scalar float64": (Box(-1, 1, (), np.float64), 0.5),
    "scalar int32": (Box(-5, 5, (), np.int32), -3),
    "one number": (Box(-1, 1, (1,), np.float32), [0.7]),
    "vector": (Box(np.array([-1, 0, 5], "f4"), np.array([1, 2, 9], "f4")), [0.25, 1.5, 7.0]),
    "matrix": (Box(-1, 1, (2, 3), np.float64), [[0.5, -0.5, 0.25], [0, 1, -1]]),
    "half bounded": (Box(np.array([-np.inf, 0], "f4"), np.array([np.inf, np.inf], "f4")), [-80.5, 3]),
    "bytes": (Box(0, 255, (2, 2), np.uint8), [[0, 255], [7, 200]]),
    "integers": (Box(-3, 3, (2,), np.int64), [3, -2]),
    "discrete": (Discrete(3), 2),
    "discrete from": (Discrete(3, start=-1), -1),
    "multidiscrete": (MultiDiscrete([3, 4]), [2, 0]),
    "multidiscrete 2d": (MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [5, -2]]), [[1, 3], [6, -2]]),
    "multibinary": (MultiBinary(3), [1, 0, 1]),
    "multibinary 2d": (MultiBinary((2, 2)), [[1, 0], [0, 1]]),
}


class Listener(gymnasium.Env):
    """Keeps what it receives, then overwrites its argument. Episodes have three steps."""

    observation_space = Box(-9, 9, (2,), np.float32)

    def __init__(self, space):
        self.action_space, self.received = space, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(2, np.float32), {}

    def step(self, action):
        assert type(action) in (int, np.ndarray)
        assert self.action_space.contains(action)
        self.received.append(np.array(action))
        if isinstance(action, np.ndarray):
            action[...] = self.action_space.low if isinstance(self.action_space, Box) else 0
        self.count += 1
        return np.zeros(2, np.float32), 0.0, self.count == 3, False, {}


class Batched:
    def __init__(self, action, deterministic=True):
        self.action, self.deterministic = action, deterministic

    def act(self, observations, rngs):
        return np.array([self.action] * len(rngs))


def constant_network(action):
    import keras

    values = np.asarray(action, np.float32)
    inputs = keras.Input((2,))
    dense = keras.layers.Dense(
        values.size, kernel_initializer="zeros", bias_initializer=lambda shape, dtype=None: values.reshape(-1)
    )
    return keras.Model(inputs, keras.layers.Reshape(values.shape)(dense(inputs)))


def received_and_stored(space, policy, tmp_path, **options):
    """Return what the environment received while recording, and the file's actions; check an evaluation too."""
    env = Listener(space)
    data = collect(
        env, tmp_path / "data.h5", episodes=2, policy=policy, progress=False, float64=True, **options
    )
    received = np.array(env.received)[-6:]
    if not options and policy != "random":
        judged = Listener(space)
        evaluate(policy, judged, episodes=2)
        assert np.array_equal(np.array(judged.received)[-6:], received)
    return received, data.columns["actions"]


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("kind", ["function", "object", "random"])
def test_environment_receives_what_is_stored(tmp_path, name, kind):
    space, action = SPACES[name]
    policy = {"function": lambda observation: action, "object": Batched(action), "random": "random"}[kind]
    received, stored = received_and_stored(space, policy, tmp_path)
    assert np.array_equal(received, stored)
    if kind != "random":
        assert np.array_equal(stored, np.broadcast_to(np.asarray(action, stored.dtype), stored.shape))


@pytest.mark.parametrize("name", ["scalar", "matrix", "bytes", "discrete from", "multidiscrete 2d"])
def test_environment_receives_what_a_network_gives(tmp_path, name):
    space, action = SPACES[name]
    received, stored = received_and_stored(space, constant_network(action), tmp_path)
    assert np.array_equal(received, stored)
    assert np.array_equal(stored, np.broadcast_to(np.asarray(action, stored.dtype), stored.shape))


@pytest.mark.parametrize(
    ("name", "noise"),
    [
        ("scalar", "gaussian:0.5"),
        ("scalar", "ou:0.2:0.5"),
        ("scalar", "epsilon:0.5"),
        ("bytes", "epsilon:0.5"),
    ],
)
def test_environment_receives_noise_as_stored(tmp_path, name, noise):
    space, action = SPACES[name]
    received, stored = received_and_stored(space, Batched(action), tmp_path, noise=noise)
    assert np.array_equal(received, stored)
    assert len(np.unique(stored, axis=0)) > 1


def test_goal_exploration_acts_on_a_scalar(tmp_path):
    received, stored = received_and_stored(SPACES["scalar int32"][0], "gep", tmp_path, lanes=1)
    assert np.array_equal(received, stored)


def test_wrapper_and_named_policy_act_alike(tmp_path):
    (tmp_path / "own.py").write_text("def act(observation):\n    return 0.7\n")
    env = Listener(SPACES["scalar"][0])
    wrapped = EnvWrapper(env)
    policy = f"{tmp_path / 'own.py'}:act"
    data = collect(wrapped, tmp_path / "data.h5", episodes=1, policy=policy, progress=False)
    assert np.array(env.received)[-3:].tolist() == [np.float32(0.7)] * 3
    evaluate(policy, wrapped, episodes=1)
    assert np.array(env.received)[-3:].tolist() == [np.float32(0.7)] * 3
    assert data.columns["actions"].tolist() == [np.float32(0.7)] * 3


@pytest.mark.parametrize("name", SPACES)
def test_replay_gives_stored_actions(name):
    space, action = SPACES[name]
    described = action_space_from_gymnasium(space)
    env = Listener(space)
    stored = to_actions(np.array([action]), described, 1)[0]
    env.reset()
    env.step(_action(env, described, np.asarray(stored)))
    assert env.received[0].tolist() == np.asarray(stored).tolist()


def test_replay_leaves_out_impossible_actions():
    scalar, choice = (action_space_from_gymnasium(SPACES[name][0]) for name in ("scalar", "discrete"))
    assert _action(Listener(SPACES["scalar"][0]), scalar, np.array(np.nan)) is None
    assert _action(Listener(SPACES["discrete"][0]), choice, np.array(7)) is None


def refused(space, output, lanes=2):
    with pytest.raises(SpecError, match="the policy gave") as caught:
        to_actions(output, action_space_from_gymnasium(space), lanes)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "output", "says"),
    [
        ("multidiscrete", [[0, 1], [1.5, 1]], r"1\.5; the environment takes MultiDiscrete"),
        ("multidiscrete", [[0, 1], [3, 1]], "action 3; the environment takes"),
        ("multibinary", [[0, 1, 0], [0, -1, 0]], "action -1; the environment takes"),
        ("integers", [[0, 1], [0.5, 1]], r"action 0\.5, and the environment takes whole numbers"),
        ("bytes", np.full((2, 2, 2), 127.4), "whole numbers"),
        ("discrete", [0.5, 1], r"action 0\.5; the environment takes Discrete\(3\): 0 to 2"),
        ("scalar", ["0.5", "0.7"], "type <U3"),
        ("scalar", [0.5, np.nan], "NaN"),
        ("scalar", np.zeros((2, 3)), r"shape \(3,\)"),
        ("half bounded", [[0, 1], [1e300, 1]], "float32 cannot hold"),
    ],
)
def test_output_that_would_change_is_refused(name, output, says):
    import re

    assert re.search(says, refused(SPACES[name][0], output))


def test_lossless_casts_are_accepted():
    choices = action_space_from_gymnasium(SPACES["multidiscrete"][0])
    assert to_actions(np.array([[2.0, 3.0]]), choices, 1).dtype == np.int64
    integers = action_space_from_gymnasium(SPACES["integers"][0])
    assert to_actions(np.array([[2.0, 99.0], [-np.inf, 1e30]]), integers, 2).tolist() == [[2, 3], [-3, 3]]
    unbounded = action_space_from_gymnasium(Box(-(2**63), 2**63 - 1, (1,), np.int64))
    assert to_actions(np.array([[1e30]]), unbounded, 1).tolist() == [[2**63 - 1]]


def test_scores_that_are_nan_are_refused():
    space = action_space_from_gymnasium(Discrete(2, start=4))
    assert to_choices(np.array([[0.0, 1.0], [1.0, 0.0]]), space, 2).tolist() == [5, 4]
    with pytest.raises(SpecError, match="a score that is NaN"):
        to_choices(np.array([[0.0, 1.0], [np.nan, 0.0]]), space, 2)


def test_given_actions_are_copies():
    actions = np.zeros((2, 3), np.float32)
    given = to_environment(actions, action_space_from_gymnasium(Box(-1, 1, (3,), np.float32)))
    given[0][:] = 1
    assert not actions.any()
    assert not given[1].any()


def test_wrong_action_names_episode_and_step(tmp_path):
    class Late:
        calls = 0

        def act(self, observations, rngs):
            self.calls += 1
            return np.full(len(rngs), np.nan if self.calls == 5 else 0.5)

    for run in (
        lambda: evaluate(Late(), Listener(SPACES["scalar"][0]), episodes=3),
        lambda: collect(
            Listener(SPACES["scalar"][0]), tmp_path / "a.h5", episodes=3, policy=Late(), progress=False
        ),
    ):
        with pytest.raises(SpecError, match=r"NaN.* \(in episode 1, at step 2\)"):
            run()
