import subprocess
import sys
from textwrap import dedent

import keras
import numpy as np
import pytest

from vinci_offline.errors import SpecError, VinciError
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.policies.numpy_network import numpy_network
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.testing.agent_contract import BOX, DISCRETE

HIDDEN = (8, 8)


def builder(spec):
    shape = spec.observation_space.shape
    return NetworkBuilder(spec, (np.full(shape, 0.5, "f4"), np.full(shape, 2, "f4")))


def exports():
    """Return one policy of each kind, by name."""
    box, discrete = builder(BOX), builder(DISCRETE)
    gaussian = box.gaussian_actor("actor", HIDDEN)
    categorical = discrete.categorical_actor("actor", HIDDEN)
    grid = NetworkBuilder(EnvironmentSpec(DiscreteSpace(5, start=2), BOX.action_space))
    shaped = NetworkBuilder(
        EnvironmentSpec(
            BoxSpace((2, 2), "float64", np.full((2, 2), -np.inf), np.full((2, 2), np.inf)),
            BoxSpace((1, 2), "float32", np.array([[-1, 0]], "f4"), np.array([[1, np.inf]], "f4")),
        ),
        (np.ones((2, 2)), np.ones((2, 2))),
    )
    return {
        "deterministic": (box.policy(box.deterministic_actor("actor", HIDDEN)), (3,)),
        "mean": (box.policy(gaussian), (3,)),
        "gaussian": (box.stochastic_policy(gaussian), (3,)),
        "choice": (discrete.policy(categorical), (4,)),
        "logits": (discrete.stochastic_policy(categorical), (4,)),
        "greedy": (
            discrete.greedy_policy(discrete.discrete_critics("critic", HIDDEN, 2, dueling=True)),
            (4,),
        ),
        "shaped": (shaped.policy(shaped.deterministic_actor("actor", HIDDEN)), (2, 2)),
        "discrete_observations": (grid.policy(grid.deterministic_actor("actor", HIDDEN)), ()),
    }


@pytest.mark.parametrize("kind", sorted(exports()))
def test_exported_policies_act_in_numpy(kind, tmp_path):
    exports()[kind][0].save(tmp_path / "policy.keras")
    assert numpy_network(keras.saving.load_model(tmp_path / "policy.keras", compile=False)) is not None


def test_policies_load_without_this_package(tmp_path):
    for name, (policy, shape) in exports().items():
        rng = np.random.default_rng(0)
        observations = rng.normal(size=(7, *shape)) * 3 if shape else rng.integers(2, 7, 7)
        policy.save(tmp_path / f"{name}.keras")
        outputs = policy(observations)
        named = outputs if isinstance(outputs, dict) else {"action": outputs}
        np.savez(
            tmp_path / f"{name}.npz",
            observations=observations,
            **{k: np.asarray(v) for k, v in named.items()},
        )
    # -I removes the working directory and the user site from the path. The script also blocks the import.
    script = dedent(
        """
        import pathlib, sys
        sys.modules["vinci_offline"] = None
        import keras
        import numpy as np
        for path in sorted(pathlib.Path(sys.argv[1]).glob("*.keras")):
            policy = keras.saving.load_model(path, safe_mode=True)
            stored = dict(np.load(path.with_suffix(".npz"), allow_pickle=False))
            found = policy(stored.pop("observations"))
            found = found if isinstance(found, dict) else {"action": found}
            assert set(found) == set(stored), path
            for name, value in found.items():
                np.testing.assert_array_equal(np.asarray(value), stored[name], err_msg=str(path))
            print(path.stem)
        """
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == sorted(exports())


def test_stochastic_policy_is_in_environment_units():
    build = builder(BOX)  # bounds [-2, 2] and [0, 0.5]: scales 2 and 0.25, offsets 0 and 0.25
    actor = build.gaussian_actor("actor", HIDDEN)
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype("f4")
    scaled, found = actor(observations), build.stochastic_policy(actor)(observations)
    np.testing.assert_allclose(found["mean"], np.asarray(scaled["mean"]) * [2, 0.25] + [0, 0.25], rtol=1e-5)
    # The offset does not change the deviation.
    np.testing.assert_allclose(np.exp(found["log_std"]), np.exp(scaled["log_std"]) * [2, 0.25], rtol=1e-5)


def test_discrete_policy_adds_start():
    build = builder(DISCRETE)
    actor = build.categorical_actor("actor", HIDDEN)
    observations = np.random.default_rng(0).normal(size=(50, 4)).astype("f4") * 10
    choices = np.asarray(build.policy(actor)(observations))
    np.testing.assert_array_equal(choices, np.argmax(actor(observations)["logits"], axis=-1) + 1)
    assert choices.dtype.kind == "i"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TFLite converts TensorFlow's operations")
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
@pytest.mark.parametrize("kind", ["deterministic", "choice", "greedy"])
def test_policy_converts_to_tflite(kind):
    import tensorflow as tf

    model, shape = exports()[kind]
    interpreter = tf.lite.Interpreter(model_content=tf.lite.TFLiteConverter.from_keras_model(model).convert())
    interpreter.allocate_tensors()
    observation = np.random.default_rng(0).normal(size=(1, *shape)).astype("f4")
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], observation)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, model.predict_on_batch(observation), rtol=1e-4, atol=1e-5)


