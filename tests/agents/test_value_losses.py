"""Losses of BCQ, NFQ, SARSA and QR-DQN by hand, on the linear networks of `linear_agents`."""

import math

import numpy as np
import pytest
from keras import ops
from linear_agents import CHOICE, CHOICES, CHOOSING, column, linear, loss_of, networks, vector

from vinci_offline.agents.bcq import BCQ
from vinci_offline.agents.nfq import NFQ
from vinci_offline.agents.qrdqn import QRDQN
from vinci_offline.agents.sarsa import SARSA
from vinci_offline.networks.builder import NetworkBuilder


def test_nfq_maximises_over_its_own_values():
    # Q(s') is greatest for the third choice, 2 s' = (4, 6): y = (4.6, 2); Q(s, a) = (-1, 4).
    agent = NFQ(huber_delta=None)
    loss, _ = loss_of(agent, networks(agent, CHOICE, critic=CHOOSING["critic"]), "critic", CHOICES)
    assert float(loss) == pytest.approx((5.6**2 + 2**2) / 2)
    assert [update.targets for update in agent.updates()] == [()]


class TestSARSA:
    agent = SARSA(huber_delta=None)

    def loss(self, known):
        following = ops.convert_to_tensor(np.array([0, 1], "int32"))
        batch = CHOICES.replace(next_action=following, has_next_action=vector(known))
        return float(loss_of(self.agent, networks(self.agent, CHOICE, **CHOOSING), "critic", batch)[0])

    def test_loss_takes_the_recorded_next_action(self):
        # Q'(s', 0) = 3 s' = 6: y = (6.4, 2); Q(s, a) = (-1, 4).
        assert self.loss([1, 1]) == pytest.approx((7.4**2 + 2**2) / 2)

    def test_row_without_next_action_does_not_count(self):
        assert self.loss([0, 1]) == pytest.approx(2**2)


def test_qrdqn_loss():
    # Two quantiles of three actions. Q'(s') = s' * (1 3 | 0 1 | 2 3): the third has the greatest mean.
    # Targets: 1 + 0.9 * 2 * (2, 3) = (4.6, 6.4), and (2, 2). Quantiles of the actions 1 and 2: (1, 2) and 2 * (0, 4).
    agent = QRDQN(quantiles=2, huber_delta=1.0)
    nets = networks(
        agent,
        CHOICE,
        critic_outputs=6,
        critic=[[[5, 5, 1, 2, 0, 4]]],
        target_critic=[[[1, 3, 0, 1, 2, 3]]],
    )
    rows = [((1.0, 2.0), (4.6, 6.4)), ((0.0, 8.0), (2.0, 2.0))]
    total = 0.0
    for quantiles, targets in rows:
        for probability, quantile in zip((0.25, 0.75), quantiles, strict=True):
            errors = np.array(targets) - quantile
            huber = np.where(np.abs(errors) <= 1, errors**2 / 2, np.abs(errors) - 0.5)
            total += (np.abs(probability - (errors < 0)) * huber).mean()
    loss, metrics = loss_of(agent, nets, "critic", CHOICES)
    assert float(loss) == pytest.approx(total / 2, rel=1e-5)
    assert float(metrics["q/mean"]) == pytest.approx((1.5 + 4) / 2)
    assert nets.critic(CHOICES.observation).shape == (2, 2, 3)


class TestBCQ:
    """Logits s * (0, 1, -1): at s' = 2 and 3 the second choice is the likeliest.

    Relative to it the others have exp(-s') and exp(-2 s'): (0.135, 0.018) at 2 and (0.050, 0.002) at 3.
    """

    def nets(self, agent):
        behaviour = {"behaviour": [[[0, 1, -1]]]}
        return networks(agent, CHOICE, users={"behaviour": linear(3)}, **CHOOSING, **behaviour)

    @pytest.mark.parametrize(
        ("threshold", "next_value"),
        [
            (0.3, 1 * 2.0),  # only the second choice
            (0.1, 3 * 2.0),  # the first two: Q(s') = s' * (1, -1) selects the first
            (0.01, 2 * 2.0),  # all three: Q selects the third
            (1.0, 1 * 2.0),  # an imitator
        ],
    )
    def test_critic_loss_takes_likely_choices(self, threshold, next_value):
        # Q(s, a) = (-1, 4); the errors are beyond 1, where the Huber loss is |e| - 1/2. Row 2 is terminal: y = 2.
        agent = BCQ(threshold=threshold)
        loss, _ = loss_of(agent, self.nets(agent), "critic", CHOICES)
        target = 1 + 0.9 * next_value
        assert float(loss) == pytest.approx((target + 1 - 0.5 + 1.5) / 2, rel=1e-5)

    def test_behaviour_loss(self):
        # Row 1: logits (0, 1, -1), choice 1. Row 2: logits (0, 2, -2), choice 2.
        agent = BCQ(logit_penalty=0.5)
        first = math.log(1 + math.e + math.exp(-1)) - 1
        second = math.log(1 + math.exp(2) + math.exp(-2)) + 2
        loss, metrics = loss_of(agent, self.nets(agent), "behaviour", CHOICES)
        assert float(metrics["behaviour/error"]) == pytest.approx((first + second) / 2, rel=1e-5)
        assert float(loss) == pytest.approx((first + second) / 2 + 0.5 * (2 + 8) / 6, rel=1e-5)

    @pytest.mark.parametrize(("threshold", "choice"), [(0.3, 1), (0.1, 0), (0.01, 2)])
    def test_policy_takes_the_best_likely_choice(self, threshold, choice):
        agent = BCQ(threshold=threshold)
        policy = agent.policy(self.nets(agent), NetworkBuilder(CHOICE))
        assert ops.convert_to_numpy(policy(column([2.0]))).tolist() == [choice]
