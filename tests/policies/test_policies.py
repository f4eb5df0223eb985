import math

import keras
import numpy as np
import pytest

from vinci_offline.envs.making import make_env
from vinci_offline.errors import SpecError, UsageError, VinciError
from vinci_offline.policies.callable_policy import own_policy
from vinci_offline.policies.keras_policy import KerasPolicy
from vinci_offline.policies.named import load_policy
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec, environment_spec

OBSERVATIONS = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)


def generators(count=4, seed=0):
    return [np.random.default_rng((seed, lane)) for lane in range(count)]


def box(low, high, dtype="float32"):
    low, high = np.array(low, dtype), np.array(high, dtype)
    space = BoxSpace(low.shape, dtype, low, high)
    return EnvironmentSpec(BoxSpace((3,), "float32", np.full(3, -np.inf), np.full(3, np.inf)), space)


@pytest.fixture(scope="module")
def pendulum():
    return environment_spec(make_env("Pendulum-v1"))


def test_random_actions_fill_bounds_with_density():
    actions, log_probs = RandomPolicy(box([-1, 0], [3, 0.5])).block(np.random.default_rng(0), 4000)
    assert actions.dtype == np.float32
    assert actions.min(axis=0) == pytest.approx([-1, 0], abs=0.01)
    assert actions.max(axis=0) == pytest.approx([3, 0.5], abs=0.01)
    assert actions.mean(axis=0) == pytest.approx([1, 0.25], abs=0.06)
    assert log_probs == pytest.approx(-math.log(4 * 0.5))


def test_random_actions_without_bounds_follow_gymnasium():
    spec = box([-np.inf, 1, -np.inf], [np.inf, np.inf, 2])
    (actions, log_probs) = RandomPolicy(spec).block(np.random.default_rng(0), 4000)
    assert actions.mean(axis=0) == pytest.approx([0, 2, 1], abs=0.07)
    x, up, down = actions[5].astype(float)
    expected = -0.5 * x * x - 0.5 * math.log(2 * math.pi) - (up - 1) - (2 - down)
    assert log_probs[5] == pytest.approx(expected, abs=1e-5)


def test_random_integers_reach_both_bounds():
    actions, log_probs = RandomPolicy(box([0, 2], [1, 4], "int64")).block(np.random.default_rng(0), 200)
    assert np.unique(actions[:, 0]).tolist() == [0, 1]
    assert np.unique(actions[:, 1]).tolist() == [2, 3, 4]
    assert log_probs == pytest.approx(-math.log(6))


def test_random_choices_respect_start(toys):
    spec = environment_spec(toys.Chooser())
    actions, log_probs = RandomPolicy(spec).act(None, generators(50))
    assert set(actions.tolist()) == {2, 3, 4}
    assert log_probs == pytest.approx(-math.log(3))


def test_keras_policy_clips_to_bounds(pendulum, pendulum_actor):
    actor, _ = pendulum_actor
    decision = KerasPolicy(actor, pendulum).act(OBSERVATIONS * 10, generators())
    expected = np.clip(actor.predict_on_batch(OBSERVATIONS * 10), -2, 2)
    assert decision.actions == pytest.approx(expected)
    assert decision.log_probs is None


def test_gaussian_samples_use_lane_generators(pendulum, pendulum_actor):
    _, model = pendulum_actor
    policy = KerasPolicy(model, pendulum, stochastic=True)
    actions, log_probs = policy.act(OBSERVATIONS, generators())
    output = model.predict_on_batch(OBSERVATIONS)
    noise = np.array([rng.standard_normal(1) for rng in generators()])
    std = np.exp(output["log_std"])
    assert actions == pytest.approx(np.clip(output["mean"] + std * noise, -2, 2), abs=1e-5)
    inside = np.abs(actions[:, 0]) < 2
    density = -0.5 * noise[:, 0] ** 2 - output["log_std"][:, 0] - 0.5 * math.log(2 * math.pi)
    assert inside.any()
    assert log_probs[inside] == pytest.approx(density[inside], abs=1e-4)
    deterministic = KerasPolicy(model, pendulum).act(OBSERVATIONS, generators())
    assert deterministic.actions == pytest.approx(np.clip(output["mean"], -2, 2))


