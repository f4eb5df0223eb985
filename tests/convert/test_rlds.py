"""RLDS: features of steps, the last step, and files like those of TFDS and its users."""

import json
import zlib

import numpy as np
import pytest
from data_examples import box, continuous_spec, make_columns

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.registry import recognise
from vinci_offline.convert.rlds import records as rlds_records
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError

CLASSES = "tensorflow_datasets.core.features"
FLAG, NUMBER = ("bool", ()), ("float32", ())
STEP = {"observation": ("float32", (2,)), "action": ("float32", (1,)), "reward": NUMBER, "is_terminal": FLAG}


def tensor(dtype, shape, encoding="none"):
    content = {"dtype": dtype, "encoding": encoding, "shape": {"dimensions": [str(size) for size in shape]}}
    return {"pythonClassName": f"{CLASSES}.tensor_feature.Tensor", "tensor": content}


def features_dict(parts):
    features = {name: part if isinstance(part, dict) else tensor(*part) for name, part in parts.items()}
    return {"featuresDict": {"features": features}}


@pytest.fixture
def folder(tmp_path):
    """Return a writer of folders as TFDS writes them."""
    import tensorflow as tf

    def feature(values):
        if isinstance(values, list) and isinstance(values[0], bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        flat = np.asarray(values).reshape(-1)
        if flat.dtype.kind == "f":
            return tf.train.Feature(float_list=tf.train.FloatList(value=flat))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=flat.astype(np.int64)))

    def write_folder(steps, episodes, split="train", lengths=None, **parts):
        path = tmp_path / "toy" / "1.0.0"
        path.mkdir(parents=True, exist_ok=True)
        whole = {"steps": {"sequence": {"feature": features_dict(steps), "length": "-1"}}}
        (path / "features.json").write_text(json.dumps(features_dict(whole | parts)))
        splits = [{"name": split, "shardLengths": [str(len(episodes))] if lengths is None else lengths}]
        (path / "dataset_info.json").write_text(json.dumps({"name": "toy", "splits": splits}))
        with tf.io.TFRecordWriter(str(path / f"toy-{split}.tfrecord-00000-of-00001")) as file:
            for episode in episodes:
                packed = {key: feature(values) for key, values in episode.items()}
                file.write(tf.train.Example(features=tf.train.Features(feature=packed)).SerializeToString())
        return path

    return write_folder


def episode(count=3, terminal=True, last=0.0):
    place = np.arange(count)
    values = np.where(place == count - 1, last, place + 1.0)
    return {
        "steps/observation": np.stack([place, place + 0.5], axis=1),
        "steps/action": values[:, None] / 10,
        "steps/reward": values,
        "steps/is_terminal": (place == count - 1) & terminal,
    }


def test_last_step_is_final_observation(folder):
    path = folder(STEP, [episode(3), episode(2, terminal=False)])
    assert recognise(path).name == "rlds"
    found = read(path)
    columns = found.dataset.columns
    assert columns["rewards"].tolist() == [1, 2, 1]
    assert columns["observations"][:, 0].tolist() == [0, 1, 0]
    assert columns["next_observations"][:, 0].tolist() == [1, 2, 1]
    assert columns["terminals"].tolist() == [False, True, False]
    assert columns["timeouts"].tolist() == [False, False, True]
    assert not found.dropped


def test_last_step_with_action_is_noted_or_taken(folder):
    path = folder(STEP, [episode(3, last=7.0), episode(3, terminal=False)])
    found = read(path)
    assert any("1 episodes have an action or a reward in their last step" in text for text in found.decisions)
    whole = read(path, options=ImportOptions(settings={"last": "step"}))
    assert whole.dataset.columns["rewards"].tolist() == [1, 2, 7, 1, 2]
    assert whole.dataset.columns["terminals"].tolist() == [False, False, True, False, False]
    assert list(whole.dropped.values()) == [1]


