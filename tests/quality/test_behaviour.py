from __future__ import annotations

import math

import numpy as np
import pytest
from data_examples import box, continuous_spec, discrete_spec, make_columns

from vinci_offline import Dataset, EnvironmentSpec, UsageError
from vinci_offline.policies.densities import clipped_gaussian_log_prob
from vinci_offline.quality.behaviour import behaviour_value, stochasticity


def made(spec, lengths, terminated=None, **changes):
    return Dataset.from_columns({**make_columns(spec, lengths, terminated=terminated), **changes}, spec)


def test_behaviour_value_by_hand(monkeypatch):
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", 8)
    dataset = made(continuous_spec(), [3, 2], terminated=[False, True], rewards=np.array([1, 2, 4, 8, -8.0]))
    value = behaviour_value(dataset, 0.5)
    assert value["mean"] == pytest.approx(((1 + 1 + 1) + (8 - 4)) / 2)
    assert value["standard_error"] == pytest.approx(np.std([3, 4], ddof=1) / math.sqrt(2))
    assert value["unseen"] == pytest.approx(0.5**3 / 2)
    assert behaviour_value(dataset, 1.0)["mean"] == pytest.approx(dataset.episodes["return"].mean())
    assert math.isnan(behaviour_value(dataset.select_episodes([0]), 0.9)["standard_error"])
    with pytest.raises(UsageError, match=r"gamma 1\.5"):
        behaviour_value(dataset, 1.5)


def test_entropy_from_log_probs():
    count = 50
    uniform = made(
        continuous_spec(), [count], **{"infos/action_log_probs": np.full(count, -2 * math.log(2), np.float32)}
    )
    found = stochasticity(uniform)
    assert (found["method"], found["rows"]) == ("log_probs", count)
    assert found["entropy"] == pytest.approx(2 * math.log(2))
    assert found["level"] == pytest.approx(1)  # uniform over [-1, 1] in each of two dimensions
    half = uniform.columns["infos/action_log_probs"] + 2 * math.log(2)
    narrow = made(continuous_spec(), [count], **{"infos/action_log_probs": half})
    assert stochasticity(narrow)["level"] == pytest.approx(0.5)
    choices = np.where(np.arange(count) % 2, -math.log(2), np.nan).astype(np.float32)
    discrete = made(discrete_spec(4), [count], **{"infos/action_log_probs": choices})
    assert stochasticity(discrete)["level"] == pytest.approx((2 - 1) / (4 - 1))
    assert stochasticity(discrete)["rows"] == count // 2


@pytest.mark.parametrize(("noise", "low", "high"), [(0.0, 0.0, 0.1), (0.3, 0.35, 0.55), (50.0, 0.9, 1.0)])
def test_neighbours_measure_noise(noise, low, high):
    rng = np.random.default_rng(0)
    lengths = [100] * 40
    states = rng.uniform(-1, 1, (4000, 2))
    actions = np.stack([np.sin(3 * states[:, 0]), np.zeros(4000)], axis=1)
    actions[:, 0] += rng.normal(0, noise, 4000)
    spec = EnvironmentSpec(box(2), box(2))
    found = stochasticity(made(spec, lengths, observations=states, actions=actions))
    assert found["method"] == "neighbours"
    assert low <= found["level"] <= high  # 0.3 / sqrt(0.3 ** 2 + 0.55) = 0.37
    assert not found["upper_bound"]


def test_neighbours_of_discrete_actions_and_of_one_episode():
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (3000, 3))
    chosen = (states[:, 0] > 0).astype(np.int64)
    for lengths in ([3000], [30] * 100):
        assert (
            stochasticity(made(discrete_spec(2), lengths, observations=states, actions=chosen))["level"] < 0.1
        )
    random = rng.integers(0, 2, 3000)
    assert stochasticity(made(discrete_spec(2), [3000], observations=states, actions=random))["level"] > 0.9


BOXES = [(-1, 1, 1), (-0.4, 0.4, 1), (0, 1, 2), (-0.5, 0.5, 1), (-2, 2, 3), (0, 100, 2)]
LEVELS = [0.0, 0.25, 0.5, 1.0]


def acting(level, greedy, rng, low, high, dims, *, atoms):
    """Return actions of known randomness, and their log probabilities.

    With atoms the policy is greedy, or uniform with probability ``level``. Without, it is uniform in this part of
    the range, around the greedy action.
    """
    log_range = dims * math.log(high - low)
    uniform = rng.uniform(low, high, (len(greedy), dims))
    if atoms:
        explores = rng.random(len(greedy)) < level
        with np.errstate(divide="ignore"):
            log_probs = np.where(explores, np.log(level) - log_range, np.log1p(-level))
        return np.where(explores[:, None], uniform, low + (high - low) * greedy), log_probs
    actions = (1 - level) * (low + (high - low) * greedy) + level * uniform
    return actions, np.full(len(greedy), -log_range - dims * math.log(max(level, 1e-6)))


