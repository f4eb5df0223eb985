"""Importance sampling against values worked out by hand and by enumeration."""

import itertools

import numpy as np
import pytest

from vinci_offline.evaluation.estimators.importance import (
    importance_sampling,
    logged,
    per_decision,
    weighted_importance_sampling,
    weighted_per_decision,
)
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes

ESTIMATORS = [importance_sampling, per_decision, weighted_importance_sampling, weighted_per_decision]
UNBIASED = ESTIMATORS[:2]


def episodes(parts, gamma=0.9):
    """Return episodes from ``(rewards, ratios)`` of each."""
    with np.errstate(divide="ignore"):
        return LoggedEpisodes(
            np.concatenate([np.asarray(rewards, float) for rewards, _ in parts]),
            np.log(np.concatenate([np.asarray(ratios, float) for _, ratios in parts])),
            np.array([len(rewards) for rewards, _ in parts]),
            gamma,
        )


TWO = episodes([([1.0], [2.0]), ([1.0, 2.0], [0.5, 3.0])], gamma=0.5)
"""Weights 2 and 0.5, 1.5; returns 1 and 1 + 0.5 * 2 = 2."""


@pytest.mark.parametrize(
    ("estimator", "value"),
    [
        (importance_sampling, (2 * 1 + 1.5 * 2) / 2),
        (weighted_importance_sampling, (2 * 1 + 1.5 * 2) / (2 + 1.5)),
        (per_decision, (2 * 1 + 0.5 * 1 + 0.5 * 1.5 * 2) / 2),
        # Step 0: (2 + 0.5) / (2 + 0.5). Step 1: the first episode has ended and counts with its last weight, 2.
        (weighted_per_decision, 1 + 0.5 * 1.5 * 2 / (2 + 1.5)),
        (logged, (1 + 2) / 2),
    ],
)
def test_two_episodes_by_hand(estimator, value):
    assert estimator(TWO).value == pytest.approx(value, rel=1e-12)


def test_weights_of_two_episodes_by_hand():
    found = importance_sampling(TWO)
    assert found.effective == pytest.approx(3.5**2 / (2**2 + 1.5**2))
    assert found.largest == pytest.approx(2 / 3.5)
    assert found.mean_weight[0] == pytest.approx(1.75)
    # Step weights are discounted as rewards are: 1 and 0.5.
    np.testing.assert_allclose(TWO.mean_weights, [2.0, (0.5 + 0.5 * 1.5) / 1.5])


def reward_of(actions):
    return 1.0 + 2 * actions[-1] - 0.5 * sum(actions)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_all_trajectories_give_the_exact_value(estimator):
    """Take each trajectory of three actions once: behind them is a fair coin, so all have the same probability."""
    probability = {0: 0.8, 1: 0.2}
    parts, value = [], 0.0
    for actions in itertools.product((0, 1), repeat=3):
        rewards = [reward_of(actions[: t + 1]) for t in range(3)]
        parts.append((rewards, [probability[action] / 0.5 for action in actions]))
        chance = np.prod([probability[action] for action in actions])
        value += chance * sum(0.9**t * reward for t, reward in enumerate(rewards))
    assert estimator(episodes(parts)).value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_episodes_that_end_early_give_the_exact_value(estimator):
    """Action 0 ends the episode. A fair coin ends half of eight at once, two after two steps, and two later."""
    times = {(0,): 4, (1, 0): 2, (1, 1, 0): 1, (1, 1, 1): 1}
    probability = {0: 0.1, 1: 0.9}
    parts, value = [], 0.0
    for actions, count in times.items():
        rewards = [reward_of(actions[: t + 1]) for t in range(len(actions))]
        parts += [(rewards, [probability[action] / 0.5 for action in actions])] * count
        chance = np.prod([probability[action] for action in actions])
        value += chance * sum(0.9**t * reward for t, reward in enumerate(rewards))
    assert estimator(episodes(parts)).value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("estimator", [*ESTIMATORS, logged])
def test_influence_is_the_derivative_by_an_episodes_share(estimator):
    rng = np.random.default_rng(0)
    lengths = [1, 3, 2, 4, 2]
    found = estimator(episodes([(rng.normal(size=n), rng.uniform(0.2, 2, n)) for n in lengths]))
    count, moved = len(lengths), 1e-6
    assert found.value == pytest.approx(found.resampled(np.ones(count)), rel=1e-12)
    assert found.influence.mean() == pytest.approx(0, abs=1e-12)
    for place in range(count):
        counts = np.ones(count)
        counts[place] += moved
        slope = (found.resampled(counts) - found.value) / moved
        assert slope * count == pytest.approx(found.influence[place], rel=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_resampling_equals_repeating_episodes(estimator):
    rng = np.random.default_rng(1)
    parts = [(rng.normal(size=n), rng.uniform(0.2, 2, n)) for n in (2, 1, 3)]
    repeated = estimator(episodes([parts[0], parts[0], parts[2]])).value
    assert estimator(episodes(parts)).resampled(np.array([2.0, 0.0, 1.0])) == pytest.approx(repeated)


def test_an_action_that_is_never_taken_ends_the_weight_of_its_episode_alone():
    found = episodes([([1, 1, 1], [2, 0, 2]), ([1, 1], [3, 3])])
    np.testing.assert_allclose(found.weights, [2, 0, 0, 3, 9])


@pytest.mark.parametrize("estimator", UNBIASED)
def test_terms_of_means_are_kept(estimator):
    found = estimator(TWO)
    assert found.terms.mean() == pytest.approx(found.value)
    assert weighted_importance_sampling(TWO).terms is None
