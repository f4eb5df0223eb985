"""Encoders of images: the order of axes, and the network by size."""

import keras
import numpy as np
import pytest

from vinci_offline.networks.encoders import encode_image


def encoder(shape, kind="auto"):
    pixels = keras.Input(shape)
    return keras.Model(pixels, encode_image(pixels, "image", kind))


def kinds(model):
    return {type(layer).__name__ for layer in model.layers}


@pytest.mark.parametrize("shape", [(4, 20, 20), (3, 40, 36)])
def test_frame_stacks_move_to_the_channels(shape):
    """A stack of frames gives the features of the same pixels with channels last."""
    first, last = encoder(shape), encoder((*shape[1:], shape[0]))
    last.set_weights(first.get_weights())
    pixels = np.random.default_rng(0).uniform(size=(2, *shape)).astype("f4")
    expected = last.predict_on_batch(np.moveaxis(pixels, 1, -1))
    np.testing.assert_allclose(first.predict_on_batch(pixels), expected, rtol=1e-4, atol=1e-5)
    assert np.std(expected) > 0


@pytest.mark.parametrize("shape", [(7, 7, 3), (4, 30, 1), (5, 5)])
def test_images_below_eight_pixels_are_flat(shape):
    model = encoder(shape)
    assert "Conv2D" not in kinds(model)
    pixels = np.random.default_rng(0).uniform(size=(2, *shape)).astype("f4")
    np.testing.assert_array_equal(model.predict_on_batch(pixels), pixels.reshape(2, -1))


@pytest.mark.parametrize(("side", "features"), [(8, 256), (35, 256), (36, 512)])
def test_larger_images_are_convolved(side, features):
    model = encoder((side, side, 3))
    assert "Conv2D" in kinds(model)
    assert model.output_shape == (None, features)


def test_unknown_encoders_are_refused():
    with pytest.raises(ValueError, match="nature, impala, flat or auto, not 'resnet'"):
        encoder((16, 16, 3), "resnet")
