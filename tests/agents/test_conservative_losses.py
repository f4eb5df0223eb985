"""Losses of CQL, Cal-QL, EDAC and one-step improvement by hand, on the linear networks of `linear_agents`."""

import math
from functools import partial

import numpy as np
import pytest
from keras import ops
from linear_agents import BATCH, BOX, CHOICE, CHOICES, KEY, TWIN, VALUED, column, loss_of, networks, vector

from vinci_offline import functional
from vinci_offline.agents.agent import Networks
from vinci_offline.agents.calql import CalQL
from vinci_offline.agents.cql import CQL
from vinci_offline.agents.edac import EDAC
from vinci_offline.agents.onestep import OneStep
from vinci_offline.functional import random
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.testing.gradients import gradient

S, S2, A = np.array([1.0, 2.0]), np.array([2.0, 3.0]), np.array([0.5, -0.5])
R, DISCOUNT = np.array([1.0, 2.0]), np.array([0.9, 0.0])
HALF_LOG = 0.5 * math.log(2 * math.pi)
SAMPLES = 2


def draws(kind, number):
    """Return the loss's draws number ``number``, ``[2, SAMPLES]``."""
    return ops.convert_to_numpy(kind(random.fold(KEY, number), (2 * SAMPLES, 1))).reshape(2, SAMPLES)


def policy(states, noise):
    """Return actions and log densities of the policy with location 0.2 s and log deviation -0.3 s."""
    location, log_std = 0.2 * states[:, None], -0.3 * states[:, None]
    action = np.tanh(location + np.exp(log_std) * noise)
    return action, -0.5 * noise**2 - log_std - HALF_LOG - np.log(1 - action**2)


def q_values(action):
    """Return ``[E, B, K]``: the critics' values of actions ``[B, K]`` at S."""
    return np.stack([S[:, None] + 2 * action, 2 * S[:, None] + action])


def penalty_by_hand(least=-np.inf):
    """Return ``[E, B]``: the log of the sum over all actions, less the value of the recorded one."""
    uniform = 2 * draws(random.uniform, 0) - 1
    terms = [q_values(uniform) - math.log(0.5)]
    for number, states in ((1, S), (2, S2)):
        action, density = policy(states, draws(random.normal, number))
        terms.append(np.maximum(q_values(action), least) - density)
    total = np.log(np.exp(np.concatenate(terms, axis=-1)).sum(axis=-1))
    return total - q_values(A[:, None])[..., 0]


def difference(target):
    """Return the temporal-difference loss of both critics."""
    return ((q_values(A[:, None])[..., 0] - target) ** 2).mean(axis=1).sum()


def hard_target():
    noise = ops.convert_to_numpy(random.normal(KEY, (2, 1)))
    action = policy(S2, noise)[0][:, 0]
    return R + DISCOUNT * np.minimum(0.5 * S2 + action, S2 - action)


WEIGHTS = {"critic": TWIN["critic"], "target_critic": TWIN["target_critic"], "actor": [[[0.2, -0.3]]]}


class TestCQL:
    agent = CQL(samples=SAMPLES, conservatism=3.0)

    def test_critic_loss(self):
        nets = networks(self.agent, actor_outputs=2, **WEIGHTS)
        loss, metrics = loss_of(self.agent, nets, "critic")
        by_hand = difference(hard_target()) + 3.0 * penalty_by_hand().mean(axis=1).sum()
        assert float(loss) == pytest.approx(by_hand, rel=1e-5)
        assert float(metrics["critic/gap"]) == pytest.approx(penalty_by_hand().mean(), rel=1e-5)

    def test_target_with_the_greatest_of_several_actions(self):
        agent = CQL(samples=SAMPLES, conservatism=0.0, max_target=True)
        noise = ops.convert_to_numpy(random.normal(KEY, (2 * SAMPLES, 1))).reshape(2, SAMPLES)
        action = policy(S2, noise)[0]
        least = np.minimum(0.5 * S2[:, None] + action, S2[:, None] - action).max(axis=1)
        loss, _ = loss_of(agent, networks(agent, actor_outputs=2, **WEIGHTS), "critic")
        assert float(loss) == pytest.approx(difference(R + DISCOUNT * least), rel=1e-5)

    def test_soft_target_counts_the_entropy(self):
        agent = CQL(samples=SAMPLES, conservatism=0.0, soft_target=True)
        noise = ops.convert_to_numpy(random.normal(KEY, (2, 1)))
        action, density = (each[:, 0] for each in policy(S2, noise))
        value = np.minimum(0.5 * S2 + action, S2 - action) - 1.0 * density
        loss, _ = loss_of(agent, networks(agent, actor_outputs=2, **WEIGHTS), "critic")
        assert float(loss) == pytest.approx(difference(R + DISCOUNT * value), rel=1e-5)

    def test_learned_weight(self):
        agent = CQL(samples=SAMPLES, conservatism=3.0, lagrange_threshold=0.7)
        nets = networks(agent, actor_outputs=2, **WEIGHTS, log_conservatism=math.log(2))
        gap = (penalty_by_hand() - 0.7).mean(axis=1)
        loss, _ = loss_of(agent, nets, "critic")
        assert float(loss) == pytest.approx(difference(hard_target()) + 2 * 3 * gap.sum(), rel=1e-5)
        loss, _ = loss_of(agent, nets, "log_conservatism")
        assert float(loss) == pytest.approx(-2 * 3 * gap.mean(), rel=1e-5)
        # Descent raises the weight where the gap is above the threshold.
        (found,) = gradient(
            lambda: loss_of(agent, nets, "log_conservatism")[0], nets.trainable("log_conservatism")
        )
        assert np.sign(found.item()) == -np.sign(gap.mean())

    def test_loss_of_choices(self):
        # Both critics alike: Q(s) = s * (1, -1, 2), Q'(s') = s' * (3, 1, 2). Double Q-learning: y = (4.6, 2).
        agent = CQL(conservatism=0.5)
        kernel, target = [[1, -1, 2]], [[3, 1, 2]]
        nets = networks(agent, CHOICE, critic=[kernel, kernel], target_critic=[target, target])
        values = S[:, None] * np.array([1, -1, 2])
        gap = np.log(np.exp(values).sum(axis=1)) - np.array([-1, 4])
        # The errors 5.6 and 2 are in the linear part of the Huber loss: e - 1/2.
        by_hand = 2 * ((5.1 + 1.5) / 2 + 0.5 * gap.mean())
        assert float(loss_of(agent, nets, "critic", CHOICES)[0]) == pytest.approx(by_hand, rel=1e-5)
        assert set(agent.networks(NetworkBuilder(CHOICE))) == {"critic"}


