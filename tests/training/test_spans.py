"""Tests of the JAX loop on a GPU, which writes out the steps of a span. Results must not change."""

from contextlib import contextmanager
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinci_offline.training.engines.engine import Moment

pytest.importorskip("jax")
import jax

from vinci_offline.training.engines.jax import spans

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="tests the JAX engine")

CUDA = "PJRT C API\ncuda 12090"
"""``platform_version`` of an NVIDIA GPU's client."""


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 5))
def test_spans_cover_all_steps_in_order(start, count, span):
    taken = []
    for first, turns, size in spans(start, count, span):
        assert size in (1, span)
        assert first % size == 0 or not turns
        taken += range(first + 1, first + turns * size + 1)
    assert taken == list(range(start + 1, start + count + 1))


def test_no_steps_give_one_empty_span():
    assert list(spans(4, 0, 2)) == [(4, 0, 2)]


@pytest.mark.parametrize("number", range(1, 9))
def test_due_is_a_plain_bool_where_span_decides(number):
    now = Moment(keras.ops.convert_to_tensor(number), 4, number % 4)
    for period in (1, 2, 4):
        assert now.due(period) is (number % period == 0)
    for period in (3, 8):
        assert bool(now.due(period)) == (number % period == 0)


@pytest.fixture
def on_platform(monkeypatch):
    """Return a context in which JAX reports a device of the given platform."""

    @contextmanager
    def platform(version):
        device = SimpleNamespace(client=SimpleNamespace(platform_version=version))
        with monkeypatch.context() as patch:
            patch.setattr(jax, "local_devices", lambda: [device])
            yield

    return platform


@pytest.fixture
def compilations(monkeypatch):
    """Return the list of compiler options that each call of ``jax.jit`` is given."""
    options, jit = [], jax.jit

    def recording(function, **settings):
        options.append(settings.get("compiler_options"))
        return jit(function, **settings)

    monkeypatch.setattr(jax, "jit", recording)
    return options


@on_jax
@pytest.mark.parametrize(
    ("version", "every", "loops"),
    [("cpu", 2, 1), (CUDA, 2, 2), (CUDA, 1, 1), (CUDA, 5, 1), ("PJRT C API\nrocm 60300", 2, 1)],
)
def test_platform_decides_span_and_compiler_options(
    make_learner, make_engine, on_platform, compilations, version, every, loops
):
    learner = make_learner(every=every)
    with on_platform(version):
        engine = make_engine(learner)
    engine.run(learner.select(None), 0, 3)  # a pair and a single step, where steps are written out in pairs
    assert len(compilations) == loops
    assert all((options is not None) == (version == CUDA) for options in compilations)
    assert all("WHILE" in options["xla_gpu_enable_command_buffer"] for options in compilations if options)


def assert_close(plain, written):
    for name, value in plain.items():
        np.testing.assert_allclose(written[name], value, rtol=1e-4, atol=1e-6, err_msg=name)


# In spans of two steps the device decides whether the target is due; in spans of four the trace knows it.
@on_jax
@pytest.mark.parametrize("settings", [{"track_every": 3}, {"track_every": 2, "every": 4}])
def test_written_out_steps_equal_plain_loop(make_learner, make_engine, on_platform, settings):
    states, rows = [], []
    for version in ("cpu", CUDA):
        learner = make_learner(**settings)
        with on_platform(version):
            engine = make_engine(learner)
        rows.append(engine.run(learner.select(None), 0, 13))
        engine.run(learner.select(None), 13, 8)
        states.append(learner.state())
    assert rows[0] == pytest.approx(rows[1], rel=1e-4)
    assert_close(*states)


@on_jax
def test_written_out_steps_of_members_equal_plain_loop(make_learner, make_engine, on_platform):
    states = []
    for version in ("cpu", CUDA):
        learners = [make_learner(seed) for seed in (1, 2)]
        with on_platform(version):
            engines = [make_engine(learner, seed=seed) for seed, learner in enumerate(learners, 1)]
        engines[0].run_members(engines, learners[0].select(None), 0, 7)
        states.append([learner.state() for learner in learners])
    for plain, written in zip(*states, strict=True):
        assert_close(plain, written)
