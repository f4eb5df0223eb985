"""Policies with a history: `reset`, `act` and `observe` belong to lanes and episodes."""

import numpy as np
import pytest

from vinci_offline import collect, evaluate
from vinci_offline.envs.making import make_env
from vinci_offline.policies.callable_policy import FunctionPolicy, ObjectPolicy, own_policy
from vinci_offline.policies.policy import HistoryPolicy, Policy
from vinci_offline.spec import environment_spec

MODULE = """
import numpy as np

from vinci_offline.policies.policy import Decision, HistoryPolicy


class Momentum(HistoryPolicy):
    '''Acts on the episode's previous action and reward, and on a draw of its own.'''

    def __init__(self, spec):
        self.action = self.reward = None

    def reset(self, lanes):
        if self.action is None:
            self.action, self.reward = np.zeros((2, len(lanes)))
        self.action[lanes] = self.reward[lanes] = 0

    def act(self, observations, rngs):
        draws = np.array([rng.uniform(-0.1, 0.1) for rng in rngs])
        chosen = 0.5 * self.action + 0.25 * self.reward + 0.3 + draws
        return Decision(chosen[:, None], None)

    def observe(self, lanes, actions, rewards):
        self.action[lanes], self.reward[lanes] = actions[:, 0], rewards
"""
OPTIONS = {"env_kwargs": {"varied": True}, "progress": False}


@pytest.fixture
def momentum(tmp_path):
    path = tmp_path / "momentum.py"
    path.write_text(MODULE)
    return f"{path}:Momentum"


def record(toys, path, policy, **options):
    return collect("vinci_toys:Counter", path, policy=policy, **OPTIONS, **options)


def columns(data):
    return {path: values.tobytes() for path, values in data.columns.items()}


def test_actions_follow_the_previous_action_and_reward(momentum, toys, tmp_path):
    data = record(toys, tmp_path / "data.h5", momentum, episodes=30, lanes=4)
    actions, rewards = data.columns["actions"][:, 0], data.columns["rewards"]
    first = np.zeros(len(data), bool)
    first[data.episodes["start"]] = True
    before = 0.5 * np.roll(actions, 1) + 0.25 * np.roll(rewards, 1)
    expected = np.where(first, 0, before) + 0.3
    assert np.abs(actions - expected).max() <= 0.1 + 1e-6
    assert data.episodes["length"].nunique() > 3


@pytest.mark.parametrize("options", [{"lanes": 1}, {"lanes": 7}, {"lanes": 4, "workers": 2}], ids=str)
def test_lanes_and_workers_do_not_change_collected_data(momentum, toys, tmp_path, options):
    one = record(toys, tmp_path / "one.h5", momentum, episodes=30, lanes=4)
    other = record(toys, tmp_path / "other.h5", momentum, episodes=30, **options)
    assert columns(one) == columns(other)


def test_observe_gets_the_noisy_action(momentum, toys, tmp_path):
    data = record(toys, tmp_path / "data.h5", momentum, episodes=8, lanes=3, noise="gaussian:0.3")
    wide = record(toys, tmp_path / "wide.h5", momentum, episodes=8, lanes=5, noise="gaussian:0.3")
    assert columns(data) == columns(wide)
    assert "infos/action_log_probs" not in data.columns


@pytest.mark.parametrize("options", [{"lanes": 1}, {"lanes": 7}, {"lanes": 4, "workers": 2}], ids=str)
def test_lanes_and_workers_do_not_change_returns(momentum, toys, options):
    kwargs = {"episodes": 21, "env_kwargs": OPTIONS["env_kwargs"]}
    one = evaluate(momentum, "vinci_toys:Counter", lanes=4, **kwargs)
    assert evaluate(momentum, "vinci_toys:Counter", **options, **kwargs) == one
    assert len(set(one.returns)) > 15


class Told:
    """Policy that records its calls in order."""

    def __init__(self):
        self.calls = []

    def reset(self, lanes):
        self.calls.append(("reset", lanes.tolist()))

    def act(self, observations, rngs):
        self.calls.append(("act", len(rngs)))
        return np.zeros((len(rngs), 1))

    def observe(self, lanes, actions, rewards):
        assert actions.shape == (len(lanes), 1)
        assert rewards.shape == (len(lanes),)
        self.calls.append(("observe", lanes.tolist()))


def test_each_step_calls_act_observe_reset(toys):
    told = Told()
    evaluate(told, toys.Counter, episodes=3, lanes=2, env_kwargs={"length": 2})
    assert told.calls == [
        ("reset", [0, 1]),
        ("act", 2),
        ("observe", [0, 1]),
        ("act", 2),
        ("observe", [0, 1]),
        ("reset", [0, 1]),
        ("act", 2),
        ("observe", [0]),
        ("act", 2),
        ("observe", [0]),
        ("reset", [0]),
    ]


def test_own_policies_become_contract_policies():
    spec = environment_spec(make_env("Pendulum-v1"))
    function, told = own_policy(lambda observation: observation[:1], spec), own_policy(Told, spec)
    assert isinstance(function, FunctionPolicy)
    assert not isinstance(function, HistoryPolicy)
    assert isinstance(told, ObjectPolicy)
    assert isinstance(told, HistoryPolicy)
    assert function.fresh() is function
    assert told.fresh() is not told


def test_contract_methods_must_be_there():
    class Half(HistoryPolicy):
        def act(self, observations, rngs):
            raise NotImplementedError

    with pytest.raises(TypeError, match="reset"):
        Half()
    with pytest.raises(TypeError, match="act"):
        Policy()
