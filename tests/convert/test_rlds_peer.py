"""RLDS against TensorFlow Datasets itself."""

import numpy as np
import pytest
from data_examples import box, make_columns

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.convert.conversion import read, write
from vinci_offline.spec import DictSpace

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
tfds = pytest.importorskip("tensorflow_datasets")


def test_tfds_loads_our_export(tmp_path):
    spec = EnvironmentSpec(
        DictSpace({"camera": box(4, 5, 3, dtype="uint8", low=0, high=255), "state": box(2)}),
        box(2, low=-1, high=1),
    )
    dataset = Dataset.from_columns(make_columns(spec, [3, 2], terminated=[True, False], infos=["cost"]), spec)
    write(dataset, tmp_path / "toy" / "1.0.0", kind="rlds")
    episodes = list(tfds.builder_from_directory(str(tmp_path / "toy" / "1.0.0")).as_dataset(split="train"))
    assert len(episodes) == 2
    steps = list(episodes[0]["steps"].as_numpy_iterator())
    assert [bool(step["is_last"]) for step in steps] == [False, False, False, True]
    assert [bool(step["is_terminal"]) for step in steps] == [False, False, False, True]
    assert [float(step["discount"]) for step in steps] == [1, 1, 0, 0]
    np.testing.assert_array_equal([step["action"] for step in steps[:3]], dataset.columns["actions"][:3])
    np.testing.assert_array_equal(
        [step["observation"]["camera"] for step in steps[:3]], dataset.columns["observations/camera"][:3]
    )
    np.testing.assert_array_equal(
        steps[3]["observation"]["state"], dataset.columns["next_observations/state"][2]
    )
    np.testing.assert_array_equal(
        [step["infos"]["cost"] for step in steps[:3]], dataset.columns["infos/cost"][:3]
    )


def test_import_of_tfds_dataset(tmp_path):
    kinds = tfds.features
    observation = {"image": kinds.Image(shape=(4, 5, 3)), "state": kinds.Tensor(shape=(2,), dtype=np.float32)}
    step = {
        "observation": kinds.FeaturesDict(observation),
        "action": kinds.Tensor(shape=(2,), dtype=np.float64, encoding="zlib"),
        "reward": kinds.Scalar(np.float32),
        "is_terminal": np.bool_,
        "language": kinds.Text(),
    }
    whole = kinds.FeaturesDict({"steps": kinds.Dataset(step), "episode_metadata": {"seed": np.int64}})
    identity = tfds.core.DatasetIdentity(
        name="toy", version=tfds.core.Version("1.0.0"), data_dir=str(tmp_path / "toy"), module_name="toy"
    )
    (tmp_path / "toy").mkdir()
    info = tfds.core.DatasetInfo(builder=identity, features=whole)
    writer = tfds.core.SequentialWriter(info, max_examples_per_shard=2)
    writer.initialize_splits(["train"])

    def episode(count):
        image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
        steps = [
            {
                "observation": {"image": image + place, "state": np.full(2, place, np.float32)},
                "action": np.full(2, place / 10),
                "reward": float(place),
                "is_terminal": place == count - 1,
                "language": "go",
            }
            for place in range(count)
        ]
        return {"steps": steps, "episode_metadata": {"seed": count}}

    writer.add_examples({"train": [episode(3), episode(2), episode(4)]})
    writer.close_all()
    found = read(tmp_path / "toy").dataset
    assert found.episode_columns["length"].tolist() == [2, 1, 3]
    assert found.episode_columns["seed"].tolist() == [3, 2, 4]
    assert found.columns["rewards"].tolist() == [0, 1, 0, 0, 1, 2]
    np.testing.assert_array_equal(found.columns["actions"][:, 0], np.float32([0, 0.1, 0, 0, 0.1, 0.2]))
    np.testing.assert_array_equal(found.columns["next_observations/image"][5, 0, 0], [3, 4, 5])