def test_calql_raises_the_policys_values_to_the_return():
    agent = CalQL(samples=SAMPLES, conservatism=3.0, lagrange_threshold=None, max_target=False)
    nets = networks(agent, actor_outputs=2, **WEIGHTS)
    returns = np.array([1.5, 9.0])
    batch = BATCH.replace(return_to_go=vector(returns))
    by_hand = difference(hard_target()) + 3.0 * penalty_by_hand(returns[:, None]).mean(axis=1).sum()
    assert float(loss_of(agent, nets, "critic", batch)[0]) == pytest.approx(by_hand, rel=1e-5)
    assert by_hand != pytest.approx(difference(hard_target()) + 3.0 * penalty_by_hand().mean(axis=1).sum())


class TestEDAC:
    def test_likeness_of_slopes(self):
        # Unit vectors at 0, 90 and 0 degrees: of six ordered pairs two are alike; by E - 1 = 2.
        slopes = np.array([[[2.0, 0.0]], [[0.0, 3.0]], [[1.0, 0.0]]], "f4")
        likeness = ops.convert_to_numpy(functional.pairwise_likeness(ops.convert_to_tensor(slopes)))
        assert likeness == pytest.approx([1.0], rel=1e-6)

    def test_likeness_of_flat_critics_is_finite(self):
        flat = ops.convert_to_tensor(np.zeros((3, 2, 2), "f4"))
        (found,) = gradient_of(lambda x: ops.sum(functional.pairwise_likeness(x)), flat)
        assert np.isfinite(found).all()

    @pytest.mark.parametrize("count", [3, 6])
    def test_slopes_of_members_are_their_own(self, count):
        """Towers and the batched product give the slopes of each member alone."""
        build = NetworkBuilder(BOX)
        nets = Networks({"critic": build.critics("critic", (4, 4), count)})
        observation, action = column(S), column(A)
        slopes = ops.convert_to_numpy(nets.action_slopes("critic", observation, action))
        assert slopes.shape == (count, 2, 1)
        for member in range(count):
            alone = partial(value_of, nets.critic, observation, member)
            np.testing.assert_allclose(slopes[member], gradient_of(alone, action)[0], rtol=1e-4, atol=1e-7)

    def test_critic_loss_adds_the_likeness(self):
        # The slopes of both linear critics, 2 and 1, point the same way: likeness 2.
        weights = {**WEIGHTS, "log_temperature": 0.0}
        plain, diverse = EDAC(critics=2, diversity=0.0), EDAC(critics=2, diversity=0.25)
        alone = float(loss_of(plain, networks(plain, actor_outputs=2, **weights), "critic")[0])
        loss, metrics = loss_of(diverse, networks(diverse, actor_outputs=2, **weights), "critic")
        assert float(metrics["critic/likeness"]) == pytest.approx(2)
        assert float(loss) == pytest.approx(alone + 0.5, rel=1e-5)


def value_of(critic, observation, member, action):
    return critic([observation, action])[member]


def gradient_of(function, x):
    return [ops.convert_to_numpy(functional.gradient(function, x))]


class TestOneStep:
    agent = OneStep(temperature=2.0)

    def nets(self):
        return networks(self.agent, **VALUED, actor=[[[0.2]], [[0.0]]])

    def test_critic_loss_takes_the_recorded_next_action(self):
        # a' = (0.4, 0): Q1' = (1.4, 1.5), Q2' = (1.6, 3): y = (1 + 0.9 * 1.4, 2) = (2.26, 2).
        batch = BATCH.replace(next_action=column([0.4, 0.0]), has_next_action=vector([1, 1]))
        loss, _ = loss_of(self.agent, self.nets(), "critic", batch)
        assert float(loss) == pytest.approx((0.26**2 + 1) / 2 + (0.24**2 + 1.5**2) / 2, rel=1e-5)

    def test_value_loss(self):
        assert float(loss_of(self.agent, self.nets(), "value")[0]) == pytest.approx(
            (0.04 + 0.01) / 2, rel=1e-5
        )

    def test_weight(self):
        weight = ops.convert_to_numpy(self.agent.weight(vector([0.5, 90.0])))
        assert weight == pytest.approx([math.e, 100], rel=1e-5)
