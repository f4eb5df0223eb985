"""Small actor-critic and random transitions, for tests of training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
import pytest
from backends import TENSORFLOW
from keras import ops

from vinci_offline import Agent, Transitions, Update
from vinci_offline.agents.agent import Target
from vinci_offline.functional import random
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.spec import BoxSpace, EnvironmentSpec
from vinci_offline.training.engines import make_engine as engine_of_the_backend
from vinci_offline.training.learner import Learner
from vinci_offline.training.precision import precision

BOX = EnvironmentSpec(
    observation_space=BoxSpace(
        (3,), "float32", np.full(3, -np.inf, np.float32), np.full(3, np.inf, np.float32)
    ),
    action_space=BoxSpace((2,), "float32", np.full(2, -1, np.float32), np.full(2, 1, np.float32)),
)


@dataclass(frozen=True)
class ToyAgent(Agent):
    """DDPG-like agent: a critic with a target, and an actor, updated every second step, whose loss draws noise."""

    tau: float = 0.1
    track_every: int = 1
    every: int = 2
    reset_below: float | None = None

    def networks(self, build):
        return {
            "actor": build.deterministic_actor("actor", (8,)),
            "critic": build.critics("critic", (8,), 2),
        }

    def updates(self):
        adam = partial(keras.optimizers.Adam, 1e-2)
        return (
            Update(self.critic_loss, "critic", adam, target=Target("critic", self.tau, self.track_every)),
            Update(
                self.actor_loss,
                "actor",
                adam,
                role="actor",
                target=Target("actor", self.tau, self.every),
                every=self.every,
                reset_below=self.reset_below,
            ),
        )

    def policy(self, nets, build):
        return nets.actor

    def critic_loss(self, nets, batch, key):
        noise = 0.1 * random.normal(key, batch.action.shape)
        value = ops.min(
            nets.target_critic([batch.next_observation, nets.target_actor(batch.next_observation) + noise]), 0
        )
        target = ops.stop_gradient(batch.reward + batch.discount * value)
        q = nets.critic([batch.observation, batch.action])
        return ops.mean(ops.square(q - target)), {"q/mean": ops.mean(q)}

    def actor_loss(self, nets, batch, key):
        noise = 0.1 * random.normal(key, batch.action.shape)
        return -ops.mean(nets.critic([batch.observation, nets.actor(batch.observation) + noise])), {}


@pytest.fixture(scope="session")
def transitions():
    generator = np.random.default_rng(0)
    rows = 500
    return Transitions(
        generator.normal(size=(rows, 3)).astype(np.float32),
        generator.uniform(-1, 1, (rows, 2)).astype(np.float32),
        generator.normal(size=rows).astype(np.float32),
        np.where(generator.random(rows) < 0.1, 0, 0.99).astype(np.float32),
        generator.normal(size=(rows, 3)).astype(np.float32),
    )


@pytest.fixture
def toy_agent():
    return ToyAgent


@pytest.fixture
def make_learner():
    def make(seed=0, optimization=None, dtype="float32", **settings):
        with precision(dtype):
            return Learner(ToyAgent(**settings), NetworkBuilder(BOX), seed, optimization)

    return make


@pytest.fixture
def make_engine(transitions):
    def make(learner, jit="off", seed=0, batch_size=16, data=transitions):
        return engine_of_the_backend(learner, data, batch_size=batch_size, seed=seed, jit=jit)

    return make


class Trainer:
    """Learner with its engine. Tests share it: compiling takes far longer than a few steps."""

    def __init__(self, transitions, jit, settings):
        self.learner = Learner(ToyAgent(**settings), NetworkBuilder(BOX), 0)
        self.engine = engine_of_the_backend(self.learner, transitions, batch_size=16, seed=0, jit=jit)
        self.initial = self.learner.state()
        self.step = 0

    def restart(self):
        """Return to the untrained state; keep the compiled functions."""
        self.learner.restore(self.initial)
        self.step = 0

    def run(self, *chunks, role=None):
        """Run each number of steps in one call; return the metrics of the last."""
        for count in chunks:
            metrics = self.engine.run(self.learner.select(role), self.step, count)
            self.step += count
        return metrics

    def trained(self, *chunks, role=None):
        """Run from the untrained state; return the state at the end."""
        self.restart()
        self.run(*chunks, role=role)
        return self.learner.state()


@pytest.fixture(scope="module")
def trainer_of(transitions):
    """Return one untrained trainer for each set of settings of the toy agent."""
    made = {}

    def of(jit="off", **settings):
        jit = jit if TENSORFLOW else "on"  # JAX has one compiler
        name = (jit, *sorted(settings.items()))
        if name not in made:
            made[name] = Trainer(transitions, jit, settings)
        made[name].restart()
        return made[name]

    return of