def test_categorical_samples_match_probabilities():
    import keras

    spec = EnvironmentSpec(
        BoxSpace((3,), "float32", np.full(3, -1.0), np.full(3, 1.0)), DiscreteSpace(2, start=5)
    )
    inputs = keras.Input((3,))
    bias = keras.initializers.Constant([0.0, math.log(3)])
    logits = keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer=bias)(inputs)
    policy = KerasPolicy(keras.Model(inputs, {"logits": logits}), spec, stochastic=True)
    actions, log_probs = policy.act(np.zeros((2000, 3)), generators(2000))
    assert (actions == 6).mean() == pytest.approx(0.75, abs=0.03)
    assert np.exp(log_probs) == pytest.approx(np.where(actions == 6, 0.75, 0.25))
    greedy = KerasPolicy(keras.Model(inputs, logits), spec).act(np.zeros((3, 3)), generators(3))
    assert greedy.actions.tolist() == [6, 6, 6]
    assert greedy.log_probs.tolist() == [0, 0, 0]


def test_misfit_names_model_and_environment(pendulum):
    import keras

    wide = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    many = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(SpecError, match=r"\(4,\).*Pendulum-v1 has observations Box\(3,\)"):
        KerasPolicy(wide, pendulum)
    with pytest.raises(SpecError, match=r"\(2,\) does not fit the actions of Pendulum-v1, Box\(1,\)"):
        KerasPolicy(many, pendulum)


def test_sampling_needs_a_distribution(pendulum, pendulum_actor):
    with pytest.raises(UsageError, match="not a distribution"):
        KerasPolicy(pendulum_actor[0], pendulum, stochastic=True)


def test_functions_and_objects_act(pendulum):
    def batched(observations, rngs):
        return observations[:, :1], np.arange(len(rngs))

    class Policy:
        act = staticmethod(batched)

    plain = own_policy(lambda observation: observation[:1] * 100, pendulum)
    assert plain.deterministic
    assert plain.act(OBSERVATIONS, generators()).actions.tolist() == [[-2], [-2], [2], [2]]
    drawing = own_policy(lambda observation, rng: rng.uniform(-2, 2, 1), pendulum)
    assert not drawing.deterministic
    expected = [[np.float32(rng.uniform(-2, 2))] for rng in generators()]
    assert drawing.act(OBSERVATIONS, generators()).actions.tolist() == expected
    assert own_policy(Policy(), pendulum).act(OBSERVATIONS, generators()).log_probs.tolist() == [
        0,
        1,
        2,
        3,
    ]
    with_default = own_policy(lambda observation, scale=2.0: observation[:1] * scale, pendulum)
    assert with_default.act(OBSERVATIONS, generators()).actions.shape == (4, 1)


@pytest.mark.parametrize(
    ("action", "says"),
    [([1.0, 2.0], r"shape \(2,\)"), ([np.nan], "NaN"), ("left", "type <U4"), (None, "type object")],
)
def test_bad_actions_are_refused(pendulum, action, says):
    with pytest.raises(SpecError, match=says):
        own_policy(lambda observation: action, pendulum).act(OBSERVATIONS, generators())


@pytest.mark.parametrize("action", [1, 5, 2.5])
def test_choices_outside_the_space_are_refused(toys, action):
    spec = environment_spec(toys.Chooser())
    with pytest.raises(SpecError, match="2 to 4"):
        own_policy(lambda observation: action, spec).act(np.zeros(4), generators())