def test_policy_shares_weights_with_actor():
    build = builder(BOX)
    actor = build.deterministic_actor("actor", HIDDEN)
    policy = build.policy(actor)
    before = np.asarray(policy(np.ones((1, 3))))
    actor.set_weights([w * 2 for w in actor.get_weights()])
    assert not np.array_equal(before, policy(np.ones((1, 3))))


def test_policy_clips_linear_actor():
    keras.utils.set_random_seed(1)  # both bounds of both dimensions are reached
    build = builder(BOX)
    actor = build.deterministic_actor("actor", HIDDEN, squash=False)
    actor.set_weights([w * 100 for w in actor.get_weights()])
    actions = np.asarray(build.policy(actor)(np.random.default_rng(0).normal(size=(50, 3)) * 100))
    np.testing.assert_array_equal(actions.min(axis=0), BOX.action_space.low)
    np.testing.assert_array_equal(actions.max(axis=0), BOX.action_space.high)


def test_stored_actor_returns_scaled_actions_and_is_frozen(tmp_path):
    build = builder(BOX)
    actor = build.deterministic_actor("actor", HIDDEN)
    build.policy(actor).save(tmp_path / "policy.keras")
    stored = build.stored_actor("bootstrap_actor", str(tmp_path / "policy.keras"))
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype("f4")
    np.testing.assert_allclose(stored(observations), actor(observations), atol=1e-5)
    assert stored.trainable_variables == []


def test_stored_actor_of_other_shape_is_refused(tmp_path):
    path = str(tmp_path / "policy.keras")
    with pytest.raises(VinciError, match="does not exist"):
        builder(BOX).stored_actor("bootstrap_actor", path)
    (tmp_path / "policy.keras").write_text("not a model")
    with pytest.raises(VinciError, match="is not a Keras model, or was cut short"):
        builder(BOX).stored_actor("bootstrap_actor", path)
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(5)]).save(path)
    with pytest.raises(
        SpecError, match=r"returns actions of shape \(None, 5\), but the environment needs \(2,\)"
    ):
        builder(BOX).stored_actor("bootstrap_actor", path)
    keras.Sequential([keras.Input((9,)), keras.layers.Dense(2)]).save(path)
    with pytest.raises(SpecError, match=r"does not take the observations Box.*\(3,\)"):
        builder(BOX).stored_actor("bootstrap_actor", path)


def test_stored_actor_with_lambda_is_refused(tmp_path):
    path = str(tmp_path / "policy.keras")
    keras.Sequential([keras.Input((3,)), keras.layers.Lambda(lambda x: x[:, :2])]).save(path)
    with pytest.raises(VinciError, match="safe mode"):
        builder(BOX).stored_actor("bootstrap_actor", path)


def goal_spec(action_space, **parts):
    box = BOX.observation_space
    return EnvironmentSpec(DictSpace({"observation": box, "desired_goal": box, **parts}), action_space)


@pytest.mark.parametrize("goal", ["observation/desired_goal", "goal"])
def test_actors_on_parts_of_a_dict_are_exported(goal):
    scaled = BoxSpace((2,), "float32", np.full(2, -1, "f4"), np.full(2, 1, "f4"))
    build = NetworkBuilder(goal_spec(scaled, other=BOX.observation_space))
    actor = build.gaussian_actor("actor", HIDDEN, on=("observation/observation", goal))
    rng = np.random.default_rng(0)
    raw = {key: rng.normal(size=(5, 3)).astype("f4") for key in ("observation", "desired_goal", "other")}
    expected = np.asarray(actor([raw["observation"], raw["desired_goal"]])["mean"])
    np.testing.assert_allclose(build.policy(actor)(raw), expected, rtol=1e-5)
    np.testing.assert_allclose(build.stochastic_policy(actor)(raw)["mean"], expected, rtol=1e-5)


