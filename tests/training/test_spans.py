"""Steps written out by the updates' common period, as on a GPU: the same steps, wherever a run is cut."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinci_offline.training.engines.engine import Moment

pytest.importorskip("jax")
from vinci_offline.training.engines.jax import spans

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="of the JAX engine alone")


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 5))
def test_parts_are_all_steps_in_order_and_begin_where_their_places_are_known(start, count, span):
    taken = []
    for first, turns, size in spans(start, count, span):
        assert size in (1, span)
        assert first % size == 0 or not turns
        taken += range(first + 1, first + turns * size + 1)
    assert taken == list(range(start + 1, start + count + 1))


def test_no_steps_are_a_loop_all_the_same_so_that_it_can_be_compiled():
    assert list(spans(4, 0, 2)) == [(4, 0, 2)]


@pytest.mark.parametrize("number", range(1, 9))
def test_what_is_due_is_known_beforehand_where_the_span_decides_it(number):
    now = Moment(keras.ops.convert_to_tensor(number), 4, number % 4)
    for period in (1, 2, 4):
        assert now.due(period) is (number % period == 0)
    for period in (3, 8):
        assert bool(now.due(period)) == (number % period == 0)


@on_jax
@pytest.mark.parametrize("settings", [{}, {"track_every": 3}, {"track_every": 2, "every": 4}, {"every": 5}])
def test_steps_written_out_are_the_steps_of_the_plain_loop(make_learner, make_engine, settings):
    states, rows = [], []
    for written_out in (False, True):
        learners = [make_learner(seed, **settings) for seed in range(3)]
        engines = [make_engine(learner, seed=seed) for seed, learner in enumerate(learners)]
        for engine in engines:
            engine._on_cuda = written_out
        rows.append(engines[0].run(learners[0].select(None), 0, 13))
        engines[0].run(learners[0].select(None), 13, 8)
        engines[1].run_members(engines[1:], learners[1].select(None), 0, 7)
        states.append([learner.state() for learner in learners])
    assert rows[0] == pytest.approx(rows[1], rel=1e-4)
    for plain, written in zip(*states, strict=True):
        for name, value in plain.items():
            np.testing.assert_allclose(written[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
