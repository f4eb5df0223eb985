"""Losses of NFQ, SARSA and QR-DQN by hand, on the linear networks of `linear_agents`."""

import numpy as np
import pytest
from keras import ops
from linear_agents import CHOICE, CHOICES, CHOOSING, loss_of, networks, vector

from vinci_offline.agents.nfq import NFQ
from vinci_offline.agents.qrdqn import QRDQN
from vinci_offline.agents.sarsa import SARSA


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
