"""Losses by hand from the papers' equations, on linear networks of one observation and one action.

Row 1 does not terminate, row 2 does. Environment actions lie in [-2, 2]: a scaled action is half of them.
"""

import math

import keras
import numpy as np
import pytest
from keras.layers import Dense
from linear_agents import CHOICE, CHOICES, CHOOSING, SINGLE, TWIN, VALUED, loss_of, networks

from vinci_offline.agents.agent import Target
from vinci_offline.agents.bc import BC
from vinci_offline.agents.ddpg import DDPG
from vinci_offline.agents.dqn import DQN
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.testing.gradients import gradient


class TestTD3BC:
    agent = TD3BC(policy_noise=0.0)

    def test_critic_loss(self):
        # a' = 0.1 s' = (0.2, 0.3); Q1' = (1.2, 1.8), Q2' = (1.8, 2.7): the minimum is Q1'.
        # y = (1 + 0.9 * 1.2, 2) = (2.08, 2); Q1 = (2, 1), Q2 = (2.5, 3.5).
        loss, metrics = loss_of(self.agent, networks(self.agent, **TWIN), "critic")
        assert float(loss) == pytest.approx((0.08**2 + 1) / 2 + (0.42**2 + 1.5**2) / 2)
        assert float(metrics["target/mean"]) == pytest.approx(2.04)
        assert float(metrics["q/mean"]) == pytest.approx(2.25)
        assert float(metrics["q/max"]) == pytest.approx(3.5)

    def test_actor_loss_and_gradient(self):
        # pi = (0.2, 0.4); Q1 = (1.4, 2.8): lambda * mean Q = 2.5; imitation (0.3^2 + 0.9^2) / 2.
        nets = networks(self.agent, **TWIN)
        loss, _ = loss_of(self.agent, nets, "actor")
        assert float(loss) == pytest.approx(-2.5 + 0.45)
        # lambda = 2.5 / 2.1 is a constant; the gradient is -lambda * mean(2 s) + mean(2 (pi - a) s).
        (found,) = gradient(lambda: loss_of(self.agent, nets, "actor")[0], nets.actor.trainable_variables)
        assert found.item() == pytest.approx(-2.5 / 2.1 * 3 + (2 * -0.3 * 1 + 2 * 0.9 * 2) / 2)

    def test_key_determines_target_noise(self):
        noisy = TD3BC(policy_noise=0.2)
        nets = networks(noisy, **TWIN)
        first, again = (float(loss_of(noisy, nets, "critic")[0]) for _ in range(2))
        assert first == again != pytest.approx(float(loss_of(self.agent, nets, "critic")[0]))

    def test_weight_is_finite_when_values_are_zero(self):
        nets = networks(self.agent, **{**TWIN, "critic": [[[0], [0]], [[0], [0]]]})
        assert float(loss_of(self.agent, nets, "actor")[0]) == pytest.approx(0.45)

    def test_actor_and_targets_follow_policy_delay(self):
        critic, actor = TD3BC(policy_delay=3).updates()
        assert (critic.every, critic.target) == (1, Target("critic", every=3))
        assert (actor.every, actor.target) == (3, Target("actor", every=3))


