from __future__ import annotations

import json

import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, discrete_spec, make_columns

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.quality.behaviour import behaviour_value
from vinci_offline.quality.coverage import coverage
from vinci_offline.quality.moments import column_moments
from vinci_offline.quality.statistics import action_saturation, observation_moments, summarize


def with_columns(spec, lengths, episodes=None, attributes=None, **changes):
    columns = {**make_columns(spec, lengths), **changes}
    return Dataset.from_columns(columns, spec, episodes, attributes, float64=True)


def test_summary_by_hand():
    rewards = np.array([1, 2, 3, -4, 0.5], np.float32)
    dataset = with_columns(
        continuous_spec(), [3, 2], rewards=rewards, attributes={"policy": "random", "seed": 4}
    )
    summary = summarize(dataset)
    expected = {
        "env": "Test-v0",
        "rows": 5,
        "episodes": 2,
        "return_mean": 1.25,
        "return_std": pytest.approx(4.75 * 2**0.5),  # two returns, 4.75 either side of their mean
        "return_min": -3.5,
        "return_max": 6.0,
        "length_mean": 2.5,
        "length_min": 2,
        "length_max": 3,
        "terminals": 0,
        "timeouts": 2,
        "observation_shape": [3],
        "action_shape": [2],
        "reward_mean": 0.5,
        "reward_std": pytest.approx(np.std(rewards, ddof=1)),
        "reward_min": -4.0,
        "reward_max": 3.0,
        "action_counts": None,
        "provenance": {"policy": "random", "seed": 4},
        "hash": dataset.hash,
    }
    assert {key: summary[key] for key in expected} == expected
    observations, shown = dataset.columns["observations"], summary["observations"]["observations"]
    np.testing.assert_allclose(shown["mean"], observations.mean(0), rtol=1e-5)
    np.testing.assert_allclose(shown["std"], observations.std(0, ddof=1), rtol=1e-5)
    # What normalises observations describes these rows: it divides by their number.
    np.testing.assert_allclose(observation_moments(dataset)[1], observations.std(0), rtol=1e-5)
    json.dumps(summary)


def test_fragments_are_left_out_of_returns_and_lengths():
    rewards = np.array([1, 2, 3, -4, 0.5, 99], np.float32)
    dataset = with_columns(
        continuous_spec(), [3, 2, 1], {"length": [3, 2, 1], "fragment": [False, False, True]}, rewards=rewards
    )
    summary = summarize(dataset)
    expected = {"episodes": 3, "fragments": 1, "return_mean": 1.25, "return_max": 6.0}
    expected |= {"return_std": pytest.approx(4.75 * 2**0.5), "return_min": -3.5}
    expected |= {"length_mean": 2.5, "length_min": 2, "length_max": 3}
    assert {key: summary[key] for key in expected} == expected
    assert behaviour_value(dataset, 1.0)["mean"] == 1.25
    pieces = summarize(dataset.rows([0, 3, 5]))
    assert (pieces["episodes"], pieces["fragments"]) == (3, 3)
    assert pieces["return_max"] is pieces["length_mean"] is behaviour_value(dataset.rows([0]), 1.0) is None


def test_a_single_episode_and_a_single_row_have_no_deviation():
    summary = summarize(with_columns(continuous_spec(), [1]))
    assert summary["return_std"] is None
    assert summary["reward_std"] is None
    assert summary["observations"]["observations"]["std"] == [None] * 3


def test_moments_are_merged_exactly_over_blocks(monkeypatch):
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", 100)
    rng = np.random.default_rng(0)
    # A large offset: sums of squares in float32, or their difference in float64, would lose the deviation.
    observations = (1e4 + rng.normal(size=(1003, 3))).astype(np.float32)
    dataset = with_columns(continuous_spec(), [1003], observations=observations)
    moments = column_moments(dataset, "observations")
    exact = observations.astype(np.float64)
    np.testing.assert_allclose(moments.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, exact.std(0), rtol=1e-9)
    np.testing.assert_array_equal(moments.low, exact.min(0))
    np.testing.assert_array_equal(moments.high, exact.max(0))


