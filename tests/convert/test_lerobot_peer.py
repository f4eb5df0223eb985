"""The real LeRobot: we read its recordings frame for frame, and its dataset class loads our exports."""

import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, make_columns
from peers import with_torchvision

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.spec import EnvironmentSpec

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
with_torchvision()
lerobot = pytest.importorskip("lerobot.datasets.lerobot_dataset")

SPEC = continuous_spec()
IMAGE = EnvironmentSpec(box(6, 4, 3, dtype="uint8", low=0, high=255), SPEC.action_space)


@pytest.mark.parametrize("spec", [SPEC, dict_spec(), IMAGE], ids=["box", "dict", "image"])
def test_lerobot_loads_our_export(tmp_path, spec):
    columns = make_columns(spec, [5, 3, 4], terminated=[True, False, False])
    dataset = Dataset.from_columns(columns, spec)
    write(dataset, tmp_path / "walk", kind="lerobot", settings={"fps": "20", "task": "walk"})
    loaded = lerobot.LeRobotDataset("local/walk", root=tmp_path / "walk")
    assert (loaded.num_episodes, loaded.num_frames, loaded.fps) == (3, 12, 20)
    assert loaded.meta.stats["action"]["mean"].shape == (2,)
    assert loaded.meta.episodes["length"][:] == [5, 3, 4]
    frames = [loaded[row] for row in range(12)]
    features = {
        path: "observation.state"
        if path == "observations"
        else path.replace("/", ".").replace("ns.", "n.", 1)
        for path in dataset.columns
        if path.startswith("observations")
    }
    features |= {f"next_{path}": f"next.{name}" for path, name in features.items()}
    features |= {
        "actions": "action",
        "rewards": "next.reward",
        "terminals": "next.done",
        "timeouts": "next.truncated",
    }
    for path, name in features.items():
        found = np.stack([np.asarray(frame[name]) for frame in frames])
        np.testing.assert_array_equal(found, dataset.columns[path].reshape(found.shape), err_msg=path)
    assert [frame["task"] for frame in frames] == ["walk"] * 12
    assert [frame["episode_index"].item() for frame in frames] == [0] * 5 + [1] * 3 + [2] * 4


def test_lerobot_finds_frames_one_step_ahead(tmp_path):
    dataset = Dataset.from_columns(make_columns(SPEC, [5, 3]), SPEC)
    write(dataset, tmp_path / "walk", kind="lerobot", settings={"fps": "20"})
    loaded = lerobot.LeRobotDataset(
        "local/walk", root=tmp_path / "walk", delta_timestamps={"observation.state": [0, 0.05]}
    )
    for row in (0, 3, 5, 6):
        np.testing.assert_array_equal(
            loaded[row]["observation.state"], dataset.columns["observations"][[row, row + 1]]
        )


def test_import_matches_lerobot_frames(tmp_path):
    features = {
        "observation.state": {"dtype": "float32", "shape": (3,), "names": None},
        "observation.environment_state": {"dtype": "float64", "shape": (2, 2), "names": None},
        "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
        "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
        "next.done": {"dtype": "bool", "shape": (1,), "names": None},
        "next.success": {"dtype": "bool", "shape": (1,), "names": None},
    }
    rng = np.random.default_rng(0)
    recorded = lerobot.LeRobotDataset.create(
        "local/reach", 10, features, root=tmp_path / "reach", use_videos=False
    )
    frames = []
    for length, task in ((4, "reach"), (6, "push")):
        for step in range(length):
            ended = np.array([step == length - 1])
            frame = {
                "observation.state": rng.random(3, np.float32),
                "observation.environment_state": rng.random((2, 2)),
                "action": rng.random(2, np.float32),
                "next.reward": rng.random(1, np.float32),
                "next.done": ended,
                "next.success": ended,
            }
            frames.append(frame)
            recorded.add_frame({**frame, "task": task})
        for name in ("next.reward", "next.done", "next.success"):
            # LeRobot 0.4 makes numbers of arrays of one element, which NumPy 2.4 refuses.
            recorded.episode_buffer[name] = [value[0] for value in recorded.episode_buffer[name]]
        recorded.save_episode()
    recorded.finalize()
    imported = read(tmp_path / "reach")
    columns = imported.dataset.columns
    for path, name in {
        "observations/state": "observation.state",
        "observations/environment_state": "observation.environment_state",
        "actions": "action",
        "rewards": "next.reward",
        "terminals": "next.done",
        "infos/next.success": "next.success",
    }.items():
        expected = np.stack([frame[name] for frame in frames]).astype(columns.dtype(path))
        np.testing.assert_array_equal(columns[path], expected.reshape(columns.shape(path)), err_msg=path)
    assert columns["infos/task_index"].tolist() == [0] * 4 + [1] * 6
    assert imported.dataset.attributes["lerobot"]["tasks"] == ["reach", "push"]
    cut = read(tmp_path / "reach", options=ImportOptions(ends="timeout"))
    assert cut.dataset.episode_columns["length"].tolist() == [3, 5]
