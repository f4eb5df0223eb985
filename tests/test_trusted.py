"""What a file may name: registered environments with plain arguments, and stock parts of Keras."""

import gymnasium
import pytest

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.trusted import check_keras_config, plain_kwargs, registered_id, spoken


@pytest.mark.parametrize(
    "name",
    [
        "subprocess:getoutput",
        "os:system",
        "evil.py:Thing",
        "no_such_module:Pendulum-v1",
        "a:b:Pendulum-v1",
        ":x",
    ],
)
def test_names_that_would_be_imported_are_refused(name):
    with pytest.raises(
        UsageError, match=f"not imported: if you know it, name it yourself with --env .*{name}"
    ):
        registered_id(name, {})


def test_registered_ids_pass_and_others_do_not():
    assert registered_id("Pendulum-v1", {}) == "Pendulum-v1"
    with pytest.raises(UsageError, match=r"not registered with Gymnasium: .* --env MODULE:Nothing-v3"):
        registered_id("Nothing-v3", {})


def test_id_of_an_imported_module_passes():
    gymnasium.register("VinciKnown-v0", lambda: None)
    try:
        assert registered_id("json:VinciKnown-v0", {}) == "VinciKnown-v0"
    finally:
        gymnasium.registry.pop("VinciKnown-v0")


def test_plain_arguments_pass():
    kwargs = {
        "g": 9.81,
        "natural": True,
        "render_mode": "rgb_array",
        "max_episode_steps": 50,
        "desc": ["SFFF", "FHFG"],
        "healthy_z_range": (0.2, float("inf")),
        "camera": {"distance": 4, "lookat": [0, 0, 1]},
        "version": "v1.2",
        "task": "pick up",
        "none": None,
    }
    assert plain_kwargs("Some-v0", kwargs) == kwargs
    assert plain_kwargs("Some-v0", {"render_mode": "human", "g": 1}) == {"g": 1}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("xml_file", "/tmp/evil.xml"),
        ("xml_file", "evil.xml"),
        ("xml_file", "..\\evil"),
        ("path", "~root"),
        ("factory", "os:system"),
        ("factory", "os.system"),
        ("url", "https://example.org"),
        ("camera", {"deep": [{"factory": "os.system"}]}),
        ("camera", {"_target_.x": 1}),
        ("nested", [[[[[[[[[[1]]]]]]]]]]),
        ("made", print),
        ("text", "a\nb"),
        ("text", "x" * 201),
        ("max_episode_steps", "9"),
        *(
            (name, 1)
            for name in ("id", "env_id", "entry_point", "additional_wrappers", "vector_kwargs", "wrappers")
        ),
    ],
)
def test_other_arguments_are_refused_and_the_user_may_give_them(key, value):
    with pytest.raises(
        UsageError, match="numbers and words only: if you know it, name it yourself with --env"
    ) as said:
        plain_kwargs("Ant-v5", {"g": 1, key: value})
    assert str(said.value).isprintable()
    assert plain_kwargs("Ant-v5", {"g": 1, key: value}, own=[key]) == {"g": 1}


def test_advice_is_one_word_of_a_shell_and_hides_what_a_file_may_not_give():
    assert spoken("a:b", {"g": 2, "cmd": "rm -rf /"}) == '--env a:b --env-kwargs \'{"g": 2, "cmd": ...}\''
    assert spoken("a; rm x\x1b[2J", {}) == "--env 'a; rm x\N{REPLACEMENT CHARACTER}[2J'"
    assert len(spoken("a", {f"key{i}": i for i in range(1000)})) < 60


def part(module, name, config=None, **more):
    return {"module": module, "class_name": name, "config": {} if config is None else config, **more}


@pytest.mark.parametrize(
    "found",
    [
        part("vinci_canary", "Thing"),
        part("vinci_canary", "Thing", registered_name="vinci>Thing"),
        part(None, "Dense"),
        part("keras", "Variable"),
        part("keras.layers", "Lambda"),
        part("keras.layers", "TFSMLayer", {"filepath": "/tmp/model"}),
        part("keras.layers", "TorchModuleWrapper"),
        part("keras.src.utils.torch_utils", "TorchModuleWrapper"),
        part("keras.layers", "StringLookup", {"vocabulary": "/etc/passwd"}),
        part("keras.utils", "function", "get_file"),
        part("keras.utils", "get_file"),
        part("keras.saving", "function", "load_model"),
        part("builtins", "function", {"deep": 1}),
        part("os", "function", "system"),
        part("keras_hub.models", "Backbone"),
        part("keras.src.saving.saving_lib", "H5IOStore"),
        part("tensorflow", "__typespec__"),
        part("builtins", "__lambda__"),
        part(["keras"], "Dense"),
        {"class_name": ["Dense"]},
    ],
)
def test_foreign_parts_of_a_keras_model_are_refused(found):
    model = part("keras", "Sequential", {"layers": [part("keras.layers", "Dense", {"x": found})]})
    with pytest.raises(VinciError, match=r"m.keras cannot be loaded in safe mode: it has the part"):
        check_keras_config(model, "m.keras")


def test_stock_and_registered_parts_of_a_keras_model_pass():
    import keras

    @keras.saving.register_keras_serializable("vinci_trusted")
    class Own(keras.layers.Layer):
        """A user's layer."""

        def call(self, inputs):
            return inputs

    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, activation="relu", kernel_regularizer="l2", kernel_constraint="unit_norm")(
        inputs
    )
    hidden = keras.layers.LayerNormalization()(hidden)
    hidden = keras.ops.tanh(hidden[:, :2] * 2.0) + keras.ops.mean(hidden, axis=-1, keepdims=True)
    hidden = keras.layers.Dense(2, activation=keras.activations.gelu, dtype="mixed_bfloat16")(hidden)
    model = keras.Model(inputs, {"a": keras.layers.Dropout(0.1)(hidden), "b": Own()(hidden)})
    check_keras_config(keras.saving.serialize_keras_object(model), "m.keras")
    vocabulary = part("keras.layers", "StringLookup", {"vocabulary": ["a", "b"]})
    check_keras_config(vocabulary, "m.keras")
