from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest

from vinci_offline import EnvWrapper, UsageError
from vinci_offline.envs.goal_reward import EnvironmentReward

SPACE = gym.spaces.Box(-1, 1, (2,), np.float32)


class Reach(gym.Env):
    observation_space = gym.spaces.Dict({"observation": SPACE, "achieved_goal": SPACE, "desired_goal": SPACE})
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def compute_reward(self, achieved, desired, info):
        return -np.linalg.norm(achieved - desired, axis=-1)


class Ending(Reach):
    """Goal environment whose compute_reward takes a single goal; a batch of goals gives one number."""

    def compute_reward(self, achieved, desired, info):
        return -float(np.linalg.norm(achieved - desired))

    def compute_terminated(self, achieved, desired, info):
        if achieved.ndim > 1:
            raise ValueError("one at a time")
        return bool(np.allclose(achieved, desired))


class Broken(Reach):
    def compute_reward(self, achieved, desired, info):
        return info["distance"]


@pytest.fixture
def goals():
    achieved = np.random.default_rng(0).uniform(-1, 1, (20, 2)).astype(np.float32)
    return achieved, np.roll(achieved, 1, axis=0)


@pytest.mark.parametrize("made", [Reach, Ending])
def test_rewards_match_environment_in_batches_and_rows(goals, made):
    reward = EnvironmentReward(EnvWrapper(made()))
    expected = -np.linalg.norm(goals[0] - goals[1], axis=1)
    np.testing.assert_allclose(reward.rewards(*goals), expected, rtol=1e-6)
    np.testing.assert_allclose(reward.rewards(goals[0][:1], goals[1][:1]), expected[:1], rtol=1e-6)


def test_terminals_need_compute_terminated(goals):
    assert EnvironmentReward(EnvWrapper(Reach())).terminals(*goals) is None
    reward = EnvironmentReward(EnvWrapper(Ending()))
    desired = np.where(np.arange(20)[:, None] % 2 == 0, goals[0], goals[1])
    np.testing.assert_array_equal(reward.terminals(goals[0], desired), np.arange(20) % 2 == 0)


def test_bad_goal_environments_are_refused(goals):
    with pytest.raises(UsageError, match="Pendulum-v1 has no compute_reward: give --reward-threshold"):
        EnvironmentReward(EnvWrapper("Pendulum-v1"))
    with pytest.raises(UsageError, match=r"compute_reward of .* failed: KeyError"):
        EnvironmentReward(EnvWrapper(Broken())).rewards(*goals)
