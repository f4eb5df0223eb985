"""The normalisation of a Stable-Baselines3 policy's observations, without Stable-Baselines3.

`test_sb3_policy.py` compares with the package itself, where it is installed: `scripts/test-peers` installs it.
"""

import pickle

import numpy as np
import pytest

from vinci_offline.errors import SpecError, VinciError
from vinci_offline.policies.sb3_files import load_normalization
from vinci_offline.policies.sb3_policy import Sb3Policy
from vinci_offline.spec import BoxSpace, EnvironmentSpec

SPEC = EnvironmentSpec(
    BoxSpace((2,), "float32", np.full(2, -np.inf, "f4"), np.full(2, np.inf, "f4")),
    BoxSpace((1,), "float32", -np.ones(1, "f4"), np.ones(1, "f4")),
    id="Line-v0",
)


class Moments:
    def __init__(self, mean, var):
        self.mean, self.var = np.asarray(mean), np.asarray(var)


class Normalizer:
    """What a file of VecNormalize holds, as far as acting needs it."""

    def __init__(self, norm_obs=True, mean=(1.0, -1.0), var=(4.0, 0.25)):
        self.norm_obs, self.obs_rms = norm_obs, Moments(mean, var)

    def normalize_obs(self, observations):
        return (observations - self.obs_rms.mean) / np.sqrt(self.obs_rms.var)


class Recorder:
    """A network that acts by the first number that it sees."""

    def predict(self, observations, states, starting, deterministic):
        self.seen = np.asarray(observations)
        return self.seen[:, :1], states


def stored(tmp_path, found):
    path = tmp_path / "statistics.pkl"
    path.write_bytes(pickle.dumps(found))
    return path


def acting(normalize):
    """Return a policy on a `Recorder`. Making one from a file needs the package."""
    policy = Sb3Policy.__new__(Sb3Policy)
    policy._space, policy._policy, policy._normalize = SPEC.action_space, Recorder(), normalize
    policy._recurrent = policy._stochastic = False
    policy._states, policy._starting, policy.deterministic = None, np.zeros(0, np.bool_), True
    return policy


def test_policy_sees_normalised_observations(tmp_path):
    policy = acting(load_normalization(stored(tmp_path, Normalizer()), SPEC))
    actions = policy.act(np.array([[3.0, 0.0], [1.0, -1.0]], "f4"), [np.random.default_rng(0)] * 2).actions
    np.testing.assert_allclose(policy._policy.seen, [[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(actions, [[1.0], [0.0]])


def test_statistics_that_leave_observations_alone_are_not_applied(tmp_path):
    assert load_normalization(stored(tmp_path, Normalizer(norm_obs=False)), SPEC) is None


def test_statistics_of_other_observations_are_refused(tmp_path):
    with pytest.raises(SpecError, match=r"of shape \(3,\), and Line-v0 has"):
        load_normalization(stored(tmp_path, Normalizer(mean=(0.0, 0.0, 0.0), var=(1.0, 1.0, 1.0))), SPEC)


def test_other_objects_are_refused(tmp_path):
    with pytest.raises(VinciError, match="holds a Moments: give the file that"):
        load_normalization(stored(tmp_path, Moments(0.0, 1.0)), SPEC)
