"""Counter-based random draws: distributions, keys, and equal numbers under every compiler."""

import keras
import numpy as np
import pytest

from vinci_offline.functional import random

BITS = [2323667745, 2797627929, 360064687, 2585287034]
ROWS = [528, 129, 684, 926]


def keyed(seed=0, step=1, stream=0):
    return random.key(seed, keras.ops.convert_to_tensor(step), stream)


def compiled(function, jit):
    """Return the function compiled by the backend: TensorFlow has two ways, JAX one."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=jit)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("jit", [False, True])
def test_compilation_does_not_change_integer_draws(jit):
    def draw(step):
        return random.integers(random.key(7, step, 2), (64,), 1000)

    step = keras.ops.convert_to_tensor(5)
    np.testing.assert_array_equal(numpy(compiled(draw, jit)(step)), numpy(draw(step)))


def test_draws_equal_stored_numbers_on_every_backend():
    key = keyed(7, 5, 2)
    assert numpy(random.bits(key, (4,))).tolist() == BITS
    assert numpy(random.integers(key, (4,), 1000)).tolist() == ROWS


@pytest.mark.parametrize("seed", [7, 2**32 + 7, 2**64 - 1])
def test_key_of_words_equals_key_of_seed(seed):
    step = keras.ops.convert_to_tensor(5)
    np.testing.assert_array_equal(random.key(random.words(seed), step, 2), random.key(seed, step, 2))


def test_draws_depend_on_seed_step_and_stream():
    draws = [
        numpy(random.bits(keyed(*parts), (100,)))
        for parts in [(0, 1, 0), (1, 1, 0), (2**32, 1, 0), (0, 2, 0), (0, 1, 1), (0, 1, 2)]
    ]
    for i, left in enumerate(draws):
        for right in draws[:i]:
            assert np.mean(left == right) < 0.02


def test_integers_are_uniform_over_rows():
    counts = np.zeros(1000)
    for step in range(200):
        counts += np.bincount(numpy(random.integers(keyed(3, step), (1000,), 1000)), minlength=1000)
    chi_squared = np.sum((counts - 200) ** 2 / 200)
    assert abs(chi_squared - 999) < 5 * np.sqrt(2 * 999)  # five standard deviations of its distribution


@pytest.mark.parametrize("maximum", [1, 2, 3, 2**16 + 1, 2**31 - 1])
def test_integers_stay_below_the_maximum_and_reach_its_top(maximum):
    draws = numpy(random.integers(keyed(), (20_000,), maximum)).astype(np.int64)
    assert draws.min() >= 0
    assert draws.max() < maximum
    assert draws.max() >= int(0.999 * (maximum - 1))


def test_integers_are_64_random_bits_times_maximum():
    key, maximum = keyed(11), 2**31 - 1
    high, low = (numpy(random.bits(random.fold(key, word), (1_000,))).tolist() for word in (1, 2))
    exact = [((a << 32 | b) * maximum) >> 64 for a, b in zip(high, low, strict=True)]
    assert numpy(random.integers(key, (1_000,), maximum)).tolist() == exact


def test_multiply_high_is_exact():
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 2**32, (2, 10_000), dtype=np.uint64)
    ours = numpy(random._multiply_high(*(keras.ops.convert_to_tensor(x.astype(np.uint32)) for x in (a, b))))
    np.testing.assert_array_equal(ours, (a * b) >> np.uint64(32))


def test_normal_is_box_muller_of_two_uniform_draws():
    key, shape = keyed(5), (1_000_000,)
    first, second = (numpy(random.uniform(random.fold(key, word), shape)).astype(float) for word in (1, 2))
    exact = np.sqrt(-2 * np.log(first + 0.5 / 2**24)) * np.cos(2 * np.pi * second)
    np.testing.assert_allclose(random.normal(key, shape), exact, rtol=1e-4, atol=1e-4)
    assert first.min() < 100 / 2**24  # so small that half a unit shows


def test_normal_and_uniform_moments():
    z = numpy(random.normal(keyed(5), (1_000_000,))).astype(np.float64)
    assert abs(z.mean()) < 0.005
    assert abs(z.std() - 1) < 0.005
    assert abs(np.mean(z**4) - 3) < 0.05
    assert np.all(np.isfinite(z))
    u = numpy(random.uniform(keyed(5), (1_000_000,))).astype(np.float64)
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 0.002
    assert abs(u.var() - 1 / 12) < 0.001


def test_draws_of_consecutive_steps_are_uncorrelated():
    rows = np.stack([numpy(random.normal(keyed(0, step), (4096,))) for step in range(20)])
    correlation = np.corrcoef(rows) - np.eye(20)
    assert np.abs(correlation).max() < 5 / np.sqrt(4096)
