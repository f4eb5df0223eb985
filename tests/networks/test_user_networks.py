import keras
import numpy as np
import pytest
from keras import Model, Sequential, layers, ops
from keras.layers import Activation, Dense, concatenate

from vinci_offline.errors import SpecError
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.networks.placeholders import Placeholders
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.testing.agent_contract import BOX, DISCRETE

HIDDEN = (8, 8)
MEAN, STD = np.array([1, 2, 3], "f4"), np.array([1, 2, 3], "f4")


def critic(env):
    """Make a critic in the functional style."""
    # Inputs
    observation = env.state
    action = env.action
    # Concatenate the inputs for the critic
    inputs = concatenate([observation, action])
    # Hidden layer
    x = Dense(100)(inputs)
    x = Activation("relu")(x)
    # Output layer
    x = Dense(1)(x)
    x = Activation("linear")(x)
    # Final model
    return Model(inputs=[observation, action], outputs=[x])


def actor(env):
    """Make an actor in the Sequential style."""
    model = Sequential()
    # Hidden layers
    model.add(Dense(400, input_shape=(env.state_space_dim,)))
    # Output layer
    model.add(Dense(env.action_space_dim, activation="tanh"))
    return model


def builder(spec=BOX, statistics=True, **networks):
    return NetworkBuilder(spec, (MEAN, STD) if statistics else None, user_networks=networks)


def test_functional_critic_becomes_ensemble():
    made = builder(critic=critic).critics("critic", HIDDEN, count=2)
    values = np.asarray(made([np.ones((5, 3), "f4"), np.ones((5, 2), "f4")]))
    assert values.shape == (2, 5)
    assert not np.isclose(values[0], values[1]).any()
    assert sum(int(np.prod(v.shape)) for v in made.trainable_variables) == 2 * (5 * 100 + 100 + 100 + 1)


