"""Agents on problems whose optimum has a closed form: a chain, a contextual bandit, a linear-quadratic regulator.

Networks are tables or have just the features of the solution, so an agent that is right gets there and no other does.
One agent of each kind of update runs by default; the others are marked slow.
"""

import keras
import numpy as np
import pytest
from backends import tensorflow_only
from keras import ops
from keras.layers import Concatenate, Dense

from vinci_offline.agents.awac import AWAC
from vinci_offline.agents.bc import BC
from vinci_offline.agents.bcq import BCQ
from vinci_offline.agents.cql import CQL
from vinci_offline.agents.crr import CRR
from vinci_offline.agents.ddpg import DDPG
from vinci_offline.agents.dqn import DQN
from vinci_offline.agents.iql import IQL
from vinci_offline.agents.nfq import NFQ
from vinci_offline.agents.onestep import OneStep
from vinci_offline.agents.qrdqn import QRDQN
from vinci_offline.agents.sac import SAC
from vinci_offline.agents.sarsa import SARSA
from vinci_offline.agents.td3 import TD3
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import Learner

pytestmark = tensorflow_only
slow = pytest.mark.slow


def learned(agent, spec, columns, steps, batch, networks=None):
    """Train in the loop that `train` uses, and return the learner."""
    learner = Learner(agent, NetworkBuilder(spec, user_networks=networks), 0)
    engine = make_engine(learner, columns, batch_size=batch, seed=0, jit="off")
    engine.run(learner.select(None), 0, steps)
    return learner


def numbers(tensor):
    return ops.convert_to_numpy(tensor)


# Three states in a row; right of the last one is the end, which pays 1. Left of the first is the first.
CHAIN = EnvironmentSpec(DiscreteSpace(3), DiscreteSpace(2))
GAMMA = 0.9
BEST = np.array([[0.729, 0.81], [0.729, 0.9], [0.81, 1.0]])
"""Q*(s, left) and Q*(s, right): V* = (0.81, 0.9, 1), and left leads to the state before."""


def chain_columns():
    """Return each state, choice and next choice once."""
    state, action, following = (
        part.ravel() for part in np.meshgrid(range(3), range(2), range(2), indexing="ij")
    )
    after = np.where(action == 1, state + 1, np.maximum(state - 1, 0))
    end = after == 3
    return {
        "observation": state.astype("int32"),
        "action": action.astype("int32"),
        "reward": end.astype("f4"),
        "discount": np.where(end, 0, GAMMA).astype("f4"),
        "next_observation": np.where(end, 0, after).astype("int32"),
        "next_action": following.astype("int32"),
        "has_next_action": np.ones(12, "f4"),
    }


def value_of_even_behaviour():
    """Return ``Q(s, a)`` of the policy that goes left and right by turns of a coin: a linear system."""
    values = np.linalg.solve(
        np.array([[1 - GAMMA / 2, -GAMMA / 2, 0], [-GAMMA / 2, 1, -GAMMA / 2], [0, -GAMMA / 2, 1]]),
        [0, 0, 0.5],
    )
    left = GAMMA * values[[0, 0, 1]]
    return np.stack([left, [GAMMA * values[1], GAMMA * values[2], 1.0]], axis=1)


RATE = {"hidden": (), "normalize_observations": False}
FAST = {**RATE, "learning_rate": 0.03}
STEADY = {**RATE, "learning_rate": 0.003}
TWO = {"critic_learning_rate": 0.003, "tau": 0.1}


@pytest.mark.parametrize(
    ("agent", "values"),
    [
        pytest.param(DQN(**FAST, target_update=0.2), BEST, id="dqn"),
        pytest.param(DQN(**FAST, target_update=0.2, double=False), BEST, id="q-learning", marks=slow),
        pytest.param(NFQ(**STEADY), BEST, id="nfq", marks=slow),
        pytest.param(QRDQN(**STEADY, quantiles=4, target_update=0.2), BEST, id="qrdqn", marks=slow),
        pytest.param(CQL(**RATE, **TWO, conservatism=0.0), BEST, id="cql", marks=slow),
        pytest.param(
            BCQ(choice_hidden=(), threshold=0.3, choice_learning_rate=0.003, tau=0.1),
            BEST,
            id="bcq",
            marks=slow,
        ),
        pytest.param(SARSA(**STEADY, target_update=0.1), value_of_even_behaviour(), id="sarsa", marks=slow),
        pytest.param(
            OneStep(**RATE, **TWO),
            value_of_even_behaviour(),
            id="onestep",
            marks=slow,
        ),
        # With the expectile 1/2 the state's value is the mean over the recorded choices.
        pytest.param(
            IQL(**RATE, **TWO, expectile=0.5, value_learning_rate=0.003, actor_learning_rate=0.01),
            value_of_even_behaviour(),
            id="iql",
            marks=slow,
        ),
    ],
)
def test_values_of_a_chain(agent, values):
    learner = learned(agent, CHAIN, chain_columns(), steps=600 if isinstance(agent, DQN) else 6000, batch=48)
    found = numbers(learner.nets.critic(np.arange(3, dtype="int32"))).mean(axis=0)
    np.testing.assert_allclose(found, values, atol=0.05)
    assert numbers(learner.policy(np.arange(3, dtype="int32"))).tolist() == [1, 1, 1]


