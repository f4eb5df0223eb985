"""Small Keras networks in NumPy give Keras' numbers, and travel without Keras."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import threadpoolctl

from vinci_offline.policies import numpy_layers
from vinci_offline.policies.numpy_network import NumpyNetwork, numpy_network

layers, ops = keras.layers, keras.ops


def actor(build: object) -> keras.Model:
    state = keras.Input((4,), name="state")
    return keras.Model(state, build(state))  # type: ignore[operator]


def normalised(state: object) -> object:
    shifted = layers.Normalization(mean=[1.0, -2.0, 0.0, 3.0], variance=[4.0, 1.0, 0.0, 9.0])(state)
    hidden = layers.LayerNormalization()(layers.Dense(32)(shifted))
    return layers.Dense(2, activation="tanh")(layers.ReLU()(hidden))


def scaled(state: object) -> object:
    raw = ops.tanh(layers.Dense(2)(state)) * np.float32([2.0, 0.5]) + np.float32([0.5, 0.0])
    return ops.minimum(ops.maximum(raw, np.float32([-1.0, -0.25])), np.float32([2.0, 0.25]))


def distribution(state: object) -> object:
    both = layers.Dense(4)(layers.Dense(16, activation="relu")(state))
    return {"mean": ops.tanh(both[:, :2]), "log_std": ops.clip(both[:, 2:], -5.0, 2.0)}


def choice(state: object) -> object:
    values = ops.stack([layers.Dense(3)(state), layers.Dense(3)(state)], axis=0)
    return ops.argmax(ops.mean(values, axis=0), axis=-1) + 1


def best(state: object) -> object:
    return ops.top_k(layers.Dense(3)(state), 1)[1][:, 0] - 4


def softened(state: object) -> object:
    raw = layers.Dense(3, activation="softplus")(layers.Concatenate()([state, -state]))
    return ops.where(raw > 0.5, ops.round(raw), layers.Activation("sigmoid")(raw))


@pytest.mark.parametrize("build", [normalised, scaled, distribution, choice, best, softened])
def test_numbers_are_those_of_keras(build: object) -> None:
    model = actor(build)
    network = numpy_network(model)
    assert network is not None
    states = np.random.default_rng(1).normal(0, 5, (64, 4)).astype(np.float32)
    ours, theirs = network(states), model.predict_on_batch(states)
    for name in theirs if isinstance(theirs, dict) else [...]:
        one, other = (ours, theirs) if name is ... else (ours[name], theirs[name])
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_a_nested_and_a_sequential_model_are_followed() -> None:
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    state = keras.Input((4,))
    states = np.ones((3, 4), np.float32)
    for model in (inner, keras.Model(state, inner(state) * 2.0)):
        network = numpy_network(model)
        assert network is not None
        np.testing.assert_allclose(network(states), model.predict_on_batch(states), rtol=1e-5)


def test_a_sequential_model_that_was_just_loaded_is_translated(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="relu"), layers.Dense(2)])
    model.save(tmp_path / "policy.keras")
    assert numpy_network(keras.saving.load_model(tmp_path / "policy.keras", compile=False)) is not None


def test_inputs_go_by_name_whatever_their_order() -> None:
    parts = {"b": keras.Input((2,), name="b"), "a": keras.Input((3,), name="a")}
    model = keras.Model(parts, layers.Dense(2)(layers.Concatenate()([parts["a"], parts["b"]])))
    network = numpy_network(model)
    assert network is not None
    given = {"a": np.ones((2, 3), np.float32), "b": np.full((2, 2), 5.0, np.float32)}
    np.testing.assert_allclose(network(given), model.predict_on_batch(given), rtol=1e-5)


def test_steps_that_lead_nowhere_are_left_out() -> None:
    state = keras.Input((4,))
    both = keras.Model(state, {"mean": layers.Dense(2)(state), "log_std": ops.exp(layers.Dense(2)(state))})
    network = numpy_network(keras.Model(state, both(state)["mean"]))
    assert network is not None
    assert len(network.steps) == 1


@pytest.mark.parametrize(
    "build",
    [
        lambda state: layers.Dense(2, activation="gelu")(state),
        lambda state: layers.ReLU(max_value=1.0)(layers.Dense(2)(state)),
        lambda state: layers.Flatten()(layers.Conv1D(2, 2)(layers.Reshape((4, 1))(state))),
        lambda state: layers.Dense(1025)(layers.Dense(1025)(state)),
    ],
    ids=["activation", "setting", "layer", "too large"],
)
def test_other_models_are_not_translated(build: object) -> None:
    assert numpy_network(actor(build)) is None


def test_a_class_of_a_users_that_is_called_dense_is_not_taken_for_keras() -> None:
    class Dense(layers.Dense):
        def call(self, inputs: object, training: bool | None = None) -> object:
            return super().call(inputs, training) + 1.0

    assert numpy_network(actor(Dense(2))) is None


def test_a_network_whose_numbers_differ_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(numpy_layers._KINDS, "Tanh", lambda operation: (np.sin, ()))
    assert numpy_network(actor(lambda state: ops.tanh(layers.Dense(2)(state)))) is None


def blas_threads() -> set[int]:
    """Return the threads of NumPy's libraries; SciPy brings one of its own, which no network calls."""
    found = [each for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"]
    return {each["num_threads"] for each in found if "scipy" not in each["filepath"]}


def test_rows_do_not_depend_on_the_number_of_threads() -> None:
    """The first layer is wide: only then does OpenBLAS split the sums of the second one among threads."""
    network = numpy_network(
        actor(lambda state: layers.Dense(64)(layers.Dense(1000, activation="relu")(state)))
    )
    assert network is not None
    states = np.random.default_rng(3).normal(size=(64, 4)).astype(np.float32)
    found = []
    for threads in (1, 4):
        with threadpoolctl.threadpool_limits(threads, user_api="blas"):
            found.append(network(states))
            assert blas_threads() <= {threads}, "the limit of the caller stands again"
    np.testing.assert_array_equal(*found)


def test_every_step_runs_on_one_thread() -> None:
    network = numpy_network(actor(layers.Dense(2)))
    assert network is not None
    seen: list[set[int]] = []

    def watching(function: Callable[..., object]) -> Callable[..., object]:
        def step(*values: object) -> object:
            seen.append(blas_threads())
            return function(*values)

        return step

    steps = tuple((watching(function), arguments, place) for function, arguments, place in network.steps)
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        replace(network, steps=steps)(np.zeros((1, 4), np.float32))
    assert len(seen) == len(network.steps)
    assert all(counts <= {1} for counts in seen)


def test_a_network_travels_without_keras() -> None:
    model = actor(normalised)
    network = numpy_network(model)
    assert isinstance(network, NumpyNetwork)
    script = (
        "import pickle, sys; import numpy as np; network = pickle.loads(sys.stdin.buffer.read()); "
        "print(network(np.ones((2, 4), np.float32)).tolist()); assert 'keras' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=pickle.dumps(network), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == str(network(np.ones((2, 4), np.float32)).tolist())