@pytest.mark.filterwarnings("ignore:Do not pass an `input_shape`")
def test_sequential_actor_sees_normalised_observations():
    made = builder(actor=actor).deterministic_actor("actor", HIDDEN)
    weights = made.get_weights()
    assert [w.shape for w in weights] == [(3, 400), (400,), (400, 2), (2,)]
    observation = np.random.default_rng(0).normal(size=(6, 3)).astype("f4")
    hidden = (observation - MEAN) / (STD + 1e-3) @ weights[0] + weights[1]
    by_hand = np.tanh(hidden @ weights[2] + weights[3])
    np.testing.assert_allclose(made(observation), by_hand, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("first", [lambda env: keras.Input((env.state_space_dim,)), None])
def test_sequential_with_and_without_input_layer(first):
    def value(env):
        return Sequential([*([first(env)] if first else []), Dense(4, activation="relu"), Dense(1)])

    assert builder(value=value).value("value", HIDDEN)(np.ones((5, 3), "f4")).shape == (5,)


def test_critic_inputs_in_other_order():
    def swapped(env):
        return Model([env.action, env.state], Dense(1)(concatenate([env.action, env.state])))

    # The model uses other placeholders of the same environment, as with an EnvWrapper.
    made = builder(critic=swapped(Placeholders(BOX))).critics("critic", HIDDEN, count=2)
    observation, action = np.ones((1, 3), "f4"), np.full((1, 2), 5, "f4")
    inputs = np.concatenate([action, (observation - MEAN) / (STD + 1e-3)], axis=1)
    for member in range(2):
        kernel, bias = made.get_weights()[2 * member : 2 * member + 2]
        by_hand = inputs @ kernel + bias
        np.testing.assert_allclose(made([observation, action])[member], by_hand[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("style", ["functional", "sequential", "discrete"])
def test_members_differ_despite_fixed_seed(style):
    seeded = {"kernel_initializer": keras.initializers.GlorotUniform(seed=1)}

    def network(env):
        if style == "functional":
            return Model([env.state, env.action], Dense(1, **seeded)(concatenate([env.state, env.action])))
        if style == "discrete":
            return Sequential([keras.Input((env.state_space_dim,)), Dense(env.action_space_dim, **seeded)])
        inner = Sequential([keras.Input((5,)), Dense(1, **seeded)])
        return Model([env.state, env.action], inner(concatenate([env.state, env.action])))

    if style == "discrete":
        made = builder(DISCRETE, statistics=False, critic=network).discrete_critics("critic", HIDDEN, count=3)
    else:
        made = builder(critic=network).critics("critic", HIDDEN, count=3)
    kernels = [w for w in made.get_weights() if w.ndim == 2]
    assert len(kernels) == 3
    assert not any((kernels[i] == kernels[j]).any() for i in range(3) for j in range(i))


def test_user_convolution_gets_image():
    space = BoxSpace((8, 8, 1), "uint8", np.zeros((8, 8, 1), "u1"), np.full((8, 8, 1), 255, "u1"))
    spec = EnvironmentSpec(space, DiscreteSpace(2))

    def actor(env):
        x = layers.Flatten()(layers.Conv2D(2, 3)(env.state))
        return Model(env.state, Dense(env.action_space_dim)(x))

    def flat_actor(env):
        return Sequential([keras.Input((env.state_space_dim,)), Dense(env.action_space_dim)])

    for network in (actor, flat_actor):
        made = builder(spec, statistics=False, actor=network).categorical_actor("actor", HIDDEN)
        assert made(np.zeros((3, 8, 8, 1), "u1"))["logits"].shape == (3, 2)


def test_user_network_gives_mean_of_gaussian():
    def actor(env):
        return Sequential(
            [keras.Input((env.state_space_dim,)), Dense(env.action_space_dim, activation="tanh")]
        )

    outputs = builder(actor=actor).gaussian_actor("actor", HIDDEN)(np.ones((4, 3), "f4"))
    assert {k: tuple(v.shape) for k, v in outputs.items()} == {"mean": (4, 2), "log_std": (4, 2)}


def test_model_replaces_function():
    env = Placeholders(BOX)
    model = critic(env)
    made = builder(critic=model).critics("critic", HIDDEN, count=1)
    assert made.trainable_variables[0] is model.trainable_variables[0]


def with_layer(layer):
    """Return a critic with a layer behind its inputs."""

    def critic(env):
        return Model([env.state, env.action], Dense(1)(layer(concatenate([env.state, env.action]))))

    return critic


def with_sequence(layer, attends=False):
    """Return a critic with a layer behind its inputs, which it takes as a sequence of five numbers."""

    def critic(env):
        x = layers.Reshape((5, 1))(concatenate([env.state, env.action]))
        x = layer(x, x) if attends else layer(x)
        return Model([env.state, env.action], Dense(1)(layers.Flatten()(x)))

    return critic


def inner_models_that_share(env):
    shared = Dense(3)
    one, two = (Sequential([keras.Input((5,)), shared, Dense(3)]) for _ in range(2))
    x = concatenate([env.state, env.action])
    return Model([env.state, env.action], Dense(1)(one(x) + two(x)))


def doubled(x):
    return ops.sum(x) * 2.0


class Bounded(keras.constraints.Constraint):
    def __call__(self, w):
        return ops.clip(w, -1, 1)


class Doubled(layers.Layer):
    def call(self, x):
        return 2 * x


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (
            lambda env: Model([env.state, env.action], Dense(2)(concatenate([env.state, env.action]))),
            r"network 'critic' must have one output of shape \(None, 1\), not \(None, 2\)",
        ),
        (
            lambda env: Sequential([keras.Input((env.state_space_dim,)), Dense(1)]),
            r"must take \[env.state, env.action\]",
        ),
        (
            lambda env: Model([env.state, env.action], [Dense(1)(env.state), Dense(1)(env.action)]),
            r"not \(None, 1\), \(None, 1\)",
        ),
        (
            lambda env: Model([keras.Input((7,)), env.action], Dense(1)(env.action)),
            r"inputs of shape|Invalid input",
        ),
        (lambda env: 7, "expected a Keras Sequential or functional model, not int"),
        (lambda env: env.nothing, "critic.env. failed: AttributeError"),
        (
            lambda env: Model(
                [env.state, env.action],
                Dense(1)(layers.BatchNormalization()(concatenate([env.state, env.action]))),
            ),
            "BatchNormalization acts differently in training",
        ),
        (
            lambda env: Model(
                [env.state, env.action],
                Dense(1)(Sequential([layers.Dropout(0.5)])(concatenate([env.state, env.action]))),
            ),
            "Dropout acts differently in training",
        ),
        (
            lambda env: Model(
                [env.state, env.action],
                Dense(1)(layers.Lambda(lambda x: x)(concatenate([env.state, env.action]))),
            ),
            "Lambda cannot be loaded",
        ),
        (with_layer(layers.GaussianNoise(0.1)), "GaussianNoise acts differently in training"),
        (
            with_layer(layers.SpectralNormalization(Dense(4))),
            "SpectralNormalization acts differently in training",
        ),
        (with_sequence(layers.LSTM(4, dropout=0.1)), "LSTM with dropout acts differently"),
        (with_sequence(layers.GRU(4, recurrent_dropout=0.1)), "GRU with dropout acts differently"),
        (
            with_sequence(layers.Bidirectional(layers.LSTM(4, dropout=0.1))),
            "LSTM with dropout acts differently",
        ),
        (
            with_sequence(layers.RNN(layers.SimpleRNNCell(4, dropout=0.1))),
            "RNN acts differently",
        ),
        (
            with_sequence(layers.TimeDistributed(layers.Dropout(0.1))),
            "Dropout acts differently",
        ),
        (
            with_sequence(layers.MultiHeadAttention(1, 2, dropout=0.1), attends=True),
            "Dropout acts differently",
        ),
        (
            with_sequence(layers.RandomBrightness(0.5, value_range=(0.0, 1.0))),
            "changes with every call",
        ),
        (with_layer(Dense(4, activity_regularizer="l2")), "the activity regularizer of Dense is no part"),
        (
            with_layer(layers.ActivityRegularization(0.1)),
            "the activity regularizer of ActivityRegularization",
        ),
        (with_sequence(layers.TimeDistributed(Dense(4, activity_regularizer="l1"))), "regularizer of Dense"),
        (
            with_layer(Dense(4, activation=lambda x: x)),
            "Dense uses a function of your own, which cannot be loaded",
        ),
        (with_layer(Dense(4, activation=doubled)), "Dense uses 'doubled', which cannot be loaded"),
        (with_layer(Dense(4, kernel_regularizer=doubled)), "Dense uses 'doubled', which cannot be loaded"),
        (with_layer(Dense(4, kernel_constraint=Bounded())), "Dense uses 'Bounded', which cannot be loaded"),
        (with_layer(layers.Normalization()), "copies of an adapted Normalization lose its moments"),
        (inner_models_that_share, "two of its inner models share a layer"),
        (
            lambda env: Model(
                [env.state, env.action], Dense(1)(Doubled()(concatenate([env.state, env.action])))
            ),
            "Doubled cannot be loaded",
        ),
    ],
)
def test_unsupported_model_is_refused_in_one_line(network, message):
    with pytest.raises(SpecError, match=message) as caught:
        builder(critic=network).critics("critic", HIDDEN, count=2)
    assert "\n" not in str(caught.value)
    assert "'critic'" in str(caught.value)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Dropout(0.0),
        lambda: layers.LayerNormalization(),
        lambda: layers.BatchNormalization(trainable=False),
        lambda: Dense(4, kernel_regularizer="l2", kernel_constraint="non_neg", bias_regularizer="l1"),
        lambda: Dense(4, activation=keras.activations.gelu, kernel_initializer=keras.initializers.HeNormal()),
        lambda: layers.Normalization(mean=[0.0] * 5, variance=[1.0] * 5),
        lambda: layers.PReLU(),
    ],
)
def test_layers_that_act_alike_are_accepted(layer, tmp_path):
    made = builder(critic=with_layer(layer())).critics("critic", HIDDEN, count=2)
    made.save(tmp_path / "critic.keras")
    given = [np.ones((4, 3), "f4"), np.ones((4, 2), "f4")]
    loaded = keras.saving.load_model(tmp_path / "critic.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(given), made(given))


@pytest.mark.parametrize("layer", [lambda: layers.LSTM(4), lambda: layers.Bidirectional(layers.GRU(4))])
def test_recurrent_layers_without_dropout_are_accepted(layer):
    made = builder(critic=with_sequence(layer())).critics("critic", HIDDEN, count=2)
    assert made([np.ones((4, 3), "f4"), np.ones((4, 2), "f4")]).shape == (2, 4)


def test_checks_change_no_variable():
    layer = layers.BatchNormalization()
    with pytest.raises(SpecError, match="BatchNormalization"):
        builder(critic=with_layer(layer)).critics("critic", HIDDEN, count=1)
    np.testing.assert_array_equal(layer.moving_mean, np.zeros(5))


def test_members_keep_frozen_weights():
    def network(env):
        frozen = Dense(4, trainable=False, name="frozen")
        return Model([env.state, env.action], Dense(1)(frozen(concatenate([env.state, env.action]))))

    made = builder(critic=network).critics("critic", HIDDEN, count=3)
    kernels = [v for v in made.variables if tuple(v.shape) == (5, 4)]
    assert len(kernels) == 3
    for kernel in kernels[1:]:
        np.testing.assert_array_equal(kernel, kernels[0])


def test_networks_share_no_layer():
    shared = Dense(4)

    def actor(env):
        return Model(env.state, Dense(env.action_space_dim)(shared(env.state)))

    def value(env):
        return Model(env.state, Dense(1)(shared(env.state)))

    build = builder(actor=actor, value=value)
    build.deterministic_actor("actor", HIDDEN)
    with pytest.raises(SpecError, match=r"the networks 'actor' and 'value' share the layer 'dense"):
        build.value("value", HIDDEN)
    with pytest.raises(SpecError, match=r"'actor': the layer 'dense.*' is part of an earlier run"):
        builder(actor=actor).deterministic_actor("actor", HIDDEN)


def test_one_model_is_one_network():
    model = Sequential([keras.Input((3,)), Dense(2)])
    build = builder(actor=model, other=model)
    build.deterministic_actor("actor", HIDDEN)
    with pytest.raises(SpecError, match="'actor' and 'other' share the layer"):
        build.deterministic_actor("other", HIDDEN)
    # A model, unlike a function, may start a second run from its trained weights.
    builder(actor=model).deterministic_actor("actor", HIDDEN)


def test_keras_operations_are_accepted():
    def value(env):
        return Model(env.state, Dense(1)(ops.tanh(Dense(4)(env.state)) * 2.0))

    assert builder(value=value).value("value", HIDDEN)(np.ones((5, 3), "f4")).shape == (5,)


def test_unused_networks_are_listed():
    build = builder(critic=critic, actr=critic)
    assert build.unused == ("actr", "critic")
    build.critics("critic", HIDDEN, count=1)
    assert build.unused == ("actr",)
