"""Losses of XQL, SQL, EQL, and of IQL with choices, by hand on the linear networks of `linear_agents`."""

import math

import numpy as np
import pytest
from keras import ops
from linear_agents import BOX, CHOICE, CHOICES, VALUED, loss_of, networks, vector

from vinci_offline.agents.iql import IQL
from vinci_offline.agents.sql import EQL, SQL
from vinci_offline.agents.xql import XQL
from vinci_offline.networks.builder import NetworkBuilder

ADVANTAGE, VALUE = np.array([0.2, -0.1]), np.array([0.3, 0.6])


def valued(agent):
    return networks(agent, **VALUED, actor=[[[0.2]], [[0.0]]])


def weights(agent, advantages):
    return ops.convert_to_numpy(agent.weight(vector(advantages)))


class TestXQL:
    agent = XQL(beta=0.5)

    def test_value_loss(self):
        z = ADVANTAGE / 0.5
        by_hand = (np.exp(z) - z - 1).mean() * math.exp(-0.4)  # scaled by the greatest exponent
        loss, _ = loss_of(self.agent, valued(self.agent), "value")
        assert float(loss) == pytest.approx(by_hand, rel=1e-4)

    def test_exponent_is_clipped(self):
        agent = XQL(beta=0.001, exponent_clip=7.0)  # exponents of 200 and -100
        loss, _ = loss_of(agent, valued(agent), "value")
        by_hand = (math.exp(0) - 8 * math.exp(-7) + math.exp(-107) + 99 * math.exp(-7)) / 2
        assert float(loss) == pytest.approx(by_hand, rel=1e-4)

    def test_critic_loss_is_linear_beyond_twenty(self):
        # Errors of 0.46, 1, 0.96 and 1.5: half their squares.
        loss, _ = loss_of(self.agent, valued(self.agent), "critic")
        assert float(loss) == pytest.approx((0.46**2 + 1 + 0.96**2 + 1.5**2) / 4)
        assert self.agent.critic_huber_delta == 20

    def test_weight(self):
        assert weights(self.agent, [0.1, 10.0]) == pytest.approx([math.exp(0.3), 100], rel=1e-5)


class TestSQL:
    agent = SQL(alpha=0.05)

    def test_value_loss(self):
        # t = 1 + A / 0.1 = (3, 0): the second action does not count.
        loss, _ = loss_of(self.agent, valued(self.agent), "value")
        assert float(loss) == pytest.approx((9 + VALUE[0] / 0.05 + VALUE[1] / 0.05) / 2, rel=1e-4)

    def test_weight(self):
        assert weights(self.agent, [-1.0, 0.5, 300.0]) == pytest.approx([0, 0.5, 100])


class TestEQL:
    agent = EQL(alpha=0.5)

    def test_value_loss(self):
        by_hand = (np.exp(ADVANTAGE / 0.5) + VALUE / 0.5).mean() * math.exp(-0.4)
        loss, _ = loss_of(self.agent, valued(self.agent), "value")
        assert float(loss) == pytest.approx(by_hand, rel=1e-5)

    def test_exponent_is_clipped(self):
        agent = EQL(alpha=0.001)  # exponents of 200 and -100, clipped at 5
        loss, _ = loss_of(agent, valued(agent), "value")
        assert float(loss) == pytest.approx((1 + math.exp(-5) * 900) / 2, rel=1e-4)

    def test_weight(self):
        assert weights(self.agent, [0.1, 10.0]) == pytest.approx([math.exp(2), 100], rel=1e-5)


class TestIQLWithChoices:
    agent = IQL(temperature=1.0)

    def nets(self):
        # Q'(s, a) of the actions 1 and 2 is the least of (1, 4) and (2, 8); V = (0.3, 0.6).
        weights = {
            "critic": [[[1, -1, 2]], [[0, 1, 1]]],
            "target_critic": [[[3, 1, 2]], [[1, 2, 4]]],
            "value": [[[0.3]]],
        }
        return networks(self.agent, CHOICE, **weights, actor=[[[0, math.log(2), 0]]])

    def test_value_loss(self):
        loss, _ = loss_of(self.agent, self.nets(), "value", CHOICES)
        assert float(loss) == pytest.approx(0.7 * (0.7**2 + 3.4**2) / 2, rel=1e-5)

    def test_critic_loss(self):
        # y = (1 + 0.9 * 0.6, 2); Q(s, a) = (-1, 4) and (1, 2).
        loss, _ = loss_of(self.agent, self.nets(), "critic", CHOICES)
        assert float(loss) == pytest.approx((2.54**2 + 4) / 2 + (0.54**2 + 0) / 2, rel=1e-5)

    def test_actor_loss(self):
        by_hand = -(math.exp(0.7) * math.log(1 / 2) + math.exp(3.4) * math.log(1 / 6)) / 2
        loss, _ = loss_of(self.agent, self.nets(), "actor", CHOICES)
        assert float(loss) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("agent", [XQL(hidden=(4,)), SQL(hidden=(4,)), EQL(hidden=(4,)), IQL(hidden=(4,))])
def test_the_state_value_alone_has_layer_normalisation_before_each_relu(agent):
    made = agent.networks(NetworkBuilder(BOX))
    kinds = {name: [type(layer).__name__ for layer in made[name].layers] for name in ("value", "critic")}
    assert "LayerNormalization" not in kinds["critic"]
    if isinstance(agent, IQL):
        assert "LayerNormalization" not in kinds["value"]
    else:
        start = kinds["value"].index("LayerNormalization")
        assert kinds["value"][start - 1 : start + 2] == ["Dense", "LayerNormalization", "ReLU"]