# Two contexts and two arms. The rewards are (1, 0) and (0, 0.5); the behaviour takes the better arm in one row of four.
BANDIT = EnvironmentSpec(DiscreteSpace(2), DiscreteSpace(2, start=3))
REWARD = np.array([[1.0, 0.0], [0.0, 0.5]])
SHARE = np.array([[0.25, 0.75], [0.75, 0.25]])


def bandit_columns():
    context = np.repeat([0, 1], 4)
    action = np.array([0, 1, 1, 1, 0, 0, 0, 1])
    return {
        "observation": context.astype("int32"),
        "action": action.astype("int32"),
        "reward": REWARD[context, action].astype("f4"),
        "discount": np.zeros(8, "f4"),
        "next_observation": context.astype("int32"),
        "next_action": action.astype("int32"),
        "has_next_action": np.ones(8, "f4"),
    }


def weighted(inverse_temperature, share=SHARE):
    """Return the policy in proportion to ``share * exp(reward / temperature)``."""
    weight = share * np.exp(inverse_temperature * REWARD)
    return weight / weight.sum(axis=1, keepdims=True)


ACTOR = {**RATE, "actor_learning_rate": 0.02, "critic_learning_rate": 0.05}


@pytest.mark.parametrize(
    ("agent", "policy"),
    [
        pytest.param(BC(**RATE, learning_rate=0.02), SHARE, id="bc", marks=slow),
        pytest.param(AWAC(**ACTOR, temperature=0.5), weighted(2.0), id="awac"),
        pytest.param(CRR(**ACTOR, temperature=0.5, target_update=0.1), weighted(2.0), id="crr", marks=slow),
        pytest.param(
            IQL(**ACTOR, temperature=2.0, tau=0.1, value_learning_rate=0.05), weighted(2.0), id="iql"
        ),
        pytest.param(
            OneStep(**ACTOR, temperature=2.0, tau=0.1, value_learning_rate=0.05),
            weighted(2.0),
            id="onestep",
            marks=slow,
        ),
        pytest.param(
            SAC(**ACTOR, initial_temperature=0.5, temperature_learning_rate=0.0),
            weighted(2.0, share=1.0),
            id="sac",
        ),
    ],
)
def test_policy_of_a_bandit(agent, policy):
    learner = learned(agent, BANDIT, bandit_columns(), steps=600, batch=128)
    contexts = np.arange(2, dtype="int32")
    found = numbers(ops.softmax(learner.nets.actor(contexts)["logits"], axis=-1))
    np.testing.assert_allclose(found, policy, atol=0.04)
    assert numbers(learner.policy(contexts)).tolist() == (3 + policy.argmax(axis=1)).tolist()


# s' = s + a / 2, r = -(s^2 + a^2). V(s) = -p s^2 with p = 1 + g p - (g p / 2)^2 / (1 + g p / 4), the scalar Riccati
# equation, and the best action is -k s with k = (g p / 2) / (1 + g p / 4).
UNIT = BoxSpace((1,), "float32", np.array([-1], "f4"), np.array([1], "f4"))
REGULATOR = EnvironmentSpec(UNIT, UNIT)
DISCOUNT = 0.8


def regulator_columns():
    state, action = np.random.default_rng(0).uniform(-1, 1, (2, 512, 1)).astype("f4")
    return {
        "observation": state,
        "action": action,
        "reward": -(state**2 + action**2)[:, 0],
        "discount": np.full(512, DISCOUNT, "f4"),
        "next_observation": state + action / 2,
    }


def quadratic(env):
    products = [env.state * env.state, env.state * env.action, env.action * env.action]
    return keras.Model([env.state, env.action], Dense(1, use_bias=False)(Concatenate()(products)))


def gain(env):
    return keras.Model(env.state, Dense(1, use_bias=False)(env.state))


def best_gain():
    p = 1.0
    for _ in range(200):
        p = 1 + DISCOUNT * p - (DISCOUNT * p / 2) ** 2 / (1 + DISCOUNT * p / 4)
    return p, (DISCOUNT * p / 2) / (1 + DISCOUNT * p / 4)


LEARNS = {"normalize_observations": False, "actor_learning_rate": 0.01, "critic_learning_rate": 0.03}


@pytest.mark.parametrize(
    "agent",
    [
        pytest.param(DDPG(**LEARNS, target_update=0.1), id="ddpg"),
        pytest.param(TD3(**LEARNS, tau=0.1, policy_noise=0.0), id="td3", marks=slow),
        pytest.param(TD3BC(**LEARNS, tau=0.1, policy_noise=0.0, alpha=1e4), id="td3bc", marks=slow),
    ],
)
def test_gain_of_a_linear_quadratic_regulator(agent):
    p, k = best_gain()
    networks = {"critic": quadratic, "actor": gain}
    learner = learned(agent, REGULATOR, regulator_columns(), steps=800, batch=64, networks=networks)
    state = np.array([[0.5], [-1.0]], "f4")
    np.testing.assert_allclose(numbers(learner.policy(state)), -k * state, atol=0.02)
    value = numbers(learner.nets.critic([state, (-k * state).astype("f4")])).mean(axis=0)
    np.testing.assert_allclose(value, -p * state[:, 0] ** 2, atol=0.03)
