import keras
import numpy as np
import pytest

from vinci_offline.agents.agent import Networks
from vinci_offline.errors import SpecError
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.networks.placeholders import Placeholders
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.testing.agent_contract import BOX, DISCRETE

HIDDEN = (8, 8)
IMAGES = EnvironmentSpec(
    BoxSpace((4, 4, 1), "uint8", np.zeros((4, 4, 1), "u1"), np.full((4, 4, 1), 255, "u1")), DiscreteSpace(2)
)
GRID = EnvironmentSpec(DiscreteSpace(5, start=1), DiscreteSpace(2))


def call(model, *inputs):
    found = model(inputs[0] if len(inputs) == 1 else list(inputs))
    return {k: np.asarray(v) for k, v in found.items()} if isinstance(found, dict) else np.asarray(found)


def test_placeholders_are_made_once():
    env = Placeholders(BOX)
    assert env.state is env.state
    assert env.action is env.action
    assert (env.state.shape, env.action.shape) == ((None, 3), (None, 2))
    assert (env.state_space_dim, env.action_space_dim) == (3, 2)


def test_placeholders_of_discrete_spaces_are_one_hot():
    env = Placeholders(GRID)
    assert (env.state.shape, env.action.shape) == ((None, 5), (None, 2))
    assert (env.state_space_dim, env.action_space_dim) == (5, 2)
    assert Placeholders(IMAGES).state.shape == (None, 4, 4, 1)


def test_dict_observations_have_inputs_by_key():
    spec = EnvironmentSpec(
        DictSpace({"a": BOX.observation_space, "b": DiscreteSpace(4), "c": IMAGES.observation_space}),
        BOX.action_space,
    )
    env = Placeholders(spec)
    assert {key: tuple(x.shape) for key, x in env.state.items()} == {
        "a": (None, 3),
        "b": (None, 4),
        "c": (None, 4, 4, 1),
    }
    assert env.state_space_dim == 3 + 4 + 16
    build = NetworkBuilder(spec, {"a": (np.ones(3), np.ones(3))})
    observation = {"a": np.ones((5, 3)), "b": np.arange(5) % 4, "c": np.ones((5, 4, 4, 1), "u1")}
    assert build.value("value", HIDDEN)(observation).shape == (5,)
    critics = build.critics("critic", HIDDEN, 2)
    assert critics([observation, np.ones((5, 2))]).shape == (2, 5)


def test_shapes_of_every_network():
    build = NetworkBuilder(BOX)
    observation, action = np.zeros((6, 3), "f4"), np.zeros((6, 2), "f4")
    assert call(build.deterministic_actor("a", HIDDEN), observation).shape == (6, 2)
    for dependent in (False, True):
        gaussian = call(build.gaussian_actor("a", HIDDEN, dependent), observation)
        assert {k: v.shape for k, v in gaussian.items()} == {"mean": (6, 2), "log_std": (6, 2)}
    assert call(build.critics("c", HIDDEN, 3), observation, action).shape == (3, 6)
    assert call(build.critics("c", HIDDEN, 2, layer_norm=True), observation, action).shape == (2, 6)
    assert call(build.value("v", HIDDEN), observation).shape == (6,)
    build = NetworkBuilder(DISCRETE)
    assert call(build.categorical_actor("a", HIDDEN), np.zeros((6, 4)))["logits"].shape == (6, 3)
    for dueling in (False, True):
        assert call(build.discrete_critics("c", HIDDEN, 2, dueling), np.zeros((6, 4))).shape == (2, 6, 3)


def test_every_network_normalises_observations():
    mean, std = np.array([1, 2, 3], "f4"), np.array([0, 1, 10], "f4")
    plain, normal = NetworkBuilder(BOX), NetworkBuilder(BOX, (mean, std))
    observation = np.random.default_rng(0).normal(size=(5, 3)).astype("f4")
    # The epsilon is added to the deviation, not to the variance.
    prepared = (observation - mean) / (std + np.float32(1e-3))
    for make in (lambda b: b.deterministic_actor("n", HIDDEN), lambda b: b.value("n", HIDDEN)):
        without, within = make(plain), make(normal)
        within.set_weights(without.get_weights())
        np.testing.assert_allclose(call(within, observation), call(without, prepared), rtol=1e-3, atol=1e-4)


def test_networks_take_raw_observations_of_any_dtype():
    value = NetworkBuilder(IMAGES, (np.ones((4, 4, 1)), np.ones((4, 4, 1)))).value("v", HIDDEN)
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1)).astype("u1")
    weights = [np.asarray(w) for w in value.get_weights()]
    x = (pixels / 255).reshape(3, 16)
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = np.maximum(x @ kernel + bias, 0)
    np.testing.assert_allclose(call(value, pixels), (x @ weights[-2] + weights[-1])[:, 0], rtol=1e-4)
    value = NetworkBuilder(BOX).value("v", HIDDEN)
    np.testing.assert_array_equal(call(value, np.ones((2, 3), "f8")), call(value, np.ones((2, 3), "f4")))
    value = NetworkBuilder(GRID).value("v", HIDDEN)
    states = np.arange(1, 6)  # the space starts at 1
    assert len(set(call(value, states).tolist())) == 5