def test_observation_moments():
    dataset = with_columns(continuous_spec(), [50])
    mean, std = observation_moments(dataset)
    assert mean.dtype == std.dtype == np.float32
    assert mean.shape == std.shape == (3,)
    np.testing.assert_allclose(mean, dataset.columns["observations"].mean(0), atol=1e-6)
    keyed = with_columns(dict_spec(), [30])
    found = observation_moments(keyed)
    assert set(found) == {"position"}
    positions = keyed.columns["observations/position"].astype(np.float64)
    np.testing.assert_allclose(found["position"][0], positions.mean(0), atol=1e-5)


def test_action_saturation_counts_entries_at_a_bound():
    actions = np.array([[1, 0], [-1, 1], [0, 0], [0.9995, 0]], np.float32)
    assert action_saturation(with_columns(continuous_spec(), [4], actions=actions)) == 4 / 8
    unbounded = EnvironmentSpec(box(3), box(2))
    assert action_saturation(with_columns(unbounded, [4])) is None


def test_action_saturation_of_asymmetric_and_half_bounded_spaces():
    space = box(2, low=0, high=4)
    space.high[1] = np.inf
    spec = EnvironmentSpec(box(3), space)
    actions = np.array([[0, 0], [4, 9], [2, 1], [1, 0]], np.float32)
    assert action_saturation(with_columns(spec, [4], actions=actions)) == 2 / 4


def test_discrete_actions_are_counted():
    spec = discrete_spec(4, start=2)
    summary = summarize(with_columns(spec, [5], actions=np.array([2, 2, 4, 5, 2])))
    assert summary["action_counts"] == {2: 3, 3: 0, 4: 1, 5: 1}
    assert summary["actions"] is None
    assert summary["action_shape"] == []


def test_coverage_of_few_and_many_situations():
    spec = continuous_spec(2, 1)
    rng = np.random.default_rng(0)
    wide = with_columns(
        spec, [2000], observations=rng.normal(size=(2000, 2)), actions=rng.uniform(-1, 1, (2000, 1))
    )
    same = rng.normal(size=(4, 2))[np.arange(2000) % 4]
    narrow = with_columns(spec, [2000], observations=same, actions=np.zeros((2000, 1)))
    assert coverage(narrow)["cells"] == 4
    assert coverage(narrow)["perplexity"] == pytest.approx(4)
    assert coverage(narrow)["evenness"] == pytest.approx(4 / 2000)
    assert coverage(wide)["perplexity"] > 100
    # One stray row hardly changes the perplexity.
    same[0] = 0.5
    assert (
        coverage(with_columns(spec, [2000], observations=same, actions=np.zeros((2000, 1))))["perplexity"]
        < 4.1
    )


def test_coverage_looks_at_every_kth_row(monkeypatch):
    monkeypatch.setattr("vinci_offline.quality.coverage._ROWS", 10)
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", 56)
    spec = discrete_spec(3)
    actions = np.where(np.arange(95) % 10 == 0, 2, 0)
    found = coverage(with_columns(spec, [95], observations=np.zeros((95, 3)), actions=actions))
    assert found == {"cells": 1, "perplexity": 1.0, "evenness": 0.1, "rows": 10}


def test_images_have_moments_and_no_coverage():
    dataset = with_columns(
        EnvironmentSpec(box(40, 40, dtype="uint8", low=0, high=255), box(1, low=-1, high=1)), [3]
    )
    summary = summarize(dataset)
    pictures = dataset.columns["observations"]
    assert summary["observations"]["observations"]["mean"] == [pytest.approx(pictures.mean())]
    assert summary["observations"]["observations"]["std"] == [pytest.approx(pictures.std(ddof=1))]
    assert summary["coverage"] is None


def test_dict_shapes():
    summary = summarize(with_columns(dict_spec(), [3]))
    assert summary["observation_shape"] == {
        "position": [2],
        "picture": [4, 5, 3],
        "car": {"speed": [], "gear": []},
    }
