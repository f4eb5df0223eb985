"""Environments with numbers that float32 rounds: recording keeps them, or says which column lost its digits."""

import warnings

import gymnasium
import numpy as np
import pytest

from vinci_offline import VinciWarning, collect
from vinci_offline.policies.noise import LaneNoise, Noise
from vinci_offline.policies.policy import Decision
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec import BoxSpace, EnvironmentSpec

HUGE = np.finfo(np.float32).max


class Clock(gymnasium.Env):
    """Shows the time, in seconds, and a number beyond 32 bits."""

    observation_space = gymnasium.spaces.Dict(
        {
            "time": gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64),
            "ticks": gymnasium.spaces.Box(0, 2**40, (1,), np.int64),
        }
    )
    action_space = gymnasium.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, start=1.7e9):
        self.start = start

    def _observation(self):
        return {"time": np.array([self.start + self.count]), "ticks": np.array([3_000_000_000 + self.count])}

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return self._observation(), {}

    def step(self, action):
        self.count += 1
        return self._observation(), 0.0, False, self.count == 20, {}


def test_recording_keeps_float64_and_integers(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = collect(Clock(), tmp_path / "data.h5", episodes=1, float64=True, progress=False)
    assert data.columns["observations/time"][:, 0].tolist() == (1.7e9 + np.arange(20)).tolist()
    assert data.columns["next_observations/ticks"][:, 0].tolist() == [3_000_000_001 + i for i in range(20)]


def test_recording_says_what_float32_rounds(tmp_path):
    with pytest.warns(VinciWarning, match="observations/time is near 1.7e.09 .* record it with float64"):
        data = collect(Clock(), tmp_path / "data.h5", episodes=1, progress=False)
    assert len(np.unique(data.columns["observations/time"])) == 1
    assert len(np.unique(data.columns["observations/ticks"])) == 20


def test_recording_says_nothing_of_ordinary_numbers(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        collect(Clock(start=100.0), tmp_path / "data.h5", episodes=1, progress=False)


def test_largest_float32_is_no_bound_in_collection():
    space = BoxSpace((2,), "float32", np.full(2, -HUGE), np.array([HUGE, 0.5], np.float32))
    assert space.bounded.tolist() == [False, False]
    spec = EnvironmentSpec(space, space)
    rngs = [np.random.default_rng(lane) for lane in range(200)]
    drawn = RandomPolicy(spec).act(np.zeros((200, 2)), rngs).actions
    assert np.abs(drawn[:, 0]).max() < 10  # standard normal
    assert drawn[:, 1].max() <= 0.5
    noise = LaneNoise(Noise.parse("gaussian:0.1"), spec, 200)
    for lane in range(200):
        noise.begin(lane, 0.0)
    noisy = noise.apply(Decision(np.zeros((200, 2), np.float32), None), rngs, deterministic=True)
    assert noisy.actions[:, 0].std() == pytest.approx(0.1, rel=0.2)
