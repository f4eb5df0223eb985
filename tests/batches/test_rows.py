"""Rows of a pool: windows, goals and draws, eager, compiled, and over several seeds at once."""

import keras
import numpy as np
import pytest
from chains import ROWS, chain
from keras import ops

from vinci_offline import UsageError
from vinci_offline.batches.names import DRAWN_ROW, FIRST_ROW, LAST_ROW
from vinci_offline.batches.reader import load_columns
from vinci_offline.batches.rows import Rows, draw
from vinci_offline.functional import random

DATASET, LAST = chain()
RUN_END = LAST[np.searchsorted(LAST, np.arange(ROWS))]
RUN_START = np.append(0, LAST + 1)[np.searchsorted(LAST, np.arange(ROWS))]


@pytest.fixture(scope="module")
def pool():
    columns = load_columns(DATASET, trajectories=True)
    return {name: ops.convert_to_tensor(column) for name, column in columns.items()}


def all_rows(pool):
    return Rows(pool, ops.arange(ROWS, dtype="int32"))


def compiled(function):
    """Compile a function as the engine of the backend does."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=True, autograph=False)


def key_of(number):
    return random.key(0, ops.convert_to_tensor(number), 3)


def array(tensor):
    return ops.convert_to_numpy(tensor)


def test_first_and_last_bound_each_run(pool):
    rows = all_rows(pool)
    np.testing.assert_array_equal(array(rows.first), RUN_START)
    np.testing.assert_array_equal(array(rows.last), RUN_END)


def test_at_takes_rows_and_tables_of_rows(pool):
    table = ops.convert_to_tensor([[3, 0], [59, 3]], dtype="int32")
    batch = all_rows(pool).at(table)
    np.testing.assert_array_equal(array(batch.observation)[..., 0], [[3, 0], [59, 3]])
    assert set(batch.columns) == set(pool) - {FIRST_ROW, LAST_ROW}


def test_windows_stay_in_the_run(pool):
    batch = all_rows(pool).window(4)
    steps = np.arange(ROWS)[:, None] + np.arange(4)
    np.testing.assert_array_equal(array(batch.valid), steps <= RUN_END[:, None])
    expected = DATASET.columns["observations"][np.minimum(steps, RUN_END[:, None])]
    np.testing.assert_array_equal(array(batch.observation), expected)
    assert batch.reward.shape == (ROWS, 4)
    assert keras.backend.standardize_dtype(batch.valid.dtype) == "float32"


@pytest.mark.parametrize("least", [0, 1])
def test_future_is_geometric_and_cut_at_the_end_of_the_run(pool, least):
    gamma, draws = 0.7, 4000
    row = int(np.argmax(RUN_END - np.arange(ROWS)))
    room = RUN_END[row] - row
    assert room >= 6
    rows = Rows(pool, ops.full((draws,), row, dtype="int32"))
    found = array(rows.future(key_of(1), gamma, least=least)) - row
    assert found.dtype == np.int32
    share = np.bincount(found, minlength=room + 1) / draws
    expected = np.zeros(room + 1)
    expected[least:] = (1 - gamma) * gamma ** np.arange(room + 1 - least)
    expected[-1] = gamma ** (room - least)  # all that is farther
    np.testing.assert_allclose(share, expected, atol=4 * np.sqrt(0.25 / draws))


def test_future_of_a_last_row_is_itself(pool):
    rows = Rows(pool, ops.convert_to_tensor(LAST.astype(np.int32)))
    for drawn in (rows.future(key_of(0), 0.99), rows.uniform_future(key_of(0))):
        np.testing.assert_array_equal(array(drawn), LAST)


@pytest.mark.parametrize("gamma", [0.0, 1 - 1e-12])
def test_future_takes_extreme_discounts(pool, gamma):
    drawn = array(all_rows(pool).future(key_of(0), gamma))
    expected = RUN_END if gamma else np.minimum(np.arange(ROWS) + 1, RUN_END)
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize("gamma", [-0.1, 1.0])
def test_future_refuses_other_discounts(pool, gamma):
    with pytest.raises(UsageError, match="gamma from 0 to below 1"):
        all_rows(pool).future(key_of(0), gamma)


@pytest.mark.parametrize("least", [0, 1])
def test_uniform_future_draws_each_later_row_alike(pool, least):
    draws, row = 4000, int(np.argmax(RUN_END - np.arange(ROWS)))
    rows = Rows(pool, ops.full((draws,), row, dtype="int32"))
    counts = np.bincount(array(rows.uniform_future(key_of(2), least=least)) - row)
    assert not counts[:least].any()
    expected = draws / (RUN_END[row] - row + 1 - least)
    np.testing.assert_allclose(counts[least:], expected, atol=5 * np.sqrt(expected))


def test_draws_are_of_drawable_rows_only(pool):
    drawable = np.array([7, 8, 40], np.int32)
    part = pool | {DRAWN_ROW: ops.convert_to_tensor(drawable)}
    rows = draw(part, key_of(4), 3000)
    for drawn in (rows.index, rows.random(key_of(5))):
        values, counts = np.unique(array(drawn), return_counts=True)
        np.testing.assert_array_equal(values, drawable)
        np.testing.assert_allclose(counts, 1000, atol=5 * np.sqrt(1000))
    assert DRAWN_ROW not in rows.at(rows.index).columns
    assert set(np.unique(array(draw(pool, key_of(4), 3000).index))) == set(range(ROWS))


def look(pool, number):
    """Return everything that an agent may ask of one draw."""
    rows = draw(pool, key_of(number), 8)
    far, near = rows.future(key_of(number + 1), 0.9), rows.uniform_future(key_of(number + 2))
    window = rows.window(3)
    return rows.index, far, near, rows.random(key_of(number + 3)), window.observation, window.valid


def test_compiled_rows_equal_eager_ones(pool):
    number = ops.convert_to_tensor(11)
    for left, right in zip(compiled(look)(pool, number), look(pool, number), strict=True):
        np.testing.assert_array_equal(array(left), array(right))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="only JAX maps over seeds")
def test_rows_are_mapped_over_seeds(pool):
    import jax

    numbers = jax.numpy.arange(3)
    together = jax.jit(jax.vmap(look, in_axes=(None, 0)))(pool, numbers)
    for place in range(3):
        for left, right in zip(together, look(pool, numbers[place]), strict=True):
            np.testing.assert_array_equal(array(left[place]), array(right))


@pytest.mark.parametrize(
    "ask", [lambda rows: rows.first, lambda rows: rows.window(2), lambda rows: rows.future(key_of(0), 0.5)]
)
def test_a_pool_without_runs_says_what_to_declare(pool, ask):
    plain = {name: column for name, column in pool.items() if name not in (FIRST_ROW, LAST_ROW)}
    with pytest.raises(UsageError, match="set trajectories = True in the agent's class"):
        ask(all_rows(plain))