@pytest.mark.parametrize(
    ("reference", "error", "says"),
    [
        ("nothing", UsageError, "unknown policy 'nothing'"),
        ("missing.keras", VinciError, "does not exist"),
        ("json:nothing", UsageError, "has no 'nothing'"),
        ("json:decoder", UsageError, "neither callable"),
        ("sb3:ppo:x.zip", VinciError, "x.zip does not exist"),
        ("sb3:ppo2:x.zip", UsageError, "ALGO one of a2c"),
        ("missing.onnx", VinciError, "does not exist"),
        ("gep", UsageError, "collect also takes"),
        (3, UsageError, "3 is not a policy"),
    ],
)
def test_unknown_policies_are_refused(pendulum, reference, error, says):
    with pytest.raises(error, match=says):
        load_policy(reference, pendulum)


def test_damaged_or_unsafe_file_is_refused(pendulum, tmp_path, pendulum_actor):
    import keras

    path = tmp_path / "policy.keras"
    pendulum_actor[0].save(path)
    content = path.read_bytes()
    (tmp_path / "cut.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(VinciError, match="cut short"):
        load_policy(tmp_path / "cut.keras", pendulum)
    unsafe = keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x[:, :1])])
    unsafe.save(tmp_path / "unsafe.keras")
    with pytest.raises(VinciError, match="safe mode"):
        load_policy(tmp_path / "unsafe.keras", pendulum)


def test_run_directory_gives_policy_and_distribution(pendulum, tmp_path, pendulum_actor):
    actor, model = pendulum_actor
    with pytest.raises(VinciError, match=r"has no policy\.keras"):
        load_policy(tmp_path, pendulum)
    actor.save(tmp_path / "policy.keras")
    assert load_policy(str(tmp_path), pendulum).deterministic
    with pytest.raises(UsageError, match="has no stochastic policy"):
        load_policy(tmp_path, pendulum, stochastic=True)
    model.save(tmp_path / "stochastic_policy.keras")
    assert not load_policy(tmp_path, pendulum, stochastic=True).deterministic


@pytest.mark.parametrize("stochastic", [True, False])
def test_densities_of_given_choices_are_those_of_drawn_ones(stochastic):
    spec = EnvironmentSpec(box([0], [1]).observation_space, DiscreteSpace(3, start=1))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, {"logits": keras.layers.Dense(3)(inputs)})
    policy = KerasPolicy(model, spec, stochastic=stochastic)
    drawn = policy.act(OBSERVATIONS, generators())
    np.testing.assert_allclose(policy.log_probs_of(OBSERVATIONS, drawn.actions), drawn.log_probs, rtol=1e-12)
    total = sum(np.exp(policy.log_probs_of(OBSERVATIONS, np.full(4, choice))) for choice in (1, 2, 3))
    np.testing.assert_allclose(total, 1)


def test_densities_of_given_continuous_actions_are_those_of_drawn_ones():
    spec = box([-1, 0], [1, 0.5])
    inputs = keras.Input((3,))
    outputs = {"mean": keras.layers.Dense(2)(inputs), "log_std": keras.layers.Dense(2)(inputs)}
    model = keras.Model(inputs, outputs)
    policy = KerasPolicy(model, spec, stochastic=True)
    drawn = policy.act(OBSERVATIONS, generators())
    np.testing.assert_allclose(policy.log_probs_of(OBSERVATIONS, drawn.actions), drawn.log_probs, rtol=1e-12)
    certain = KerasPolicy(model, spec)
    assert certain.log_probs_of(OBSERVATIONS, drawn.actions) is None


def test_densities_of_random_actions():
    policy = RandomPolicy(box([-1, 0], [3, 0.5]))
    actions = np.array([[0, 0.25], [-1, 0.25]], np.float32)  # a clipped action has a mass at its bound
    np.testing.assert_allclose(policy.log_probs_of(OBSERVATIONS[:2], actions), [-math.log(2), -math.inf])
    assert RandomPolicy(box([-1], [np.inf])).log_probs_of(OBSERVATIONS, np.zeros((4, 1))) is None