def test_one_step_episode_is_left_out(folder):
    path = folder(STEP, [episode(1), episode(2)])
    found = read(path)
    assert len(found.dataset) == 1
    assert "1 episodes of one step, and so of no action, were left out" in found.decisions


def test_ends_option_without_is_terminal(folder):
    steps = {name: part for name, part in STEP.items() if name != "is_terminal"}
    path = folder(steps, [episode(3)])
    with pytest.raises(UsageError, match="say --ends"):
        read(path)
    assert read(path, options=ImportOptions(ends="timeout")).dataset.columns["timeouts"].tolist() == [
        False,
        True,
    ]


def test_encodings_nested_observations_and_infos(folder):
    import tensorflow as tf

    images = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    depth = np.array([[0.1, 0.2], [0.3, 0.4]])
    steps = {
        "observation": features_dict(
            {
                "image": {"image": {"dtype": "uint8", "shape": {"dimensions": ["4", "5", "3"]}}},
                "depth": ("float64", (2,), "zlib"),
                "text": {"text": {}},
            }
        ),
        "action": ("float32", (1,)),
        "reward": NUMBER,
        "is_terminal": FLAG,
        "mode": {"classLabel": {"numClasses": "3"}},
    }
    content = {name: part for name, part in episode(2).items() if name != "steps/observation"}
    content |= {
        "steps/observation/image": [tf.io.encode_png(image).numpy() for image in images],
        "steps/observation/depth": [zlib.compress(value.tobytes()) for value in depth],
        "steps/observation/text": [b"go", b"go"],
        "steps/mode": [2, 0],
        "episode_metadata/seed": [5],
    }
    path = folder(steps, [content], episode_metadata=features_dict({"seed": ("int64", ())}))
    found = read(path)
    columns = found.dataset.columns
    assert "observation/text were left out: only numbers are rows" in found.decisions
    np.testing.assert_array_equal(columns["observations/image"], images[:1])
    np.testing.assert_array_equal(columns["next_observations/image"], images[1:])
    np.testing.assert_array_equal(columns["observations/depth"], depth[:1].astype(np.float32))
    assert columns["infos/mode"].tolist() == [2]
    assert found.dataset.episode_columns["seed"].tolist() == [5]


def test_action_setting_joins_parts(folder):
    steps = STEP | {"action": features_dict({"turn": ("float32", (1,)), "move": ("float32", (2,))})}
    content = {name: part for name, part in episode(2).items() if name != "steps/action"}
    content |= {
        "steps/action/turn": np.array([[1.0], [0]]),
        "steps/action/move": np.array([[2.0, 3.0], [0, 0]]),
    }
    path = folder(steps, [content])
    with pytest.raises(UsageError, match="actions have the parts turn, move: say which"):
        read(path)
    options = ImportOptions(settings={"action": "move,turn"})
    assert read(path, options=options).dataset.columns["actions"].tolist() == [[2, 3, 1]]
    with pytest.raises(UsageError, match="stop is no part of the action; those are turn, move"):
        read(path, options=ImportOptions(settings={"action": "stop"}))


def test_missing_rewards_need_setting(folder):
    path = folder({name: part for name, part in STEP.items() if name != "reward"}, [episode(3)])
    with pytest.raises(UsageError, match="has no rewards: say --set reward=zero"):
        read(path)
    found = read(path, options=ImportOptions(settings={"reward": "zero"})).dataset
    assert found.columns["rewards"].tolist() == [0, 0]


