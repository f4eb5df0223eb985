"""Doubly robust estimates against values worked out by hand and by enumeration."""

import itertools

import numpy as np
import pytest

from vinci_offline.evaluation.estimators.doubly_robust import RowValues, doubly_robust, weighted_doubly_robust
from vinci_offline.evaluation.estimators.importance import per_decision, weighted_per_decision
from vinci_offline.evaluation.evidence.logged_episodes import LoggedEpisodes

ESTIMATORS = [doubly_robust, weighted_doubly_robust]


def episodes(rewards, ratios, lengths, gamma=0.9):
    with np.errstate(divide="ignore"):
        return LoggedEpisodes(np.asarray(rewards, float), np.log(ratios), np.asarray(lengths), gamma)


TWO = episodes([1.0, 1.0, 2.0], [2.0, 0.5, 3.0], [1, 2], gamma=0.5)
"""Weights 2 and 0.5, 1.5."""
VALUES = RowValues(np.array([3.0, 1.0, 4.0]), np.array([1.0, 2.0, 5.0]))


def test_two_episodes_by_hand():
    # First: 1 + 2 (1 - 3) = -3. Second, backwards: 5 + 3 (2 - 4) = -1, and 2 + 0.5 (1 + 0.5 * -1 - 1) = 1.75.
    assert doubly_robust(TWO, VALUES).value == pytest.approx((-3 + 1.75) / 2)
    np.testing.assert_allclose(doubly_robust(TWO, VALUES).terms, [-3, 1.75])


def test_weights_of_each_step_are_normalised_by_hand():
    # Step 0: mean of V (1 + 2) / 2 and (2 * -2 + 0.5 * 0) / 2.5 = -1.6. Step 1, discounted by 0.5: the first episode
    # has ended with the weight 2. V counts with the weight before: 0.5 * 5 / (2 + 0.5) = 1; the error with its own:
    # 1.5 * -2 / (2 + 1.5).
    by_hand = 1.5 - 1.6 + 0.5 * (1 - 3 / 3.5)
    assert weighted_doubly_robust(TWO, VALUES).value == pytest.approx(by_hand)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("scale", [0.0, 1.0, -3.0])
def test_all_trajectories_give_the_exact_value_with_any_model(estimator, scale):
    """Take each trajectory of three coin tosses once: reward ``1 + 2 a_t - 0.5 * (a_0 + ... + a_t)``."""
    chance = {0: 0.8, 1: 0.2}
    rewards, ratios, logged, policy, value = [], [], [], [], 0.0
    rng = np.random.default_rng(0)
    model = {}  # any values Q(past, action)
    for actions in itertools.product((0, 1), repeat=3):
        earned = [1.0 + 2 * actions[t] - 0.5 * sum(actions[: t + 1]) for t in range(3)]
        for t in range(3):
            past = actions[:t]
            q = [model.setdefault((past, a), scale * rng.normal()) for a in (0, 1)]
            logged.append(q[actions[t]])
            policy.append(chance[0] * q[0] + chance[1] * q[1])
        rewards += earned
        ratios += [chance[a] / 0.5 for a in actions]
        value += np.prod([chance[a] for a in actions]) * sum(0.9**t * r for t, r in enumerate(earned))
    found = estimator(episodes(rewards, ratios, [3] * 8), RowValues(np.array(logged), np.array(policy)))
    assert found.value == pytest.approx(value, rel=1e-12)


def two_state_chain(count, seed=0):
    """Return episodes of a chain with its exact values: reward = state + action, the next state is the action.

    It ends with probability 1/2 after each step. The behaviour tosses a fair coin, the policy takes 1 with 0.7.
    """
    rng = np.random.default_rng(seed)
    rewards, ratios, lengths, q, v = [], [], [], [], []
    gamma = 0.9
    # V(s) = s + 0.7 + gamma / 2 (0.3 V(0) + 0.7 V(1)) and V(1) = V(0) + 1.
    zero = (0.7 + gamma / 2 * 0.7) / (1 - gamma / 2)
    for _ in range(count):
        state, steps = 0, 0
        while True:
            action = int(rng.integers(2))
            rewards.append(state + action)
            ratios.append((0.3, 0.7)[action] / 0.5)
            q.append(state + action + gamma / 2 * (zero + action))
            v.append(zero + state)
            state, steps = action, steps + 1
            if rng.random() < 0.5:
                break
        lengths.append(steps)
    return episodes(rewards, ratios, lengths, gamma), RowValues(np.array(q), np.array(v)), zero


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_exact_model_lowers_the_variance(estimator):
    logged, values, truth = two_state_chain(400)
    found, plain = estimator(logged, values), per_decision(logged)
    assert found.influence.std() < 0.8 * plain.influence.std()
    assert abs(found.value - truth) < 4 * found.influence.std() / 20


def test_zero_model_leaves_importance_sampling():
    logged, values, _ = two_state_chain(20)
    nothing = RowValues(0 * values.logged, 0 * values.policy)
    assert doubly_robust(logged, nothing).value == pytest.approx(per_decision(logged).value)
    assert weighted_doubly_robust(logged, nothing).value == pytest.approx(weighted_per_decision(logged).value)


def test_exact_model_needs_no_right_ratios():
    """A model that is right, with errors of mean 0 at every action, keeps the value under wrong constant ratios."""
    logged, values, truth = two_state_chain(20_000)
    wrong = LoggedEpisodes(logged.rewards, 0 * logged.log_ratios, logged.lengths, logged.gamma)
    # V's weight is 1 at all steps, and so is the error's: gamma V(s_1) - (Q - r) has the mean 0.
    found = doubly_robust(wrong, values)
    assert abs(found.value - truth) < 4 * found.influence.std() / np.sqrt(20_000)
    assert abs(per_decision(wrong).value - truth) > 0.1


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_influence_is_the_derivative_by_an_episodes_share(estimator):
    logged, values, _ = two_state_chain(6, seed=3)
    found = estimator(logged, values)
    assert found.value == pytest.approx(found.resampled(np.ones(6)), rel=1e-12)
    for place in range(6):
        counts = np.ones(6)
        counts[place] += 1e-6
        slope = (found.resampled(counts) - found.value) / 1e-6
        assert slope * 6 == pytest.approx(found.influence[place], rel=1e-4, abs=1e-6)


def test_values_up_to_a_limit_by_hand():
    # Two steps remain at the first row and one at the second: 1 - 0.81 and 1 - 0.9 of the value.
    logged = episodes([0, 0], [1, 1], [2])
    found = RowValues(np.array([10.0, 10.0]), np.array([20.0, 20.0])).up_to(2, logged)
    np.testing.assert_allclose(found.logged, [1.9, 1.0])
    np.testing.assert_allclose(found.policy, [3.8, 2.0])
