"""Tests of several learners in one call: each ends as it would alone."""

import keras
import numpy as np
import pytest
from training_fixtures import BOX, ToyAgent

from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import Learner

SEEDS = (3, 2**40 + 1)


class Members:
    """Learners of `SEEDS` with their engines; tests restart them, since compiling takes longest."""

    def __init__(self, make_learner, make_engine, **settings):
        self.learners = [make_learner(seed, **settings) for seed in SEEDS]
        self.engines = [
            make_engine(learner, seed=seed) for learner, seed in zip(self.learners, SEEDS, strict=True)
        ]
        self.initial = [learner.state() for learner in self.learners]

    def restart(self):
        for learner, state in zip(self.learners, self.initial, strict=True):
            learner.restore(state)

    def together(self, *chunks, role=None):
        """Run from the untrained state in one call a chunk; return the states and the last metrics."""
        self.restart()
        step = 0
        for count in chunks:
            metrics = self.engines[0].run_members(self.engines, self.learners[0].select(role), step, count)
            step += count
        return [learner.state() for learner in self.learners], metrics

    def alone(self, member, steps):
        """Run one member by itself from the untrained state; return its state and metrics."""
        self.restart()
        learner = self.learners[member]
        metrics = self.engines[member].run(learner.select(None), 0, steps)
        return learner.state(), metrics


@pytest.fixture(scope="module")
def members(transitions):
    """Return members of the default settings."""

    def learner(seed):
        return Learner(ToyAgent(), NetworkBuilder(BOX), seed)

    def engine(learner, seed):
        return make_engine(learner, transitions, batch_size=16, seed=seed, jit="off")

    return Members(learner, engine)


def assert_same(left, right):
    """Compare bitwise; on JAX with a tolerance, since products of stacked matrices may round differently."""
    assert set(left) == set(right)
    for name, value in left.items():
        if keras.backend.backend() == "jax":
            np.testing.assert_allclose(value, right[name], rtol=1e-4, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(value, right[name], err_msg=name)


def assert_equal_to_single_runs(members, steps):
    states, metrics = members.together(0, steps)
    for place, (state, told) in enumerate(zip(states, metrics, strict=True)):
        expected, expected_metrics = members.alone(place, steps)
        assert_same(state, expected)
        assert told == pytest.approx(expected_metrics, rel=1e-4)
    assert not np.allclose(states[0]["networks/critic/0"], states[1]["networks/critic/0"])


def test_each_member_equals_single_run(members):
    assert_equal_to_single_runs(members, 6)


def test_members_that_reset_equal_single_runs(make_learner, make_engine):
    assert_equal_to_single_runs(Members(make_learner, make_engine, every=1, reset_below=1e9), 3)


def test_members_are_independent_of_chunks(members):
    whole, _ = members.together(7)
    parts, _ = members.together(2, 5)
    for left, right in zip(whole, parts, strict=True):
        for name, value in left.items():
            np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_unselected_role_stays_unchanged_in_every_member(members):
    states, metrics = members.together(3, role="critic")
    for before, state, told in zip(members.initial, states, metrics, strict=True):
        assert "loss/actor" not in told
        for name, value in before.items():
            if name.startswith(("networks/actor/", "optimizers/actor/", "networks/target_actor/")):
                np.testing.assert_array_equal(value, state[name], err_msg=name)