def test_split_setting(folder):
    folder(STEP, [episode(3)])
    path = folder(STEP, [episode(5), episode(5)], split="test")
    with pytest.raises(UsageError, match="has the splits test, train: choose one with --set split=NAME"):
        read(path)
    assert len(read(path, options=ImportOptions(settings={"split": "test"})).dataset) == 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps/reward": [1.0, 2.0]}, "different lengths"),
        (
            {"steps/observation": [1.0, 2.0, 3.0]},
            r"steps/observation holds other numbers than float32 of shape \(2,\)",
        ),
        ({"steps/reward": [1, 2, 3]}, None),
        ({"steps/action": [b"a", b"b", b"c"]}, "steps/action is kept as bytes_list"),
        ({"steps/is_terminal": [1, 0, 1]}, "step 0 is terminal and not the last"),
        ({"steps/is_terminal": [0, 0, 7]}, "steps/is_terminal holds other numbers than bool"),
    ],
)
def test_error_names_feature(folder, change, message):
    path = folder(STEP, [episode(3), episode(3) | change])
    if message is None:
        assert len(read(path).dataset) == 4
        return
    with pytest.raises(DatasetError, match=message) as caught:
        read(path)
    assert "episode 1" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_feature_is_named(folder):
    content = episode(3)
    del content["steps/action"]
    with pytest.raises(DatasetError, match="episode 0: steps/action is missing"):
        read(folder(STEP, [content]))


def test_partial_copy_is_refused(folder):
    with pytest.raises(DatasetError, match="has 1 episodes of the split train, and 3 are listed"):
        read(folder(STEP, [episode(3)], lengths=["2", "1"]))


@pytest.mark.parametrize(
    "content", ["{}", '{"featuresDict": {"features": {"steps": {"sequence": 1}}}}', "[1]"]
)
def test_unknown_description_is_refused(folder, content):
    path = folder(STEP, [episode(3)])
    (path / "features.json").write_text(content)
    with pytest.raises(DatasetError, match=r"features\.json"):
        read(path, kind="rlds")


def test_float64_and_images_are_packed(tmp_path):
    spec = EnvironmentSpec(box(2, 2, dtype="uint8", low=0, high=255), box(2, low=-1, high=1), id="Test-v0")
    columns = make_columns(spec, [3, 2], terminated=[True, False], infos=["cost"])
    columns["infos/wide"] = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    dataset = Dataset.from_columns(columns, spec, float64=True)
    write(dataset, tmp_path / "toy", kind="rlds")
    described = json.loads((tmp_path / "toy" / "features.json").read_text())
    steps = described["featuresDict"]["features"]["steps"]["sequence"]["feature"]["featuresDict"]["features"]
    assert steps["observation"]["tensor"]["encoding"] == "zlib"
    assert steps["infos"]["featuresDict"]["features"]["wide"]["tensor"]["encoding"] == "zlib"
    found = read(tmp_path / "toy", options=ImportOptions(spec)).dataset
    for path in dataset.columns:
        np.testing.assert_array_equal(
            found.columns[path], dataset.columns[path].astype(found.columns.dtype(path)), err_msg=path
        )


def test_export_has_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(rlds_records, "_SHARD_BYTES", 1000)
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [20] * 5), spec)
    write(dataset, tmp_path / "pendulum" / "2.0.1", kind="rlds")
    names = sorted(path.name for path in (tmp_path / "pendulum" / "2.0.1").glob("*.tfrecord*"))
    assert names[0] == f"pendulum-train.tfrecord-00000-of-{len(names):05d}"
    assert len(names) > 1
    info = json.loads((tmp_path / "pendulum" / "2.0.1" / "dataset_info.json").read_text())
    assert info["version"] == "2.0.1"
    assert sum(map(int, info["splits"][0]["shardLengths"])) == 5
    found = read(tmp_path / "pendulum" / "2.0.1").dataset
    np.testing.assert_array_equal(found.columns["observations"], dataset.columns["observations"])


def test_other_folder_is_never_replaced(tmp_path):
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [3]), spec)
    write(dataset, tmp_path / "toy", kind="rlds")
    (tmp_path / "toy" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an RLDS dataset alone"):
        write(dataset, tmp_path / "toy", kind="rlds", overwrite=True)
    with pytest.raises(UsageError, match=r"give a name of letters with --set to\.name=NAME"):
        write(dataset, tmp_path / "123", kind="rlds")
