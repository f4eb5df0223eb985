"""Tests of several learners in one call: each ends as it would alone."""

import keras
import numpy as np
import pytest

SEEDS = (3, 2**40 + 1)


def alone(make_learner, make_engine, seed, steps, role=None, **settings):
    learner = make_learner(seed, **settings)
    metrics = make_engine(learner, seed=seed).run(learner.select(role), 0, steps)
    return learner.state(), metrics


def together(make_learner, make_engine, chunks, role=None, **settings):
    learners = [make_learner(seed, **settings) for seed in SEEDS]
    engines = [make_engine(learner, seed=seed) for learner, seed in zip(learners, SEEDS, strict=True)]
    step = 0
    for count in chunks:
        metrics = engines[0].run_members(engines, learners[0].select(role), step, count)
        step += count
    return [learner.state() for learner in learners], metrics


def assert_same(left, right):
    """Compare bitwise; on JAX with a tolerance, since products of stacked matrices may round differently."""
    assert set(left) == set(right)
    for name, value in left.items():
        if keras.backend.backend() == "jax":
            np.testing.assert_allclose(value, right[name], rtol=1e-4, atol=1e-6, err_msg=name)
        else:
            np.testing.assert_array_equal(value, right[name], err_msg=name)


@pytest.mark.parametrize("settings", [{}, {"every": 1, "reset_below": 1e9}])
def test_each_member_equals_single_run(make_learner, make_engine, settings):
    states, metrics = together(make_learner, make_engine, (0, 6), **settings)
    for seed, state, told in zip(SEEDS, states, metrics, strict=True):
        expected, expected_metrics = alone(make_learner, make_engine, seed, 6, **settings)
        assert_same(state, expected)
        assert told == pytest.approx(expected_metrics, rel=1e-4)
    assert not np.allclose(states[0]["networks/critic/0"], states[1]["networks/critic/0"])


def test_members_are_independent_of_chunks(make_learner, make_engine):
    whole, _ = together(make_learner, make_engine, (7,))
    parts, _ = together(make_learner, make_engine, (2, 5))
    for left, right in zip(whole, parts, strict=True):
        for name, value in left.items():
            np.testing.assert_array_equal(value, right[name], err_msg=name)


def test_unselected_role_stays_unchanged_in_every_member(make_learner, make_engine):
    states, metrics = together(make_learner, make_engine, (3,), "critic")
    for seed, state, told in zip(SEEDS, states, metrics, strict=True):
        assert "loss/actor" not in told
        for name, value in make_learner(seed).state().items():
            if name.startswith(("networks/actor/", "optimizers/actor/", "networks/target_actor/")):
                np.testing.assert_array_equal(value, state[name], err_msg=name)
