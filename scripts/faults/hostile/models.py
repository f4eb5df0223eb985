"""Model files: Keras, ONNX and Stable-Baselines3."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import h5py

from hostile.frame import ARTIFACT, Reading, attack, call
from vinci_offline.keras_setup import load_keras_model
from vinci_offline.policies.onnx_graph import check_graph


def members(folder: Path) -> dict[str, bytes]:
    """Return the members of a sound ``.keras`` file."""
    import keras

    path = folder / "sound.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(64), keras.layers.Dense(2)]).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def model(folder: Path, changes: dict[str, bytes], right: Callable[[Any], bool] | None = None) -> Reading:
    """Return the reading of a sound model with other members."""
    with zipfile.ZipFile(folder / "hostile.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**members(folder), **changes}.items():
            archive.writestr(name, content)
    return call(load, folder / "hostile.keras", right=right)


def load(path: Path) -> int:
    return int(load_keras_model(path).count_params())


def with_config(folder: Path, change: Callable[[Any], Any]) -> Reading:
    config = change(json.loads(members(folder)["config.json"]))
    return model(folder, {"config.json": json.dumps(config).encode()})


def with_text(folder: Path, old: str, new: str) -> Reading:
    text = members(folder)["config.json"].decode()
    assert old in text
    return model(folder, {"config.json": text.replace(old, new).encode()})


def weights(change: Callable[[h5py.File], object]) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        change(file)
    return content.getvalue()


@attack
def control_sound_model(folder: Path) -> Reading:
    """A sound model, to show that the frame lets it pass."""
    return model(folder, {}, right=(4 * 64 + 64 + 64 * 2 + 2).__eq__)


@attack
def units_of_gigabytes(folder: Path) -> Reading:
    return with_text(folder, '"units": 64', '"units": 1000000000')


@attack
def kernel_of_gigabytes(folder: Path) -> Reading:
    text = members(folder)["config.json"].decode()
    text = text.replace('"units": 64', '"units": 60000').replace("[null, 4]", "[null, 60000]")
    return model(folder, {"config.json": text.encode()})


@attack
def kernels_that_add_up(folder: Path) -> Reading:
    """200 layers of 64 MiB each."""

    def change(config: Any) -> Any:
        layers = config["config"]["layers"]
        dense = (
            json.dumps(layers[1]).replace('"units": 64', '"units": 4096').replace("[null, 4]", "[null, 4096]")
        )
        config["config"]["layers"] = [
            layers[0],
            *(json.loads(dense.replace('"name": "dense', f'"name": "d{number}_')) for number in range(200)),
        ]
        return config

    return with_config(folder, change)


@attack
def layers_without_number(folder: Path) -> Reading:
    def change(config: Any) -> Any:
        config["config"]["layers"] += [config["config"]["layers"][-1]] * 10**5
        return config

    return with_config(folder, change)


@attack
def nested_configuration(folder: Path) -> Reading:
    return model(folder, {"config.json": b"[" * 10**5 + b"]" * 10**5})


@attack
def nested_objects(folder: Path) -> Reading:
    return model(folder, {"config.json": b'{"a":' * 10**5 + b"1" + b"}" * 10**5})


@attack
def weights_of_gigabytes(folder: Path) -> Reading:
    content = weights(lambda file: file.create_dataset("x", (2**31,), "f4", chunks=True, compression="gzip"))
    return model(folder, {"model.weights.h5": content})


@attack
def weights_never_written(folder: Path) -> Reading:
    content = weights(lambda file: file.create_dataset("layers/dense/vars/0", (4, 64), "f4"))
    return model(folder, {"model.weights.h5": content})


@attack
def weights_in_a_lattice(folder: Path) -> Reading:
    def change(file: h5py.File) -> None:
        here: Any = file
        for level in range(40):
            below = file.create_group(f"levels/{level}")
            here["a"] = here["b"] = below
            here = below

    return model(folder, {"model.weights.h5": weights(change)})


@attack
def weights_in_the_secret(folder: Path) -> Reading:
    def change(file: h5py.File) -> None:
        file["layers"] = h5py.ExternalLink("../outside/secret.h5", "/")

    return model(folder, {"model.weights.h5": weights(change)})


@attack
def zip_of_gigabytes(folder: Path) -> Reading:
    return model(folder, {"metadata.json": bytes(2**31)})


@attack
def zip_that_leaves_its_folder(folder: Path) -> Reading:
    return model(folder, {f"../outside/{ARTIFACT}": b"x"})


@attack
def assets_that_leave_their_folder(folder: Path) -> Reading:
    return model(folder, {f"assets/../../{ARTIFACT}": b"x"})


@attack
def lambda_layer(folder: Path) -> Reading:
    def change(config: Any) -> Any:
        config["config"]["layers"][1].update(class_name="Lambda")
        return config

    return with_config(folder, change)


@attack
def layer_of_a_module(folder: Path) -> Reading:
    (folder / f"{ARTIFACT}.py").write_text("raise SystemExit", encoding="utf-8")

    def change(config: Any) -> Any:
        config["config"]["layers"][1].update(class_name="Layer", module=ARTIFACT, registered_name="Layer")
        return config

    return with_config(folder, change)


@attack
def rows_of_gigabytes(folder: Path) -> Reading:
    import keras

    layers: Any = keras.layers
    path = folder / "repeat.keras"
    keras.Sequential([keras.Input((1000,)), layers.RepeatVector(10**6)]).save(path)
    return call(load, path)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def onnx(folder: Path, graph: bytes) -> Reading:
    (folder / "m.onnx").write_bytes(_field(7, graph))
    return Reading(partial(check_graph, folder / "m.onnx"))


@attack
def onnx_loop(folder: Path) -> Reading:
    return onnx(folder, _field(1, _field(4, b"Loop")))


@attack
def onnx_graph_in_a_node(folder: Path) -> Reading:
    return onnx(folder, _field(1, _field(4, b"Add") + _field(5, _field(6, b""))))


@attack
def onnx_external_weights(folder: Path) -> Reading:
    return onnx(
        folder,
        _field(5, b"\x08\x04" + _field(13, _field(1, b"location") + _field(2, b"../outside/secret.bin"))),
    )


@attack
def onnx_tensor_of_gigabytes(folder: Path) -> Reading:
    return onnx(folder, _field(5, b"\x08" + _varint(10**12)))


@attack
def onnx_constant_of_shape(folder: Path) -> Reading:
    size = _field(1, _field(4, b"ConstantOfShape")) + _field(
        5, b"\x08\x01\x10\x07" + _field(9, (10**10).to_bytes(8, "little"))
    )
    return onnx(folder, size)


@attack
def onnx_custom_operator(folder: Path) -> Reading:
    return onnx(folder, _field(1, _field(4, b"Run") + _field(7, b"com.example")))