@pytest.mark.parametrize("atoms", [True, False], ids=["atoms", "densities"])
@pytest.mark.parametrize(("low", "high", "dims"), BOXES)
def test_known_randomness_of_continuous_actions(low, high, dims, atoms):
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (3000, 2))
    greedy = 0.5 + 0.4 * np.sin(2 * states[:, np.arange(dims) % 2])
    spec = EnvironmentSpec(box(2), box(dims, low=low, high=high))
    for level in LEVELS:
        actions, log_probs = acting(level, greedy, rng, low, high, dims, atoms=atoms)
        told = {"observations": states, "actions": actions}
        recorded = made(spec, [100] * 30, **told, **{"infos/action_log_probs": log_probs.astype(np.float32)})
        found = stochasticity(recorded)
        assert found["method"] == "log_probs"
        assert found["level"] == pytest.approx(level, abs=0.03)
        seen = stochasticity(made(spec, [100] * 30, **told))
        assert seen["method"] == "neighbours"
        assert seen["level"] == pytest.approx(level, abs=0.13 if atoms else 0.06)


@pytest.mark.parametrize("choices", [2, 5])
def test_known_randomness_of_choices(choices):
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (4000, 2))
    greedy = ((states[:, 0] + 1) / 2 * choices).astype(np.int64)
    for level in LEVELS:
        taken = np.where(rng.random(4000) < level, rng.integers(0, choices, 4000), greedy)
        log_probs = np.log(np.where(taken == greedy, 1 - level, 0) + level / choices).astype(np.float32)
        told = {"observations": np.pad(states, ((0, 0), (0, 1))), "actions": taken}
        spec = discrete_spec(choices)
        found = stochasticity(made(spec, [40] * 100, **told, **{"infos/action_log_probs": log_probs}))
        assert found["level"] == pytest.approx(level, abs=0.03)
        assert stochasticity(made(spec, [40] * 100, **told))["level"] == pytest.approx(level, abs=0.12)


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_actions_of_any_shape_are_measured(shape):
    size = math.prod(shape)
    log_probs = np.full(50, -size * math.log(2), np.float32)
    space = box(*shape, low=-1, high=1)
    uniform = made(EnvironmentSpec(box(3), space), [50], **{"infos/action_log_probs": log_probs})
    assert stochasticity(uniform)["level"] == pytest.approx(1)
    assert stochasticity(uniform)["method"] == "log_probs"


def test_deterministic_choices_have_level_zero():
    spec = discrete_spec(2)
    certain = made(spec, [50], **{"infos/action_log_probs": np.zeros(50, np.float32)})
    assert stochasticity(certain)["level"] == 0


def test_rare_random_actions_in_a_small_box():
    """Masses near 1 are larger than the density of uniform actions, and no uniform action may be among the rows."""
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (2000, 2))
    greedy = 0.5 + 0.4 * np.sin(states[:, :1])
    spec = EnvironmentSpec(box(2), box(1, low=-0.4, high=0.4))
    actions, log_probs = acting(1e-4, greedy, rng, -0.4, 0.4, 1, atoms=True)
    log_probs = log_probs.astype(np.float32)
    dataset = made(
        spec, [200] * 10, observations=states, actions=actions, **{"infos/action_log_probs": log_probs}
    )
    assert stochasticity(dataset)["level"] < 0.002


def test_annealed_exploration_is_measured_episode_by_episode():
    rng = np.random.default_rng(0)
    states = rng.uniform(-1, 1, (6000, 2))
    greedy = 0.5 + 0.4 * np.sin(states[:, :1])
    parts = [
        acting(level, greedy[i * 600 : (i + 1) * 600], rng, -1, 1, 1, atoms=True)
        for i, level in enumerate(np.linspace(0.5, 0, 10))
    ]
    actions, log_probs = (np.concatenate(values) for values in zip(*parts, strict=True))
    dataset = made(
        EnvironmentSpec(box(2), box(1, low=-1, high=1)),
        [600] * 10,
        observations=states,
        actions=actions,
        **{"infos/action_log_probs": log_probs.astype(np.float32)},
    )
    assert stochasticity(dataset)["level"] == pytest.approx(0.25, abs=0.03)


def test_actions_clipped_to_a_bound_do_not_count():
    """Their log probability holds the mass beyond the bound in place of a density."""
    rng = np.random.default_rng(0)
    std, mean = 0.25, 0.9
    actions = np.clip(rng.normal(mean, std, (4000, 1)), -1, 1)
    space = box(1, low=-1, high=1)
    log_probs = clipped_gaussian_log_prob(
        actions, np.full_like(actions, mean), np.full_like(actions, std), -1, 1
    )
    dataset = made(
        EnvironmentSpec(box(3), space),
        [100] * 40,
        actions=actions,
        **{"infos/action_log_probs": log_probs.astype(np.float32)},
    )
    inside = actions[:, 0] < 1
    expected = np.minimum(1, 0.5 / np.exp(log_probs[inside])).mean()
    found = stochasticity(dataset)
    assert found["level"] == pytest.approx(expected, abs=1e-3)
    assert found["rows"] == inside.sum()
    assert "entropy" not in found


def test_far_neighbours_give_an_upper_bound():
    found = stochasticity(made(continuous_spec(60, 1), [100] * 5))
    assert found["upper_bound"]
    assert found["distance"] > 0.3


def test_stochasticity_is_none_without_evidence():
    images = EnvironmentSpec(box(20, 20, dtype="uint8", low=0, high=255), box(1))
    assert stochasticity(made(images, [5])) is None
    constant = made(continuous_spec(), [9], actions=np.zeros((9, 2)))
    assert stochasticity(constant) is None
    broken = made(continuous_spec(), [9], observations=np.full((9, 3), np.nan))
    assert stochasticity(broken) is None
    assert stochasticity(made(continuous_spec(), [2])) is None
