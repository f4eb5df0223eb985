"""Deterministic policies of continuous actions, smoothed by a kernel."""

import numpy as np
import pytest
from data_examples import box, make_columns
from scipy.stats import norm, truncnorm

from vinci_offline import Dataset, UsageError, estimate
from vinci_offline.errors import SpecError
from vinci_offline.evaluation.evidence.smoothed import Smoothed
from vinci_offline.policies.policy import Decision, Policy
from vinci_offline.spec import EnvironmentSpec


class Constant(Policy):
    """A policy that always takes one action."""

    deterministic = True

    def __init__(self, action):
        self._action = np.asarray(action, np.float32)

    def act(self, observations, rngs):
        return Decision(np.tile(self._action, (len(rngs), 1)), None)


def uniform(count=4000, dim=1, seed=0):
    """Return one-step data of a uniform behaviour, with the reward 1 - (a - 0.3)^2 of the first action."""
    spec = EnvironmentSpec(box(1), box(dim, low=-1, high=1), id="Line-v0")
    made = make_columns(spec, [1] * count, seed=seed, terminated=[True] * count)
    rewards = 1 - np.square(made["actions"][:, 0] - 0.3)
    logs = np.full(count, dim * np.log(0.5))
    return Dataset.from_columns({**made, "rewards": rewards, "infos/action_log_probs": logs}, spec)


@pytest.fixture
def judge(monkeypatch):
    """Let `estimate` take a policy of this module."""
    from vinci_offline.evaluation import estimates

    def judged(action, data, **options):
        monkeypatch.setattr(estimates, "load_policy", lambda *_, **__: Constant(action))
        return estimate("constant", data, interval="t", methods=["ipw"], **options)

    return judged


def test_densities_by_hand():
    space, mean = box(1, low=-1, high=1), 0.5
    actions = np.array([[0.5], [0.9], [1.0]], np.float32)
    within = Smoothed(Constant([mean]), space, np.array([0.5]), clipped=False)
    # Noise of deviation 0.5 is inside -1 and 1 with probability Phi(1) - Phi(-3).
    expected = norm.logpdf([0, 0.8, 1]) - np.log(0.5) - np.log(norm.cdf(1) - norm.cdf(-3))
    np.testing.assert_allclose(within.log_probs_of(actions, actions), expected, rtol=1e-6)
    clipped = Smoothed(Constant([mean]), space, np.array([0.5]), clipped=True)
    # All that is above 1 lies on the bound: 1 - Phi(1).
    expected = [*(norm.logpdf([0, 0.8]) - np.log(0.5)), np.log(norm.sf(1))]
    np.testing.assert_allclose(clipped.log_probs_of(actions, actions), expected, rtol=1e-6)


def test_the_bandwidth_follows_the_normal_reference_rule():
    data = uniform()
    found = Smoothed.of(Constant([0]), data, np.arange(4000))
    deviation = data.columns["actions"][:].std(dtype=np.float64)
    # (4 / (3 * 4000))^(1/5) = exp(-ln(3000) / 5) = 0.20164.
    np.testing.assert_allclose(found.bandwidth, [deviation * 0.20164], rtol=1e-4)
    assert "bandwidth 0.11" in found.note


@pytest.mark.parametrize("scale", [None, 0.4])
def test_estimates_are_those_of_the_policy_with_noise(judge, scale):
    data = uniform()
    settings = {} if scale is None else {"kernel.bandwidth": scale}
    found = judge([0.5], data, settings=settings)
    (h,) = Smoothed.of(Constant([0.5]), data, np.arange(4000), scale).bandwidth
    noisy = truncnorm((-1 - 0.5) / h, (1 - 0.5) / h, 0.5, h)
    truth = 1 - noisy.var() - (noisy.mean() - 0.3) ** 2
    assert 0 < 0.96 - truth < 1.1 * h * h  # the bias: the policy itself earns 1 - 0.2^2
    told = found.methods["ipw"]
    assert abs(told.value - truth) < told.high - told.low
    assert told.mean_weight == pytest.approx(1, abs=0.1)
    assert any("Gaussian kernel of bandwidth" in note for note in found.notes)


def test_many_dimensions_and_wrong_bandwidths_are_refused(judge):
    refused = judge([0, 0, 0, 0], uniform(50, dim=4)).methods["ipw"]
    assert "a kernel over 4 action dimensions needs too many rows" in refused.why
    assert "bandwidth above 0" in judge([0], uniform(50), settings={"kernel.bandwidth": 0}).methods["ipw"].why
    with pytest.raises(UsageError, match="kernel has no setting 'width'"):
        judge([0], uniform(50), settings={"kernel.width": 1})
    with pytest.raises(SpecError, match="differ from each other"):
        data = uniform(20)
        Smoothed.of(Constant([0]), data, np.zeros(5, int))
