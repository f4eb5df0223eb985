"""Losses of TD3, ReBRAC, SAC, AWAC and CRR by hand, on the linear networks of `linear_agents`."""

import math

import numpy as np
import pytest
from keras import ops
from linear_agents import BATCH, CHOICE, CHOICES, KEY, SINGLE, TWIN, column, loss_of, networks, vector

from vinci_offline.agents.agent import Target
from vinci_offline.agents.awac import AWAC
from vinci_offline.agents.crr import CRR
from vinci_offline.agents.rebrac import ReBRAC
from vinci_offline.agents.sac import SAC
from vinci_offline.agents.sacn import SACN
from vinci_offline.agents.td3 import TD3
from vinci_offline.functional import random
from vinci_offline.testing.gradients import gradient

S, S2 = np.array([1.0, 2.0]), np.array([2.0, 3.0])
HALF_LOG = 0.5 * math.log(2 * math.pi)


def noise(samples=1):
    """Return the standard normal draws of a loss, ``[2, samples]``."""
    return ops.convert_to_numpy(random.normal(KEY, (2 * samples, 1))).reshape(2, samples)


class TestTD3:
    def test_actor_loss_is_the_first_critics(self):
        # pi = (0.2, 0.4), Q1 = (1.4, 2.8).
        assert float(loss_of(TD3(), networks(TD3(), **TWIN), "actor")[0]) == pytest.approx(-2.1)

    def test_critic_loss(self):
        # As in TD3+BC: y = (2.08, 2).
        agent = TD3(policy_noise=0.0)
        loss, _ = loss_of(agent, networks(agent, **TWIN), "critic")
        assert float(loss) == pytest.approx((0.08**2 + 1) / 2 + (0.42**2 + 1.5**2) / 2)


class TestReBRAC:
    agent = ReBRAC(policy_noise=0.0, critic_penalty=0.5, actor_penalty=2.0)

    def batch(self, known):
        return BATCH.replace(next_action=column([0.4, -0.1]), has_next_action=vector(known))

    def test_critic_loss_penalises_the_next_action(self):
        # a' = (0.2, 0.3) lies 0.2 and 0.4 from the recorded ones: y = (1 + 0.9 * (1.2 - 0.5 * 0.04), 2).
        loss, _ = loss_of(self.agent, networks(self.agent, **TWIN), "critic", self.batch([1, 1]))
        assert float(loss) == pytest.approx((0.062**2 + 1) / 2 + (0.438**2 + 1.5**2) / 2, rel=1e-5)

    def test_row_without_next_action_does_not_count(self):
        loss, _ = loss_of(self.agent, networks(self.agent, **TWIN), "critic", self.batch([1, 0]))
        assert float(loss) == pytest.approx(0.062**2 + 0.438**2, rel=1e-4)

    def test_critic_loss_is_zero_where_no_row_counts(self):
        assert float(loss_of(self.agent, networks(self.agent, **TWIN), "critic", self.batch([0, 0]))[0]) == 0

    def test_actor_loss_and_gradient(self):
        # pi = (0.2, 0.4); the least value is Q1 = (1.4, 2.8), divided by its mean 2.1; distances 0.3 and 0.9.
        nets = networks(self.agent, **TWIN)
        loss, _ = loss_of(self.agent, nets, "actor", self.batch([1, 1]))
        assert float(loss) == pytest.approx(2.0 * 0.45 - 1)
        (found,) = gradient(
            lambda: loss_of(self.agent, nets, "actor", self.batch([1, 1]))[0], nets.actor.trainable_variables
        )
        assert found.item() == pytest.approx(2.0 * (2 * -0.3 * 1 + 2 * 0.9 * 2) / 2 - 3 / 2.1, rel=1e-5)

    def test_actor_loss_with_values_as_they_are(self):
        agent = ReBRAC(actor_penalty=2.0, normalize_values=False)
        loss, _ = loss_of(agent, networks(agent, **TWIN), "actor", self.batch([1, 1]))
        assert float(loss) == pytest.approx(2.0 * 0.45 - 2.1)


def squashed(states, samples=1):
    """Return actions and log densities of the policy with location 0.2 s and log deviation -0.3 s."""
    location, log_std = 0.2 * states, -0.3 * states
    action = np.tanh(location + np.exp(log_std) * noise()[:, 0])
    density = -0.5 * noise()[:, 0] ** 2 - log_std - HALF_LOG
    return action, density - np.log(1 - action**2)


