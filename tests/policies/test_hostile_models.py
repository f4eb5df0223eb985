"""Small model files that ask for much: each is refused in one line before anything is built."""

from __future__ import annotations

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest

from vinci_offline.errors import VinciError
from vinci_offline.keras_setup import load_keras_model


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.keras"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(64, name="wide"), keras.layers.Dense(2)]).save(
        path
    )
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def refusal(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(VinciError) as error:
        load_keras_model(path)
    assert str(error.value).isprintable()
    return str(error.value)


def weights(change):
    """Return a file of weights, changed by a function."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        change(file)
    return content.getvalue()


def test_units_of_gigabytes(members, tmp_path):
    config = members["config.json"].replace(b'"units": 64', b'"units": 1000000000')
    assert "the model takes" in refusal(tmp_path / "m.keras", {**members, "config.json": config})


def test_inputs_that_make_a_kernel_of_gigabytes(members, tmp_path):
    config = json.loads(members["config.json"].replace(b'"units": 64', b'"units": 100000'))
    text = (
        json.dumps(config).replace("[null, 4]", "[null, 100000]").replace("build_config", "no_build_config")
    )
    assert "the model takes 37" in refusal(tmp_path / "m.keras", {**members, "config.json": text})


def test_weights_that_unfold_to_gigabytes(members, tmp_path):
    content = weights(lambda file: file.create_dataset("x", (2**29,), "f4", chunks=True, compression="gzip"))
    shown = refusal(tmp_path / "m.keras", {**members, "model.weights.h5": content})
    assert "the array '/x', with what is read before it, takes 2.0 GiB of memory" in shown


def test_zip_member_that_unfolds_to_gigabytes(members, tmp_path):
    shown = refusal(tmp_path / "m.keras", {**members, "metadata.json": b" " * 2**25})
    assert "metadata.json" in shown
    assert "takes 640 MiB" in shown


def test_linked_weights(members, tmp_path):
    def change(file):
        file["x"] = h5py.ExternalLink("/etc/other.h5", "x")

    assert "are linked" in refusal(tmp_path / "m.keras", {**members, "model.weights.h5": weights(change)})


def test_nested_configuration(members, tmp_path):
    text = "[" * 100_000 + "]" * 100_000
    shown = refusal(tmp_path / "m.keras", {**members, "config.json": text})
    assert "config.json is nested more than 200 levels deep" in shown


def test_a_hundred_thousand_layers(members, tmp_path):
    config = json.dumps({"layers": [{"class_name": "Dense", "config": {}}] * 100_000})
    assert "100,000 layers, and at most 2,000" in refusal(
        tmp_path / "m.keras", {**members, "config.json": config}
    )


@pytest.mark.parametrize("name", ["../../outside", "/outside", "assets/x", "model.weights.npz"])
def test_other_members(members, tmp_path, name):
    assert f"holds {name!r}" in refusal(tmp_path / "m.keras", {**members, name: b"x"})


def test_output_of_gigabytes(tmp_path):
    path = tmp_path / "m.keras"
    keras.Sequential([keras.Input((1000,)), keras.layers.RepeatVector(10**6)]).save(path)
    with pytest.raises(VinciError, match="one observation in the model"):
        load_keras_model(path)


def test_honest_model_is_the_same(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(8, 3), keras.layers.Flatten()])
    model.save(tmp_path / "m.keras")
    x = np.ones((2, 8, 8, 3), "f4")
    assert np.array_equal(model(x), load_keras_model(tmp_path / "m.keras")(x))