class TestDDPG:
    def test_critic_loss(self):
        # y = (2.08, 2) as above; Q = (2, 1).
        agent = DDPG()
        loss, _ = loss_of(agent, networks(agent, **SINGLE), "critic")
        assert float(loss) == pytest.approx((0.08**2 + 1) / 2)

    def test_critic_loss_with_huber_and_l2(self):
        # Errors 0.08 and 1 with delta 0.5: 0.0032 and 0.5 * 0.75; kernels 1 and 2: 0.01 * 5.
        agent = DDPG(critic_huber_delta=0.5, critic_l2=0.01)
        loss, _ = loss_of(agent, networks(agent, **SINGLE), "critic")
        assert float(loss) == pytest.approx((0.0032 + 0.375) / 2 + 0.05)

    def test_actor_loss(self):
        agent = DDPG()
        nets = networks(agent, **SINGLE)
        assert float(loss_of(agent, nets, "actor")[0]) == pytest.approx(-2.1)
        # -mean(dQ/da * s) = -mean(2 s).
        (found,) = gradient(lambda: loss_of(agent, nets, "actor")[0], nets.actor.trainable_variables)
        assert found.item() == pytest.approx(-3.0)

    def test_actor_gradient_is_inverted(self):
        # dQ/da = 2 raises the action: scaled by (1 - pi) / 2 = (0.4, 0.3).
        agent = DDPG(invert_gradients=True)
        nets = networks(agent, **SINGLE)
        assert float(loss_of(agent, nets, "actor")[0]) == pytest.approx(-2.1)
        (found,) = gradient(lambda: loss_of(agent, nets, "actor")[0], nets.actor.trainable_variables)
        assert found.item() == pytest.approx(-(2 * 0.4 * 1 + 2 * 0.3 * 2) / 2)

    def test_target_actions_outside_the_bounds_are_clipped(self):
        # mu'(s') = 9 s' is clipped to 1, as the environment does: Q' = (2, 2.5), y = (2.8, 2).
        agent = DDPG(invert_gradients=True)
        nets = networks(agent, **{**SINGLE, "target_actor": [[[9]]]})
        assert float(loss_of(agent, nets, "critic")[0]) == pytest.approx((0.8**2 + 1) / 2)

    def test_critic_loss_with_bootstrap_actor(self, tmp_path):
        # The file's environment action 0.4 s' is 0.2 s' scaled: (0.4, 0.6); Q' = (1.4, 2.1), y = (2.26, 2).
        path = str(tmp_path / "policy.keras")
        stored = keras.Sequential([keras.Input((1,)), Dense(1, use_bias=False)])
        stored.set_weights([np.array([[0.4]])])
        stored.save(path)
        agent = DDPG(bootstrap_actor=path)
        weights = {name: kernels for name, kernels in SINGLE.items() if name != "target_actor"}
        nets = networks(agent, **weights)
        assert float(loss_of(agent, nets, "critic")[0]) == pytest.approx((0.26**2 + 1) / 2)
        assert {update.name: update.targets for update in agent.updates()} == {
            "critic": (Target("critic"),),
            "actor": (),
        }
        assert nets.bootstrap_actor.trainable_variables == []

    @pytest.mark.parametrize(
        ("target_update", "tau", "period"), [(0.01, 0.01, 1), (1.0, 1.0, 1), (500.0, 1.0, 500)]
    )
    def test_target_update_is_a_rate_or_a_period(self, target_update, tau, period):
        for update in DDPG(target_update=target_update).updates():
            assert update.target == Target(update.name, tau, period)

    def test_actor_reset_below_is_set_on_the_actor(self):
        assert [update.reset_below for update in DDPG(actor_reset_below=1e-5).updates()] == [None, 1e-5]