SOFT = {
    "critic": TWIN["critic"],
    "target_critic": TWIN["target_critic"],
    "actor": [[[0.2, -0.3]]],
    "log_temperature": math.log(0.5),
}


class TestSAC:
    agent = SAC(initial_temperature=0.5)

    def nets(self):
        return networks(self.agent, actor_outputs=2, **SOFT)

    def test_critic_loss(self):
        action, log_prob = squashed(S2)
        least = np.minimum(0.5 * S2 + action, S2 - action)
        target = np.array([1.0, 2.0]) + np.array([0.9, 0.0]) * (least - 0.5 * log_prob)
        by_hand = ((np.array([2, 1]) - target) ** 2).mean() + ((np.array([2.5, 3.5]) - target) ** 2).mean()
        assert float(loss_of(self.agent, self.nets(), "critic")[0]) == pytest.approx(by_hand, rel=1e-5)

    def test_actor_loss(self):
        action, log_prob = squashed(S)
        least = np.minimum(S + 2 * action, 2 * S + action)
        by_hand = (0.5 * log_prob - least).mean()
        assert float(loss_of(self.agent, self.nets(), "actor")[0]) == pytest.approx(by_hand, rel=1e-5)

    def test_temperature_loss_and_gradient(self):
        # The target entropy of one dimension is -1; the derivative by log alpha is the loss itself.
        entropy = -squashed(S)[1].mean()
        nets = self.nets()
        loss, metrics = loss_of(self.agent, nets, "log_temperature")
        assert float(loss) == pytest.approx(0.5 * (entropy + 1), rel=1e-5)
        assert float(metrics["actor/temperature"]) == pytest.approx(0.5)
        (found,) = gradient(
            lambda: loss_of(self.agent, nets, "log_temperature")[0], nets.trainable("log_temperature")
        )
        assert found.item() == pytest.approx(0.5 * (entropy + 1), rel=1e-5)

    def test_losses_of_choices_are_exact_expectations(self):
        # Logits s' * (0, log 2, 0) at s' = 2: (1, 4, 1) / 6; Q' = min over members of s' * kernel.
        agent = SAC(initial_temperature=0.5)
        target = [[[3, 1, 2]], [[1, 2, 4]]]
        nets = networks(
            agent,
            CHOICE,
            critic=[[[1, -1, 2]], [[0, 1, 1]]],
            target_critic=target,
            actor=[[[0, math.log(2), 0]]],
            log_temperature=math.log(0.5),
        )
        chances = np.array([1, 4, 1]) / 6
        value = (chances * (2 * np.array([1, 1, 2]) - 0.5 * np.log(chances))).sum()
        y = np.array([1 + 0.9 * value, 2])
        # Q(s, a) of the actions 1 and 2 is (-1, 4) and (1, 2).
        by_hand = ((np.array([-1, 4]) - y) ** 2).mean() + ((np.array([1, 2]) - y) ** 2).mean()
        assert float(loss_of(agent, nets, "critic", CHOICES)[0]) == pytest.approx(by_hand, rel=1e-5)
        here = np.array([[1, 2, 1], [1, 4, 1]]) / [[4], [6]]
        least = np.array([[0, -1, 1], [0, -2, 2]])
        actor = (here * (0.5 * np.log(here) - least)).sum(axis=1).mean()
        assert float(loss_of(agent, nets, "actor", CHOICES)[0]) == pytest.approx(actor, rel=1e-5)
        entropy = -(here * np.log(here)).sum(axis=1).mean()
        temperature, _ = loss_of(agent, nets, "log_temperature", CHOICES)
        assert float(temperature) == pytest.approx(0.5 * (entropy - 0.98 * math.log(3)), rel=1e-4)

    def test_target_entropy_can_be_set(self):
        agent = SAC(initial_temperature=0.5, target_entropy=0.25)
        loss, _ = loss_of(agent, networks(agent, actor_outputs=2, **SOFT), "log_temperature")
        assert float(loss) == pytest.approx(0.5 * (-squashed(S)[1].mean() - 0.25), rel=1e-5)


class TestSACN:
    def test_order_and_number_of_critics(self):
        assert [update.name for update in SACN().updates()] == ["log_temperature", "actor", "critic"]
        nets = networks(SACN(critics=3), actor_outputs=2)
        assert nets.critic([column(S), column(S)]).shape == (3, 2)


WEIGHTED = {name: TWIN[name] for name in ("critic", "target_critic")}


