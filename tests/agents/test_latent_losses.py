"""Losses of BCQ, PLAS and BEAR by hand, on linear networks with biases of zero."""

import keras
import numpy as np
import pytest
from keras import ops
from linear_agents import BATCH, BOX, KEY, loss_of

from vinci_offline import functional
from vinci_offline.agents.agent import Networks
from vinci_offline.agents.bcq import BCQ
from vinci_offline.agents.bear import BEAR
from vinci_offline.agents.plas import PLAS
from vinci_offline.functional import random
from vinci_offline.networks.builder import NetworkBuilder

S, S2, A = np.array([1.0, 2.0]), np.array([2.0, 3.0]), np.array([0.5, -0.5])
R, DISCOUNT = np.array([1.0, 2.0]), np.array([0.9, 0.0])
LINEAR = {"hidden": (), "latent_hidden": ()}
# Kernels over the inputs: (s, a) for encoder and critics, (s, two latents) for the decoder.
KERNELS = {
    "encoder": [[[0.1, 0.2, -0.5, -1.0], [0.3, -0.2, 0.1, 0.4]]],
    "decoder": [[[0.1], [0.3], [-0.2]]],
    "critic": [[[1], [2]], [[2], [1]]],
    "target_critic": [[[0.5], [1]], [[1], [-1]]],
}


def networks(agent, **more):
    made = agent.networks(NetworkBuilder(BOX))
    kernels = {**KERNELS, **more}
    made |= {name: keras.models.clone_model(made[name[7:]]) for name in kernels if name.startswith("target_")}
    for name, parts in kernels.items():
        if isinstance(made[name], keras.Variable):
            made[name].assign(parts)
            continue
        weights = []
        for kernel in parts:
            weights += [np.asarray(kernel, "f4"), np.zeros(np.shape(kernel)[-1], "f4")]
        made[name].set_weights(weights)
    return Networks(made)


def noise(key, *shape):
    return ops.convert_to_numpy(random.normal(key, shape))


def decoded(states, latent):
    """Return the decoder's output before it is squashed."""
    return 0.1 * states + latent @ [0.3, -0.2]


def least_and_greatest(states, action, mixture):
    values = np.stack([0.5 * states + action, states - action])
    return mixture * values.min(axis=0) + (1 - mixture) * values.max(axis=0)


def difference(target):
    values = np.stack([S + 2 * A, 2 * S + A])
    return ((values - target) ** 2).mean(axis=1).sum()


def test_behaviour_loss():
    agent = BCQ(**LINEAR, divergence_weight=0.7)
    mean = np.stack([0.1 * S + 0.3 * A, 0.2 * S - 0.2 * A], axis=1)
    log_std = np.stack([-0.5 * S + 0.1 * A, -1.0 * S + 0.4 * A], axis=1)
    latent = mean + np.exp(log_std) * noise(KEY, 2, 2)
    error = ((np.tanh(decoded(S, latent)) - A) ** 2).mean()
    divergence = (-0.5 * (1 + 2 * log_std - mean**2 - np.exp(2 * log_std))).mean()
    loss, metrics = loss_of(agent, networks(agent, actor=[[[0.4], [0.6]]]), "decoder")
    assert float(loss) == pytest.approx(error + 0.7 * divergence, rel=1e-5)
    assert float(metrics["behaviour/error"]) == pytest.approx(error, rel=1e-5)


class TestBCQ:
    agent = BCQ(**LINEAR, samples=3, perturbation=0.2)

    def drawn(self, states, latent, kernel):
        action = np.tanh(decoded(states, np.clip(latent, -0.5, 0.5)))
        return np.clip(action + 0.2 * np.tanh(kernel[0] * states + kernel[1] * action), -1, 1)

    def nets(self):
        return networks(self.agent, actor=[[[0.4], [0.6]]], target_actor=[[[-0.3], [0.2]]])

    def test_critic_loss(self):
        states = np.repeat(S2, 3)
        action = self.drawn(states, noise(KEY, 6, 2), (-0.3, 0.2))
        value = least_and_greatest(states, action, 0.75).reshape(2, 3).max(axis=1)
        loss, _ = loss_of(self.agent, self.nets(), "critic")
        assert float(loss) == pytest.approx(difference(R + DISCOUNT * value), rel=1e-5)

    def test_actor_loss(self):
        action = self.drawn(S, noise(KEY, 2, 2), (0.4, 0.6))
        loss, _ = loss_of(self.agent, self.nets(), "actor")
        assert float(loss) == pytest.approx(-(S + 2 * action).mean(), rel=1e-5)

    def test_policy_takes_the_best_of_its_draws(self):
        """The sampler with given noise takes the draw whose value, by the first critic, is the greatest."""
        nets, build = self.nets(), NetworkBuilder(BOX)
        agent = BCQ(**LINEAR, perturbation=0.2, acting_samples=4)
        latent = np.random.default_rng(0).normal(size=(2, 8)).astype("f4")
        sampler = agent.sampler(nets, build)
        found = ops.convert_to_numpy(sampler({"observation": S[:, None].astype("f4"), "noise": latent}))
        action = self.drawn(S[:, None], latent.reshape(2, 4, 2), (0.4, 0.6))
        best = np.take_along_axis(action, (S[:, None] + 2 * action).argmax(axis=1)[:, None], axis=1)
        np.testing.assert_allclose(found, 2 * best, rtol=1e-5)  # environment actions are twice as large
        policy = agent.policy(nets, build)
        together = ops.convert_to_numpy(policy(S[:, None].astype("f4")))
        alone = ops.convert_to_numpy(policy(S[1:, None].astype("f4")))
        np.testing.assert_allclose(together[1:], alone, rtol=1e-6)