def test_squash_skips_unbounded_dimensions():
    space = BoxSpace((2,), "float32", np.array([-1, -np.inf], "f4"), np.array([1, np.inf], "f4"))
    spec = EnvironmentSpec(BOX.observation_space, space)
    observation = np.full((4, 3), 1e4, "f4") * np.array([[1], [-1], [2], [-2]], "f4")
    action = call(NetworkBuilder(spec).deterministic_actor("a", HIDDEN), observation)
    assert np.abs(action[:, 0]).max() <= 1
    assert np.abs(action[:, 1]).max() > 1
    linear = call(NetworkBuilder(BOX).deterministic_actor("a", HIDDEN, squash=False), observation)
    assert np.abs(linear).max() > 1


def test_ensemble_members_differ():
    build = NetworkBuilder(BOX)
    values = call(build.critics("c", HIDDEN, 2), np.ones((4, 3)), np.ones((4, 2)))
    assert not np.isclose(values[0], values[1]).any()


def test_dueling_advantages_average_to_zero():
    critic = NetworkBuilder(DISCRETE).discrete_critics("c", HIDDEN, 1, dueling=True)
    observation = np.random.default_rng(0).normal(size=(6, 4)).astype("f4")
    value = keras.Model(critic.input, critic.get_layer("c_0_value_output").output)
    np.testing.assert_allclose(
        call(critic, observation)[0].mean(axis=-1), call(value, observation)[:, 0], atol=1e-6
    )


def test_inputs_have_stable_names():
    build = NetworkBuilder(BOX)
    for _ in range(2):
        critic = build.critics("critic", HIDDEN, 2)
        assert [x.name for x in critic.inputs] == ["observation", "action"]
        assert min(v.path for v in critic.variables) == "critic_0_dense_1/bias"


def test_equal_seeds_make_equal_networks():
    weights = []
    for _ in range(2):
        keras.utils.set_random_seed(4)
        weights.append(NetworkBuilder(BOX).critics("c", HIDDEN, 2).get_weights())
    assert all((a == b).all() for a, b in zip(*weights, strict=True))


def test_wrong_action_space_error_names_suitable_agents():
    with pytest.raises(SpecError, match="Discrete actions, such as bc or dqn"):
        NetworkBuilder(DISCRETE).deterministic_actor("a", HIDDEN)
    with pytest.raises(SpecError, match="such as td3bc or iql"):
        NetworkBuilder(BOX).discrete_critics("c", HIDDEN, 1)


def test_bounded_marks_bounded_dimensions():
    assert NetworkBuilder(BOX).bounded.tolist() == [True, True]
    assert NetworkBuilder(DISCRETE).bounded is None


def test_member_is_one_row_of_ensemble():
    critic = NetworkBuilder(BOX).critics("critic", HIDDEN, 2)
    target = keras.models.clone_model(critic)
    observation, action = np.ones((4, 3), "f4"), np.ones((4, 2), "f4")
    nets = Networks({"critic": critic, "target_critic": target})
    for name, net in nets.items():
        for i in range(2):
            np.testing.assert_array_equal(
                call(nets.member(name, i), observation, action), call(net, observation, action)[i]
            )
    assert nets.member("critic", 1) is nets.member("critic", 1)
    choices = Networks({"critic": NetworkBuilder(DISCRETE).discrete_critics("critic", HIDDEN, 2)})
    assert call(choices.member("critic", 1), np.ones((5, 4), "f4")).shape == (5, 3)


def test_losses_cannot_call_networks_on_other_widths():
    build = NetworkBuilder(BOX, (np.zeros(3, "f4"), np.ones(3, "f4")))
    critic = build.critics("critic", HIDDEN, 2)
    nets = Networks(
        {
            "actor": build.deterministic_actor("actor", HIDDEN),
            "critic": critic,
            "target_critic": keras.models.clone_model(critic),
        }
    )
    one, action = np.ones((4, 1), "f4"), np.ones((4, 2), "f4")
    for network, given in (
        (nets.actor, one),
        (nets.critic, [one, action]),
        (nets.target_critic, [one, action]),
        (nets.member("critic", 0), [one, action]),
    ):
        with pytest.raises(ValueError, match=r"expected shape=\(None, 3\), found shape=\(4, 1\)"):
            network(given)


@pytest.mark.parametrize("count", [2, 5])
def test_layer_normalisation_brings_small_activations_to_unit_deviation(count):
    critics = NetworkBuilder(BOX).critics("critic", HIDDEN, count, layer_norm="after")
    small = 0.01 * keras.ops.convert_to_tensor([[[1.0, -1.0, 1.0, -1.0]]])
    norms = [layer for layer in critics.layers if isinstance(layer, keras.layers.LayerNormalization)]
    assert norms
    for layer in norms:
        fresh = keras.layers.LayerNormalization.from_config(layer.get_config())
        # 0.01 / sqrt(0.01^2 + 1e-6) = 0.995; with Keras' own constant it would be 0.302.
        assert float(keras.ops.max(fresh(small))) == pytest.approx(0.995, abs=0.001)
