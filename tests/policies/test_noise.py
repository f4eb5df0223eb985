import math

import numpy as np
import pytest

from vinci_offline.errors import UsageError
from vinci_offline.policies.noise import LaneNoise, Noise
from vinci_offline.policies.policy import Decision
from vinci_offline.spec import environment_spec

LANES = 2000


@pytest.fixture(scope="module")
def counter(toys):
    return environment_spec(toys.Counter())  # actions in [-1, 3]: half a range is 2


@pytest.fixture(scope="module")
def chooser(toys):
    return environment_spec(toys.Chooser())


def disturbed(text, spec, actions, progress=0.0, steps=1, deterministic=True):
    noise = LaneNoise(Noise.parse(text), spec, LANES)
    rngs = [np.random.default_rng((1, lane)) for lane in range(LANES)]
    for lane in range(LANES):
        noise.begin(lane, progress)
    return [noise.apply(Decision(actions, None), rngs, deterministic) for _ in range(steps)]


def test_gaussian_noise_has_clipped_gaussian_density(counter):
    means = np.ones((LANES, 1), np.float32)
    (actions, log_probs) = disturbed("gaussian:0.1", counter, means)[0]
    assert actions.dtype == np.float32
    assert actions.std() == pytest.approx(0.2, rel=0.05)
    z = (actions[7, 0] - 1) / 0.2
    assert log_probs[7] == pytest.approx(-0.5 * z * z - math.log(0.2) - 0.5 * math.log(2 * math.pi), abs=1e-4)


def test_clipped_action_has_tail_mass(counter):
    actions, log_probs = disturbed("gaussian:0.5", counter, np.full((LANES, 1), 3, np.float32))[0]
    at_bound = actions[:, 0] == 3
    assert at_bound.mean() == pytest.approx(0.5, abs=0.04)
    assert log_probs[at_bound] == pytest.approx(math.log(0.5))


def test_noise_on_stochastic_policy_has_no_density(counter):
    assert disturbed("gaussian:0.1", counter, np.ones((LANES, 1)), deterministic=False)[0].log_probs is None


def test_annealing_is_linear_in_progress(counter):
    means = np.ones((LANES, 1), np.float32)
    spread = [
        disturbed("gaussian:0.3->0.1", counter, means, progress)[0].actions.std() for progress in (0, 0.5, 1)
    ]
    assert spread == pytest.approx([0.6, 0.4, 0.2], rel=0.07)


def test_gaussian_noise_of_zero_has_no_density(counter):
    actions, log_probs = disturbed("gaussian:0.1->0", counter, np.ones((LANES, 1), np.float32), progress=1)[0]
    assert (actions == 1).all()
    assert np.isnan(log_probs).all()


def test_ornstein_uhlenbeck_is_correlated_and_stationary(counter):
    theta, sigma = 0.5, 0.1
    steps = disturbed(f"ou:{theta}:{sigma}", counter, np.ones((LANES, 1), np.float32), steps=20)
    states = np.array([step.actions[:, 0] - 1 for step in steps])
    unit = 2 * sigma  # half a range is 2
    assert states[0].std() == pytest.approx(
        unit * math.sqrt((1 - math.exp(-2 * theta)) / (2 * theta)), rel=0.06
    )
    assert states[-1].std() == pytest.approx(unit / math.sqrt(2 * theta), rel=0.06)
    assert np.corrcoef(states[-2], states[-1])[0, 1] == pytest.approx(math.exp(-theta), abs=0.05)
    assert steps[0].log_probs is None


def test_ornstein_uhlenbeck_restarts_each_episode(counter):
    noise = LaneNoise(Noise.parse("ou:0.1:0.5"), counter, 2)
    means = np.ones((2, 1), np.float32)

    def rngs():
        return [np.random.default_rng(0), np.random.default_rng(1)]

    for lane in (0, 1):
        noise.begin(lane, 0.0)
    first = noise.apply(Decision(means, None), rngs(), True).actions
    noise.begin(0, 0.0)
    second = noise.apply(Decision(means, None), rngs(), True).actions
    assert second[0] == first[0]
    assert second[1] != first[1]


def test_epsilon_on_discrete_is_the_mixture(chooser):
    actions, log_probs = disturbed("epsilon:0.3", chooser, np.full(LANES, 3))[0]
    assert (actions == 3).mean() == pytest.approx(0.7 + 0.1, abs=0.03)
    assert np.exp(log_probs) == pytest.approx(np.where(actions == 3, 0.8, 0.1))


def test_epsilon_on_multi_discrete_is_the_mixture(toys):
    spec = environment_spec(toys.Desk())
    actions, log_probs = disturbed("epsilon:0.4", spec, np.full((LANES, 3), [2, 1, 0]))[0]
    greedy = (actions == [2, 1, 0]).all(axis=1)
    assert greedy.mean() == pytest.approx(0.6 + 0.4 / 16, abs=0.03)
    assert np.exp(log_probs) == pytest.approx(np.where(greedy, 0.6 + 0.4 / 16, 0.4 / 16))
    with pytest.raises(UsageError, match="discrete ones"):
        LaneNoise(Noise.parse("gaussian:0.1"), spec, 1)


def test_epsilon_on_box_is_atom_and_uniform(counter):
    actions, log_probs = disturbed("epsilon:0.25", counter, np.ones((LANES, 1), np.float32))[0]
    greedy = actions[:, 0] == 1
    assert greedy.mean() == pytest.approx(0.75, abs=0.03)
    assert np.exp(log_probs) == pytest.approx(np.where(greedy, 0.75, 0.25 / 4))


@pytest.mark.parametrize("level", ["0", "1"])
def test_epsilon_of_zero_and_one_is_finite(chooser, level):
    assert np.isfinite(disturbed(f"epsilon:{level}", chooser, np.full(LANES, 3))[0].log_probs).all()


@pytest.mark.parametrize("text", ["none", "sample", "gaussian:0.1", "ou:0.15:0.3->0.1", "epsilon:1.0->0.05"])
def test_parse_round_trip(text):
    assert str(Noise.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "gauss:1",
        "gaussian",
        "gaussian:a",
        "gaussian:-1",
        "gaussian:nan",
        "gaussian:1->2->3",
        "ou:1",
        "ou:0:1",
        "epsilon:1.5",
        "epsilon:0.1:0.2",
        "none:1",
    ],
)
def test_bad_noise_is_refused(text):
    with pytest.raises(UsageError, match="noise"):
        Noise.parse(text)


@pytest.mark.parametrize("text", ["gaussian:0.1", "ou:0.1:0.1"])
def test_gaussian_noise_needs_continuous_actions(chooser, text):
    with pytest.raises(UsageError, match="discrete"):
        LaneNoise(Noise.parse(text), chooser, 1)
