"""Random shifts of the images in a batch."""

from itertools import product

import numpy as np
import pytest
from keras import ops

from vinci_offline import UsageError, functional
from vinci_offline.agents.bc import BC
from vinci_offline.batches.augmentation import ImageShift
from vinci_offline.batches.batch import Batch
from vinci_offline.functional import random
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace
from vinci_offline.testing.agent_contract import BOX, builder, columns
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import Learner


def image(*shape):
    return BoxSpace(shape, "uint8", np.zeros(shape), np.full(shape, 255))


def key(number=0):
    return random.key(number, ops.convert_to_tensor(1), 0)


def crops(picture, pixels):
    """Return every crop of the picture after its border was repeated."""
    padded = np.pad(picture, [(pixels, pixels)] * 2 + [(0, 0)] * (picture.ndim - 2), mode="edge")
    height, width = picture.shape[:2]
    return [padded[i : i + height, j : j + width] for i, j in product(range(2 * pixels + 1), repeat=2)]


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2)])
def test_shift_is_a_crop_of_the_padded_image_and_all_crops_come(shape):
    picture = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    moved = functional.random_shift(ops.convert_to_tensor(np.stack([picture] * 400)), key(), 1)
    moved = ops.convert_to_numpy(moved)
    assert moved.dtype == np.uint8
    expected = {crop.tobytes() for crop in crops(picture, 1)}
    assert len(expected) == 9
    assert {one.tobytes() for one in moved} == expected


def test_moves_by_hand():
    moved = functional.random_shift(np.array([[[1, 2], [3, 4]]] * 64, "uint8"), key(), 1)
    found = ops.convert_to_numpy(moved).tolist()
    assert [[1, 1], [3, 3]] in found  # to the right: the left column fills what is left free
    assert [[3, 4], [3, 4]] in found  # up: the lower row fills it
    assert [[1, 1], [1, 1]] in found  # down and to the right: the corner fills all


@pytest.mark.parametrize("shape", [(20, 18, 3), (4, 20, 18)])
def test_frames_of_an_image_move_together(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(32, *shape)).astype("uint8")
    shift = ImageShift.of(image(*shape), 2)
    moved = ops.convert_to_numpy(
        shift(Batch({"observation": ops.convert_to_tensor(images)}), key()).observation
    )
    last = (lambda each: each.transpose(1, 2, 0)) if shape[0] == 4 else (lambda each: each)
    for one, before in zip(moved, images, strict=True):
        assert any(np.array_equal(last(one), crop) for crop in crops(last(before), 2))


def test_images_of_a_batch_move_and_other_columns_stay():
    space = DictSpace({"image": image(9, 9), "room": DiscreteSpace(3)})
    rng = np.random.default_rng(0)
    pixels = ops.convert_to_tensor(rng.integers(256, size=(16, 9, 9)).astype("uint8"))
    batch = Batch(
        {
            "observation/image": pixels,
            "observation/room": ops.arange(16),
            "next_observation/image": pixels,
            "reward": ops.ones(16),
        }
    )
    shift = ImageShift.of(space, 3)
    first, again, other = shift(batch, key()), shift(batch, key()), shift(batch, key(1))
    assert list(first.columns) == list(batch.columns)
    same = {
        name: np.array_equal(ops.convert_to_numpy(column), ops.convert_to_numpy(first.columns[name]))
        for name, column in batch.columns.items()
    }
    assert same == {
        "observation/image": False,
        "observation/room": True,
        "next_observation/image": False,
        "reward": True,
    }
    moved = ops.convert_to_numpy(first["observation/image"])
    assert not np.array_equal(moved, ops.convert_to_numpy(first["next_observation/image"]))
    assert not np.array_equal(moved, ops.convert_to_numpy(other["observation/image"]))
    np.testing.assert_array_equal(moved, ops.convert_to_numpy(again["observation/image"]))


def test_windows_of_images_move_one_by_one():
    windows = ops.convert_to_tensor(np.arange(2 * 3 * 5 * 5, dtype="uint8").reshape(2, 3, 5, 5))
    moved = ImageShift.of(image(5, 5), 1)(Batch({"observation": windows}), key()).observation
    assert tuple(moved.shape) == (2, 3, 5, 5)


@pytest.mark.parametrize(
    ("space", "pixels", "message"),
    [
        (BOX.observation_space, 4, "no observation of the dataset is one"),
        (image(8, 5, 3), 5, "--random-shift 5 is more than images with a side of 5 pixels can take"),
        (image(4, 20, 20), 20, "a side of 20"),
    ],
)
def test_shift_that_moves_no_image_is_refused(space, pixels, message):
    with pytest.raises(UsageError, match=message):
        ImageShift.of(space, pixels)
    with pytest.raises(UsageError, match=r"^random_shift must be at least 1"):
        TrainingConfig(random_shift=0)


def test_training_moves_images_and_other_losses_do_not():
    moved = []

    def shift(batch, key):
        moved.append(tuple(key.shape))
        return batch

    agent = BC(hidden=(4,))
    learner = Learner(agent, builder(BOX), 0, None, shift)
    engine = make_engine(learner, columns(agent, BOX), batch_size=4, seed=0, jit="off")
    engine.run(learner.updates, 0, 2)
    assert set(moved) == {(2,)}
    moved.clear()
    engine.losses(learner.updates, [np.arange(4, dtype=np.int32)], step=2)
    assert moved == []
