"""What user networks bring along takes part in training: regularizers and constraints of weights, frozen layers."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
from keras import Model, Sequential
from keras.layers import Dense, concatenate

from vinci_offline import UsageError, train
from vinci_offline.agents.agent import Update
from vinci_offline.agents.bc import BC
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.errors import SpecError
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.testing.agent_contract import BOX, columns
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import Learner

RATE = 0.1


@dataclass(frozen=True)
class PlainDescent(BC):
    """Cloning by plain gradient descent, whose steps are easy to compute."""

    def updates(self):
        return (Update(self.actor_loss, "actor", lambda: keras.optimizers.SGD(RATE), role="actor"),)


def actor(**options):
    """Return a linear actor; ``options`` are those of its layer."""

    def network(env):
        start = keras.initializers.RandomNormal(stddev=0.5, seed=3)
        layer = Dense(env.action_space_dim, kernel_initializer=start, **options)
        return Sequential([keras.Input((env.state_space_dim,)), layer])

    return network


def stepped(network, steps=1):
    """Return the kernel before and after some steps, and the metrics of the last."""
    agent = PlainDescent()
    learner = Learner(agent, NetworkBuilder(BOX, user_networks={"actor": network}), seed=0)
    engine = make_engine(learner, columns(agent, BOX), batch_size=8, seed=0, jit="off")
    before, metrics = learner.state()["networks/actor/0"], {}
    for step in range(steps):
        metrics = engine.run(learner.updates, step, 1)
    return before, learner.state()["networks/actor/0"], metrics


def test_weight_regularizers_join_the_loss_and_its_gradient():
    start, plain, metrics = stepped(actor())
    _, regularized, penalised = stepped(actor(kernel_regularizer=keras.regularizers.L2(0.5)))
    # The penalty is 0.5 * |kernel|^2 and its gradient the kernel.
    assert penalised["loss/actor"] - metrics["loss/actor"] == pytest.approx(
        0.5 * np.square(start).sum(), rel=1e-4
    )
    np.testing.assert_allclose(regularized, plain - RATE * start, atol=1e-6)


def test_constraints_hold_after_each_step():
    before, after, _ = stepped(actor(kernel_constraint="non_neg"), steps=3)
    assert before.min() < 0
    assert after.min() >= 0


def test_frozen_layers_stay():
    before, after, _ = stepped(
        lambda env: Sequential([keras.Input((3,)), Dense(4, trainable=False), Dense(env.action_space_dim)]),
        steps=3,
    )
    np.testing.assert_array_equal(before, after)


def shared_layer():
    layer = Dense(4)

    def actor(env):
        return Model(env.state, Dense(env.action_space_dim, activation="tanh")(layer(env.state)))

    def critic(env):
        return Model([env.state, env.action], Dense(1)(concatenate([layer(env.state), env.action])))

    return {"actor": actor, "critic": critic}


def test_layer_shared_by_actor_and_critic_is_refused(tmp_path):
    with pytest.raises(SpecError, match="the networks 'actor' and 'critic' share the layer"):
        Learner(TD3BC(), NetworkBuilder(BOX, user_networks=shared_layer()), seed=0)
    with pytest.raises(SpecError, match="share the layer"):
        train(
            "pendulum-mixed",
            "td3bc",
            networks=shared_layer(),
            only="critic",
            steps=2,
            output=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def test_seeds_do_not_share_a_model(tmp_path):
    model = Sequential([keras.Input((3,)), Dense(1)])
    with pytest.raises(UsageError, match="the seeds would share the model of 'actor'"):
        train("pendulum-mixed", "bc", networks={"actor": model}, seeds=2, steps=2, output=tmp_path / "run")
    layer = Dense(1)
    with pytest.raises(SpecError, match="is part of an earlier run"):
        train(
            "pendulum-mixed",
            "bc",
            networks={"actor": lambda env: Sequential([keras.Input((3,)), layer])},
            seeds=2,
            steps=2,
            jit="off",
            progress=False,
            output=tmp_path / "run",
        )
