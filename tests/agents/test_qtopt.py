"""QT-Opt by hand: the cross-entropy method with the loss's own draws, its target, and its exported policy."""

import numpy as np
import pytest
from keras import ops
from linear_agents import BATCH, BOX, DISCOUNT, KEY, S2, TWIN, A, R, S, loss_of, networks

from vinci_offline import functional
from vinci_offline.agents.qtopt import QTOpt
from vinci_offline.errors import UsageError
from vinci_offline.functional import random
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.types import ActionBounds

AGENT = QTOpt(iterations=2, samples=4, elites=2)


def by_hand(value, noise, elites, low=-1.0, high=1.0):
    """Return the best action of one state: ``noise`` is ``[T, K]``, and a round is fitted to the last one's best."""
    mean, deviation = 0.0, 1.0
    for draws in noise:
        actions = np.clip(mean + deviation * draws, low, high)
        best = sorted(actions, key=value, reverse=True)
        mean, deviation = np.mean(best[:elites]), np.std(best[:elites])
    return best[0]


def peak(action):
    """Return values with one maximum, at 0.3."""
    return -((action - 0.3) ** 2)


def test_method_is_that_of_the_hand():
    noise = np.random.default_rng(1).standard_normal((3, 2, 5, 1)).astype("f4")
    found = functional.cross_entropy_method(
        lambda state, action: peak(action[:, 0]) + state[:, 0],
        ops.ones((3, 1)),
        ops.convert_to_tensor(noise),
        2,
    )
    expected = [by_hand(peak, draws[..., 0], 2) for draws in noise]
    np.testing.assert_allclose(ops.convert_to_numpy(found)[:, 0], expected, rtol=1e-5)


def test_two_rounds_of_the_paper_find_the_maximum_within_bounds():
    noise = random.normal(KEY, (20, 2, 64, 2))

    def value(state, action):
        return -ops.square(action[:, 0] - 0.3) - 0.1 * ops.square(action[:, 1] - 3.0)

    bounds = ActionBounds(np.array([-1, -np.inf], "f4"), np.array([1, 2], "f4"))
    found = ops.convert_to_numpy(functional.cross_entropy_method(value, ops.ones((20, 1)), noise, 6, bounds))
    assert found[:, 1].max() <= 2.0  # its bound; the maximum lies beyond
    assert np.abs(found[:, 0] - 0.3).mean() < 0.15
    assert found[:, 1].mean() > 1.7


def test_target_takes_the_least_critic_at_the_best_action_of_the_first():
    # Q'_1 = 0.5 s + a grows with the action, Q'_2 = s - a falls: the best action is by the first alone.
    nets = networks(AGENT, critic=TWIN["critic"], target_critic=TWIN["target_critic"])
    noise = ops.convert_to_numpy(random.normal(KEY, (2, 2, 4, 1)))[..., 0]
    action = np.array([by_hand(lambda a: a, draws, 2) for draws in noise])
    state = np.array(S2)
    target = np.array(R) + np.array(DISCOUNT) * np.minimum(0.5 * state + action, state - action)
    values = np.array(
        [[s + 2 * a for s, a in zip(S, A, strict=True)], [2 * s + a for s, a in zip(S, A, strict=True)]]
    )
    loss, _ = loss_of(AGENT, nets, "critic")
    assert float(loss) == pytest.approx(((values - target) ** 2).mean(axis=1).sum(), rel=1e-5)


def test_policy_takes_the_same_draws_for_every_observation():
    nets = networks(AGENT, critic=TWIN["critic"])
    policy = AGENT.policy(nets, NetworkBuilder(BOX))
    noise = np.random.default_rng(0).standard_normal((1, 8)).astype("f4").reshape(2, 4)
    # Q_1 = s + 2 a: the greatest action, in environment units twice the scaled one.
    expected = 2 * by_hand(lambda a: a, noise, 2)
    np.testing.assert_allclose(policy(BATCH.observation), [[expected], [expected]], rtol=1e-5)


def test_more_elites_than_samples_are_refused():
    with pytest.raises(UsageError, match="elites=65 of samples=64"):
        QTOpt(elites=65)
