"""Environments that do not repeat are refused or named, and long episodes without a time limit are named."""

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, TimeLimit

from vinci_offline import UsageError, VinciWarning, collect, evaluate
from vinci_offline.envs.repeatable import check_repeats, refuse_running_statistics
from vinci_offline.spec import environment_spec


class Plain(gymnasium.Env):
    """Draws its observations. An episode ends after `length` steps."""

    observation_space = Box(-9, 9, (2,), np.float32)
    action_space = Discrete(2)

    def __init__(self, length=3):
        self.length = length

    def _observation(self):
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._observation(), {}

    def step(self, action):
        self.count += 1
        return self._observation(), 1.0, self.count == self.length, False, {}


class Statistics:
    """Like ``RunningMeanStd`` of Gymnasium and Stable-Baselines3."""

    def __init__(self):
        self.mean, self.var, self.count = np.zeros(2), np.ones(2), 1e-4

    def update(self, values):
        pass


class Normalizing(gymnasium.ObservationWrapper):
    """A wrapper of a user's own with statistics of each key."""

    def __init__(self, env):
        super().__init__(env)
        self.obs_rms, self.training = {"a": Statistics()}, True

    def observation(self, observation):
        return observation


class Normalized(Plain):
    """An environment that keeps statistics without a wrapper."""

    def __init__(self):
        super().__init__()
        self.statistics = Statistics()


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: NormalizeObservation(Plain()), "NormalizeObservation"),
        (lambda: TimeLimit(NormalizeReward(Plain()), 5), "NormalizeReward"),
        (lambda: TimeLimit(Normalizing(Plain()), 5), "Normalizing"),
        (Normalized, "Normalized"),
    ],
)
def test_running_statistics_are_refused(tmp_path, make, name):
    for run in (
        lambda: collect(make, tmp_path / "data.h5", episodes=1, progress=False),
        lambda: collect(make(), tmp_path / "data.h5", episodes=1, progress=False),
        lambda: evaluate("random", make, episodes=1),
    ):
        with pytest.raises(UsageError, match=rf"^{name} keeps running statistics.*record raw values"):
            run()
    assert not (tmp_path / "data.h5").exists()


def test_frozen_statistics_pass():
    env, own = NormalizeObservation(Plain()), Normalizing(Plain())
    env.update_running_mean = own.training = False
    refuse_running_statistics(env)
    refuse_running_statistics(own)


class Unseeded(Plain):
    def _observation(self):
        return np.random.default_rng().uniform(-1, 1, 2).astype(np.float32)


class LateDraw(Plain):
    def step(self, action):
        observation, _, *rest = super().step(action)
        return observation, float(np.random.default_rng().uniform()), *rest


@pytest.mark.parametrize(("kind", "what"), [(Unseeded, "first observation"), (LateDraw, "first reward")])
def test_one_seed_with_two_episodes_is_named(tmp_path, kind, what):
    for run in (
        lambda: collect(kind, tmp_path / f"{what}.h5", episodes=1, progress=False),
        lambda: evaluate("random", kind, episodes=1),
    ):
        with pytest.warns(VinciWarning, match=rf"two different episodes for one seed \(the {what} differs\)"):
            run()


def test_repeating_environments_pass_in_silence():
    for env in (Plain(), gymnasium.make("Pendulum-v1"), gymnasium.make("FrozenLake-v1")):
        check_repeats(env, environment_spec(env))


def test_reused_observation_array_is_no_difference():
    class Reusing(Plain):
        seen = np.zeros(2, np.float32)

        def _observation(self):
            self.seen[:] = super()._observation()
            return self.seen

    check_repeats(Reusing(), environment_spec(Reusing()))


@pytest.mark.parametrize("policy", ["random", lambda observation: 1])
def test_long_episode_without_a_limit_is_named(tmp_path, monkeypatch, policy):
    monkeypatch.setattr("vinci_offline.envs.stepper._LONG", 300)
    with pytest.warns(
        VinciWarning, match=r"taken 300 steps, .* no time limit.*--max-episode-steps"
    ) as caught:
        evaluate(policy, lambda: Plain(700), episodes=1)
    assert len(caught) == 1
    with pytest.warns(VinciWarning, match="no time limit"):
        collect(lambda: Plain(700), tmp_path / "a.h5", episodes=1, policy=policy, progress=False)
    # These end by themselves: nothing to say.
    collect(lambda: Plain(700), tmp_path / "b.h5", steps=400, policy=policy, progress=False)
    evaluate(policy, lambda: Plain(700), episodes=1, max_episode_steps=400)


@pytest.mark.parametrize("env", [Plain, Plain(9**9), lambda: Plain(9**9), "Pendulum-v1"])
def test_time_limit_of_the_command_holds(tmp_path, env):
    env = Plain(9**9) if env is Plain else env
    assert evaluate("random", env, episodes=2, max_episode_steps=5).lengths == (5, 5)
    data = collect(env, tmp_path / "a.h5", episodes=2, max_episode_steps=5, progress=False)
    assert data.episodes["length"].tolist() == [5, 5]
    assert data.spec.max_episode_steps == 5
    with pytest.raises(UsageError, match="max_episode_steps must be at least 1"):
        evaluate("random", env, episodes=1, max_episode_steps=0)
