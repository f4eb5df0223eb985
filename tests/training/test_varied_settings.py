"""Learners that differ in numbers of their agents, in one call: each ends as it would alone."""

from dataclasses import dataclass

import numpy as np
import pytest
from backends import TENSORFLOW
from training_fixtures import BOX, ToyAgent

from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import Learner
from vinci_offline.training.varied import can_share, varied_settings, watched

on_jax = pytest.mark.skipif(TENSORFLOW, reason="JAX alone maps learners over settings")


def learner_of(agent, seed=0):
    return Learner(agent, NetworkBuilder(BOX), seed)


def engine_of(learner, transitions, seed=0):
    return make_engine(learner, transitions, batch_size=16, seed=seed, jit="on")


@on_jax
@pytest.mark.parametrize("compared", [(0, 15), pytest.param(range(1, 15), marks=pytest.mark.slow)], ids=str)
def test_sixteen_members_equal_single_runs(transitions, compared):
    agents = [TD3BC(alpha=0.5 * (n + 1), hidden=(4,), critic_learning_rate=1e-4 * (n + 1)) for n in range(16)]
    together = [learner_of(agent) for agent in agents]
    engines = [engine_of(learner, transitions) for learner in together]
    metrics = engines[0].run_members(engines, together[0].select(None), 0, 6)
    for place in compared:  # each compiles its steps
        learner, told, alone = together[place], metrics[place], learner_of(agents[place])
        expected = engine_of(alone, transitions).run(alone.select(None), 0, 6)
        for name, value in alone.state().items():
            np.testing.assert_allclose(learner.state()[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
        assert told == pytest.approx(expected, rel=1e-3, abs=1e-6)
    first, last = (each.state()["networks/actor/0"] for each in (together[0], together[-1]))
    assert not np.allclose(first, last, atol=1e-5)


@on_jax
def test_rates_of_targets_vary(transitions):
    together = [learner_of(ToyAgent(tau=tau)) for tau in (0.1, 0.5)]
    engines = [engine_of(learner, transitions) for learner in together]
    engines[0].run_members(engines, together[0].select(None), 0, 3)
    for tau, learner in zip((0.1, 0.5), together, strict=True):
        alone = learner_of(ToyAgent(tau=tau))
        engine_of(alone, transitions).run(alone.select(None), 0, 3)
        for name, value in alone.state().items():
            np.testing.assert_allclose(learner.state()[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


@dataclass(frozen=True)
class Deciding(ToyAgent):
    weight: float = 1.0

    def actor_loss(self, nets, batch, key):
        loss, metrics = super().actor_loss(nets, batch, key)
        return (loss if self.weight > 0 else 0 * loss), metrics


@on_jax
def test_numbers_that_decide_while_tracing_do_not_vary(transitions):
    engine = engine_of(learner_of(Deciding()), transitions)
    assert engine.varies("tau")
    assert not engine.varies("weight")


def test_agents_differ_in_numbers_by_name():
    assert varied_settings([ToyAgent(), ToyAgent(tau=0.2), ToyAgent(every=3)]) == ("tau",)
    assert varied_settings([ToyAgent(), ToyAgent()]) == ()


@dataclass(frozen=True)
class Scaled(ToyAgent):
    scale: float = 1.0

    def networks(self, build):
        return super().networks(build) if self.scale > 0 else {}


def test_numbers_that_networks_are_made_with_are_told():
    with watched(Scaled()) as (agent, read):
        learner = learner_of(agent)
    assert read == {"scale"}
    assert learner.agent.tau == 0.1


def test_learners_with_other_periods_share_nothing():
    assert can_share(learner_of(ToyAgent()), learner_of(ToyAgent(tau=0.3)))
    assert not can_share(learner_of(ToyAgent()), learner_of(ToyAgent(every=3)))
    assert can_share(learner_of(TD3BC(hidden=(4,))), learner_of(TD3BC(hidden=(4,), actor_learning_rate=0.1)))
