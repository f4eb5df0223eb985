from __future__ import annotations

import math

import numpy as np
import pytest
from data_examples import box, continuous_spec, discrete_spec, make_columns

from vinci_offline import Dataset, EnvironmentSpec, UsageError
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
    assert stochasticity(discrete)["level"] == pytest.approx(2 / 4)
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