class TestAWAC:
    agent = AWAC(temperature=2.0)

    def nets(self, agent, **more):
        return networks(agent, **WEIGHTED, actor=[[[0.2]], [[math.log(0.5)]]], **more)

    def test_critic_loss(self):
        action = np.clip(0.2 * S2 + 0.5 * noise()[:, 0], -1, 1)
        least = np.minimum(0.5 * S2 + action, S2 - action)
        y = np.array([1.0, 2.0]) + np.array([0.9, 0.0]) * least
        by_hand = ((np.array([2, 1]) - y) ** 2).mean() + ((np.array([2.5, 3.5]) - y) ** 2).mean()
        assert float(loss_of(self.agent, self.nets(self.agent), "critic")[0]) == pytest.approx(
            by_hand, rel=1e-5
        )

    @pytest.mark.parametrize("samples", [1, 4])
    def test_actor_loss(self, samples):
        agent = AWAC(temperature=2.0, samples=samples)
        action = np.clip(0.2 * S[:, None] + 0.5 * noise(samples), -1, 1)
        state = S[:, None]
        baseline = np.minimum(state + 2 * action, 2 * state + action).mean(axis=1)
        weight = np.exp((np.array([2, 1]) - baseline) / 2)  # min Q(s, a) = (2, 1)
        error = np.array([0.3, 0.9]) / 0.5
        by_hand = (weight * (error**2 / 2 + HALF_LOG + math.log(0.5))).mean()
        assert float(loss_of(agent, self.nets(agent), "actor")[0]) == pytest.approx(by_hand, rel=1e-5)

    def test_actor_loss_of_choices(self):
        # Chances (1, 2, 1) / 4 and (1, 4, 1) / 6; values s * (1, -1, 2): expectations 1/4 and 2 * -1/6.
        twice = [[[1, -1, 2]], [[1, -1, 2]]]
        nets = networks(self.agent, CHOICE, critic=twice, target_critic=twice, actor=[[[0, math.log(2), 0]]])
        weight = np.exp((np.array([-1, 4]) - np.array([0.25, -1 / 3])) / 2)
        by_hand = -(weight * np.log([1 / 2, 1 / 6])).mean()
        assert float(loss_of(self.agent, nets, "actor", CHOICES)[0]) == pytest.approx(by_hand, rel=1e-5)

    def test_weights_are_clipped(self):
        agent = AWAC(temperature=1e-3, weight_clip=5.0)
        assert float(loss_of(agent, self.nets(agent), "actor")[1]["actor/weight"]) <= 5.0


class TestCRR:
    def test_critics_evaluate_the_target_policy(self):
        agent = CRR()
        nets = networks(
            agent, **WEIGHTED, actor=[[[0.2]], [[0.0]]], target_actor=[[[0.1]], [[math.log(0.5)]]]
        )
        action = np.clip(0.1 * S2 + 0.5 * noise()[:, 0], -1, 1)
        least = np.minimum(0.5 * S2 + action, S2 - action)
        y = np.array([1.0, 2.0]) + np.array([0.9, 0.0]) * least
        by_hand = ((np.array([2, 1]) - y) ** 2).mean() + ((np.array([2.5, 3.5]) - y) ** 2).mean()
        assert float(loss_of(agent, nets, "critic")[0]) == pytest.approx(by_hand, rel=1e-5)

    def test_binary_weight_is_the_sign_of_the_advantage(self):
        agent = CRR(binary=True)
        weight = ops.convert_to_numpy(agent.weight(vector([-0.1, 0.0, 0.2, 5.0])))
        assert weight.tolist() == [0, 0, 1, 1]

    def test_exponential_weight_is_clipped_at_twenty(self):
        weight = ops.convert_to_numpy(CRR().weight(vector([0.0, 1.0, 5.0])))
        assert weight == pytest.approx([1, math.e, 20], rel=1e-5)

    def test_both_targets_are_copied_every_hundred_steps(self):
        assert [update.target for update in CRR().updates()] == [
            Target("critic", 1.0, every=100),
            Target("actor", 1.0, every=100),
        ]


def test_single_critic_counts_alone():
    agent = SAC(critics=1)
    nets = networks(agent, actor_outputs=2, critic=SINGLE["critic"], actor=SOFT["actor"])
    action, log_prob = squashed(S)
    assert float(loss_of(agent, nets, "actor")[0]) == pytest.approx(
        (log_prob - (S + 2 * action)).mean(), rel=1e-5
    )