def test_actor_on_a_goal_outside_the_observation_is_refused():
    build = NetworkBuilder(BOX)
    actor = build.deterministic_actor("actor", HIDDEN, on=("observation", "goal"))
    with pytest.raises(SpecError, match="'actor' takes 'goal', which the environment's observations do not"):
        build.policy(actor)


def test_masks_reach_every_exported_choice():
    mask_space = BoxSpace((3,), "int8", np.zeros(3, "i1"), np.ones(3, "i1"))
    build = NetworkBuilder(goal_spec(DiscreteSpace(3), action_mask=mask_space))
    actor = build.categorical_actor("actor", HIDDEN)
    critic = build.discrete_critics("critic", HIDDEN, 2)
    rng = np.random.default_rng(0)
    raw = {key: rng.normal(size=(40, 3)).astype("f4") for key in ("observation", "desired_goal")}
    raw["action_mask"] = np.ones((40, 3), "f4")
    free = np.asarray(build.policy(actor)(raw))
    raw["action_mask"] = 1 - np.eye(3, dtype="f4")[free]  # forbid what was chosen
    assert (np.asarray(build.policy(actor)(raw)) != free).all()
    logits = np.asarray(build.stochastic_policy(actor)(raw)["logits"])
    assert (logits[np.arange(40), free] == np.float32(-1e30)).all()
    np.testing.assert_array_equal(logits > -1e9, raw["action_mask"] > 0)
    greedy = np.asarray(build.greedy_policy(critic)(raw))
    assert (greedy != free).all()
    raw["action_mask"] = np.zeros((40, 3), "f4")
    assert set(np.asarray(build.policy(actor)(raw)).tolist()) == {0}


def test_exported_choices_take_a_mask_as_an_input():
    spec = EnvironmentSpec(BOX.observation_space, DiscreteSpace(3, start=1))
    build = NetworkBuilder(spec, masked=True)
    actor = build.categorical_actor("actor", HIDDEN)
    critic = build.discrete_critics("critic", HIDDEN, 2)
    states = np.random.default_rng(0).normal(size=(20, 3)).astype("f4")
    policies = [
        build.policy(actor),
        build.greedy_policy(critic),
        build.policy_of(lambda observation: critic(observation)[0]),
    ]
    for policy in policies:
        for only in range(3):
            raw = {"observation": states, "action_mask": np.eye(3, dtype="f4")[np.full(20, only)]}
            assert set(np.asarray(policy(raw)).tolist()) == {1 + only}
    logits = build.stochastic_policy(actor)(raw)["logits"]
    np.testing.assert_array_equal(np.asarray(logits) > -1e9, raw["action_mask"] > 0)
    everything = {"observation": states, "action_mask": np.ones((20, 3), "f4")}
    plain = NetworkBuilder(spec).policy(actor)(states)
    np.testing.assert_array_equal(policies[0](everything), plain)


def test_masks_beside_a_dict_are_an_input_among_its_keys():
    build = NetworkBuilder(goal_spec(DiscreteSpace(3)), masked=True)
    policy = build.policy(build.categorical_actor("actor", HIDDEN))
    raw = {key: np.ones((2, 3), "f4") for key in ("observation", "desired_goal")}
    found = policy({**raw, "action_mask": np.array([[0, 1, 0], [0, 0, 1]], "f4")})
    assert np.asarray(found).tolist() == [1, 2]


@pytest.mark.parametrize("kind", ["deterministic", "shaped"])
def test_stored_policies_refuse_other_widths(tmp_path, kind):
    policy, shape = exports()[kind]
    policy.save(tmp_path / "policy.keras")
    stored = keras.models.load_model(tmp_path / "policy.keras")
    assert stored(np.zeros((4, *shape), "f4")).shape[0] == 4
    with pytest.raises(ValueError, match=r"must be unchanged"):  # Normalization broadcasts it
        stored(np.zeros((4, *shape[:-1], 1), "f4"))