class TestPLAS:
    agent = PLAS(**LINEAR, mixture=0.6)

    def nets(self):
        return networks(self.agent, actor=[[[0.4, -0.1]]], target_actor=[[[-0.3, 0.2]]])

    def test_critic_loss(self):
        action = np.tanh(decoded(S2, 2 * np.tanh(S2[:, None] * [-0.3, 0.2])))
        value = least_and_greatest(S2, action, 0.6)
        loss, _ = loss_of(self.agent, self.nets(), "critic")
        assert float(loss) == pytest.approx(difference(R + DISCOUNT * value), rel=1e-5)

    def test_actor_loss_and_policy(self):
        action = np.tanh(decoded(S, 2 * np.tanh(S[:, None] * [0.4, -0.1])))
        nets = self.nets()
        assert float(loss_of(self.agent, nets, "actor")[0]) == pytest.approx(
            -(S + 2 * action).mean(), rel=1e-5
        )
        policy = self.agent.policy(nets, NetworkBuilder(BOX))
        np.testing.assert_allclose(
            ops.convert_to_numpy(policy(S[:, None].astype("f4")))[:, 0], 2 * action, rtol=1e-5
        )


class TestBEAR:
    agent = BEAR(**LINEAR, samples=3, discrepancy_samples=2, warm_up=10, kernel_width=1.5)

    def nets(self):
        return networks(
            self.agent, actor=[[[0.2, -0.3]]], target_actor=[[[0.1, -0.4]]], log_weight=np.log(0.5)
        )

    def discrepancy(self, key):
        states = np.repeat(S, 2)
        ours = 0.2 * states + np.exp(-0.3 * states) * noise(random.fold(key, 0), 4, 1)[:, 0]
        theirs = decoded(states, np.clip(noise(random.fold(key, 1), 4, 2), -0.5, 0.5))
        x, y = ours.reshape(2, 2), theirs.reshape(2, 2)

        def likeness(a, b):
            return np.exp(-np.abs(a[:, :, None] - b[:, None]) / 3.0).mean(axis=(1, 2))

        return np.sqrt(likeness(x, x) - 2 * likeness(x, y) + likeness(y, y) + 1e-6)

    def test_critic_loss(self):
        states = np.repeat(S2, 3)
        action = np.tanh(0.1 * states + np.exp(-0.4 * states) * noise(KEY, 6, 1)[:, 0])
        value = least_and_greatest(states, action, 0.75).reshape(2, 3).max(axis=1)
        loss, _ = loss_of(self.agent, self.nets(), "critic")
        assert float(loss) == pytest.approx(difference(R + DISCOUNT * value), rel=1e-5)

    @pytest.mark.parametrize("step", [10, 11])
    def test_actor_loss_counts_the_value_after_the_warm_up(self, step):
        states = np.repeat(S, 2)
        draws = noise(random.fold(KEY, 1), 4, 1)[:, 0]
        action = np.tanh(0.2 * states + np.exp(-0.3 * states) * draws)
        value = np.minimum(states + 2 * action, 2 * states + action).mean() * (step > 10)
        excess = self.discrepancy(random.fold(KEY, 0)).mean() - 0.05
        loss, _ = self.agent.actor_loss(self.nets(), BATCH, KEY, ops.convert_to_tensor(float(step)))
        assert float(loss) == pytest.approx(0.5 * excess - value, rel=1e-4)

    def test_weight_grows_above_the_threshold(self):
        excess = self.discrepancy(KEY).mean() - 0.05
        loss, metrics = loss_of(self.agent, self.nets(), "log_weight")
        assert float(loss) == pytest.approx(-0.5 * excess, rel=1e-4)
        assert float(metrics["actor/constraint_weight"]) == pytest.approx(0.5)


@pytest.mark.parametrize("gaussian", [False, True])
def test_discrepancy_of_equal_sets_is_zero_but_for_the_small_number(gaussian):
    same = ops.convert_to_tensor(np.random.default_rng(0).normal(size=(2, 5, 3)).astype("f4"))
    found = functional.maximum_mean_discrepancy(same, same, 1.0, gaussian=gaussian)
    np.testing.assert_allclose(ops.convert_to_numpy(found), 1e-3, rtol=0.2)


def test_discrepancy_of_two_points_with_a_gaussian_kernel():
    # k(x, y) = exp(-4 / 2): sqrt(2 - 2 exp(-2)).
    x, y = ops.convert_to_tensor([[[0.0]]]), ops.convert_to_tensor([[[2.0]]])
    found = functional.maximum_mean_discrepancy(x, y, 1.0, gaussian=True)
    assert float(found[0]) == pytest.approx(np.sqrt(2 - 2 * np.exp(-2)), rel=1e-5)