class TestIQL:
    def nets(self, agent):
        # The deviation of a Gaussian is one more kernel: exp(0) = 1.
        actor = [[[0.2]]] if agent.deterministic_actor else [[[0.2]], [[0.0]]]
        return networks(agent, **VALUED, actor=actor)

    def test_value_loss(self):
        loss, _ = loss_of(IQL(), self.nets(IQL()), "value")
        assert float(loss) == pytest.approx((0.7 * 0.2**2 + 0.3 * 0.1**2) / 2, rel=1e-5)

    def test_critic_loss_masks_terminal_rows(self):
        # y = (1 + 0.9 * 0.6, 2) = (1.54, 2); Q1 = (2, 1), Q2 = (2.5, 3.5).
        loss, _ = loss_of(IQL(), self.nets(IQL()), "critic")
        assert float(loss) == pytest.approx((0.46**2 + 1) / 2 + (0.96**2 + 1.5**2) / 2)

    def test_deterministic_actor_loss(self):
        agent = IQL(deterministic_actor=True)
        loss, _ = loss_of(agent, self.nets(agent), "actor")
        by_hand = (math.exp(3 * 0.2) * 0.3**2 + math.exp(3 * -0.1) * 0.9**2) / 2
        assert float(loss) == pytest.approx(by_hand, rel=1e-5)

    def test_gaussian_actor_loss(self):
        loss, _ = loss_of(IQL(), self.nets(IQL()), "actor")
        half_log = 0.5 * math.log(2 * math.pi)
        by_hand = math.exp(0.6) * (0.3**2 / 2 + half_log) + math.exp(-0.3) * (0.9**2 / 2 + half_log)
        assert float(loss) == pytest.approx(by_hand / 2, rel=1e-5)

    def test_advantage_weights_are_clipped(self):
        agent = IQL(deterministic_actor=True, weight_clip=1.0)
        loss, metrics = loss_of(agent, self.nets(agent), "actor")
        assert float(loss) == pytest.approx((0.3**2 + math.exp(-0.3) * 0.9**2) / 2, rel=1e-5)
        assert float(metrics["actor/weight"]) == pytest.approx((1 + math.exp(-0.3)) / 2, rel=1e-5)

    def test_updates_run_value_actor_critic(self):
        assert [update.name for update in IQL().updates()] == ["value", "actor", "critic"]

    def test_actor_learning_rate_follows_cosine(self):
        actor = IQL(actor_cosine_steps=100).updates()[1].optimizer()
        actor.iterations.assign(50)
        assert float(actor.learning_rate) == pytest.approx(1.5e-4)


class TestDQN:
    def test_critic_loss_of_double_q_learning(self):
        # Q(s') selects the third choice, Q' values it 2 s' = (4, 6): y = (4.6, 2); Q(s, a) = (-1, 4).
        agent = DQN()
        loss, _ = loss_of(agent, networks(agent, CHOICE, **CHOOSING), "critic", CHOICES)
        assert float(loss) == pytest.approx(((5.6 - 0.5) + (2 - 0.5)) / 2)

    def test_critic_loss_of_q_learning_with_squared_error(self):
        # Q' selects and values the first choice 3 s' = (6, 9): y = (6.4, 2).
        agent = DQN(double=False, huber_delta=None)
        loss, _ = loss_of(agent, networks(agent, CHOICE, **CHOOSING), "critic", CHOICES)
        assert float(loss) == pytest.approx((7.4**2 + 2**2) / 2)


class TestBC:
    def test_mean_squared_error(self):
        nets = networks(BC(), actor=[[[0.2]]])
        assert float(loss_of(BC(), nets, "actor")[0]) == pytest.approx((0.3**2 + 0.9**2) / 2)

    def test_gaussian_likelihood(self):
        agent = BC(gaussian=True)
        loss, metrics = loss_of(agent, networks(agent, actor=[[[0.2]], [[math.log(0.5)]]]), "actor")
        half_log = 0.5 * math.log(2 * math.pi) + math.log(0.5)
        by_hand = ((0.3 / 0.5) ** 2 / 2 + half_log + (0.9 / 0.5) ** 2 / 2 + half_log) / 2
        assert float(loss) == pytest.approx(by_hand, rel=1e-5)
        assert float(metrics["actor/entropy"]) == pytest.approx(half_log + 0.5, rel=1e-5)

    def test_cross_entropy(self):
        # Logits s * (0, log 2, 0): the second choice has 2/4 at s = 1, the third 1/6 at s = 2.
        nets = networks(BC(), CHOICE, actor=[[[0, math.log(2), 0]]])
        loss, _ = loss_of(BC(), nets, "actor", CHOICES)
        assert float(loss) == pytest.approx(-(math.log(1 / 2) + math.log(1 / 6)) / 2, rel=1e-5)
