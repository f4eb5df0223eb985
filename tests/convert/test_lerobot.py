"""LeRobot's folders: features as columns, ends of episodes, damage."""

import json

import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, discrete_spec, make_columns

from vinci_offline import Dataset, DatasetError, SpecError, UsageError
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.lerobot import writer as lerobot_writer
from vinci_offline.data.assembly.logged import CUT
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.spec import EnvironmentSpec

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

SPEC = continuous_spec()
LENGTHS = [5, 3, 4]


@pytest.fixture
def dataset():
    columns = make_columns(SPEC, LENGTHS, terminated=[True, False, False], infos=["height", "speed"])
    return Dataset.from_columns(columns, SPEC)


@pytest.fixture
def folder(dataset, tmp_path):
    write(dataset, tmp_path / "walk", kind="lerobot", settings={"fps": "20", "task": "walk"})
    return tmp_path / "walk"


def info(folder):
    return json.loads((folder / "meta" / "info.json").read_text())


def describe(folder, **entries):
    (folder / "meta" / "info.json").write_text(json.dumps({**info(folder), **entries}))
    return folder


def rewrite(folder, change):
    """Change the frames; descriptions of removed features go too."""
    path = folder / "data" / "chunk-000" / "file-000.parquet"
    table = change(pq.read_table(path))
    pq.write_table(table, path)
    features = info(folder)["features"]
    return describe(
        folder, features={name: features[name] for name in table.column_names if name in features}
    )


def without(folder, *names):
    return rewrite(folder, lambda table: table.drop_columns(list(names)))


def foreign(folder, *names):
    """Make a dataset like LeRobot's own: without next observations and truncations."""
    return without(folder, "next.observation.state", "next.truncated", *names)


def replaced(table, name, values):
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_roundtrip_of_columns(dataset, folder):
    imported = read(folder)
    assert not imported.dropped
    assert set(imported.dataset.columns) == set(dataset.columns)
    for path in dataset.columns:
        np.testing.assert_array_equal(imported.dataset.columns[path], dataset.columns[path], err_msg=path)
    assert imported.dataset.attributes["lerobot"] == {"tasks": ["walk"], "fps": 20, "robot_type": None}


def test_next_observations_come_from_next_frame(dataset, folder):
    imported = read(without(folder, "next.observation.state"))
    assert imported.dropped == {CUT: 2}
    kept = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    following = dataset.columns["observations"][[1, 2, 3, 4, 4, 6, 7, 9, 10, 11]]
    np.testing.assert_array_equal(imported.dataset.columns["next_observations"], following)
    np.testing.assert_array_equal(imported.dataset.columns["rewards"], dataset.columns["rewards"][kept])


def test_done_alone_is_a_terminal(folder):
    foreign(folder)
    with pytest.raises(UsageError, match=r"--ends terminal, timeout, or limit"):
        read(folder)
    every = read(folder, options=ImportOptions(ends="timeout"))
    assert not every.dataset.columns["terminals"].any()
    assert every.dropped == {CUT: 3}

    def finish(table):
        return replaced(
            table, "next.done", [False] * 4 + [True] + [False] * 2 + [True] + [False] * 3 + [True]
        )

    imported = read(rewrite(folder, finish))
    assert imported.dataset.episode_columns["terminated"].all()
    assert any("next.done is a terminal" in decision for decision in imported.decisions)


def test_ends_option_without_done(folder):
    with pytest.raises(UsageError, match="--ends"):
        read(foreign(folder, "next.done"))
    limited = read(folder, options=ImportOptions(ends="limit", time_limit=5))
    assert limited.dataset.episode_columns["terminated"].tolist() == [False, True, True]


def test_episode_is_cut_after_its_end(dataset, folder):
    def change(table):
        done = table.column("next.done").to_pylist()
        return replaced(table, "next.done", [row == 1 or value for row, value in enumerate(done)])

    imported = read(rewrite(folder, change))
    assert imported.dataset.episode_columns["length"].tolist() == [2, 3, 3, 4]
    np.testing.assert_array_equal(
        imported.dataset.columns["next_observations"], dataset.columns["next_observations"]
    )
    assert any("were cut there (1)" in decision for decision in imported.decisions)


def test_missing_rewards_need_setting(folder):
    without(folder, "next.reward")
    with pytest.raises(UsageError, match=r"no rewards .*--set reward=zero"):
        read(folder)
    zero = ImportOptions(settings={"reward": "zero"})
    assert not read(folder, options=zero).dataset.columns["rewards"].any()


def test_reward_setting_is_refused_if_rewards_exist(folder):
    with pytest.raises(UsageError, match="leave --set reward out"):
        read(folder, options=ImportOptions(settings={"reward": "zero"}))


def test_videos_images_and_texts_are_left_out(folder):
    features = info(folder)["features"]
    described = {"observation.images.top": "video", "observation.images.wrist": "image", "note": "string"}
    for name, dtype in described.items():
        features[name] = {"dtype": dtype, "shape": [48, 64, 3], "names": None}
    imported = read(describe(folder, features=features))
    assert imported.dataset.columns.shape("observations") == (12, 3)
    assert any("observation.images.top (video), " in decision for decision in imported.decisions)


def test_several_tasks_become_infos(folder):
    tasks = pa.table({"task_index": [1, 0], "__index_level_0__": ["run", "walk"]})
    pq.write_table(tasks, folder / "meta" / "tasks.parquet")
    imported = read(rewrite(folder, lambda table: replaced(table, "task_index", [0] * 5 + [1] * 7)))
    assert imported.dataset.attributes["lerobot"]["tasks"] == ["walk", "run"]
    assert imported.dataset.columns["infos/task_index"].tolist() == [0] * 5 + [1] * 7


def test_frames_are_sorted(dataset, folder):
    order = np.random.default_rng(0).permutation(12)
    found = read(rewrite(folder, lambda table: table.take(order))).dataset
    np.testing.assert_array_equal(found.columns["rewards"], dataset.columns["rewards"])


def test_several_observations_become_a_dict(tmp_path):
    spec = dict_spec()
    written = Dataset.from_columns(make_columns(spec, [3, 2]), spec)
    write(written, tmp_path / "car", kind="lerobot")
    found = read(tmp_path / "car", options=ImportOptions(spec=spec)).dataset
    for path in written.columns:
        np.testing.assert_array_equal(found.columns[path], written.columns[path], err_msg=path)
    assert "observation.car.gear" in info(tmp_path / "car")["features"]


def test_environment_must_match_features(folder):
    spec = EnvironmentSpec(box(7), SPEC.action_space)
    with pytest.raises(
        SpecError, match=r"observations of shape \(7,\), and the feature observation.state is of"
    ):
        read(folder, options=ImportOptions(spec=spec))
    with pytest.raises(SpecError, match="is not there"):
        read(
            folder,
            options=ImportOptions(spec=EnvironmentSpec(dict_spec().observation_space, SPEC.action_space)),
        )


def test_discrete_actions_need_environment(tmp_path):
    spec = discrete_spec()
    write(Dataset.from_columns(make_columns(spec, [4]), spec), tmp_path / "count", kind="lerobot")
    with pytest.raises(DatasetError, match="number of discrete actions"):
        read(tmp_path / "count")


def test_large_export_has_several_files(dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(lerobot_writer, "_ROWS_A_GROUP", 6)
    monkeypatch.setattr(lerobot_writer, "_FILE_MIB", 0)
    write(dataset, tmp_path / "walk", kind="lerobot")
    files = sorted((tmp_path / "walk" / "data").rglob("*.parquet"))
    assert [pq.read_metadata(file).num_rows for file in files] == [8, 4]
    episodes = pq.read_table(tmp_path / "walk" / "meta" / "episodes" / "chunk-000" / "file-000.parquet")
    assert episodes.column("data/file_index").to_pylist() == [0, 0, 1]
    assert episodes.column("dataset_to_index").to_pylist() == [5, 8, 12]
    np.testing.assert_array_equal(
        read(tmp_path / "walk").dataset.columns["rewards"], dataset.columns["rewards"]
    )


def test_statistics_match_columns(dataset, folder):
    stats = json.loads((folder / "meta" / "stats.json").read_text())
    observations = dataset.columns["observations"].astype(np.float64)
    np.testing.assert_allclose(stats["observation.state"]["mean"], observations.mean(axis=0))
    np.testing.assert_allclose(stats["observation.state"]["q90"], np.quantile(observations, 0.9, axis=0))
    assert stats["next.reward"]["count"] == [12]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"codebase_version": "v1.6"}, r"version v1\.6, and v2 and v3 can be read: convert it"),
        ({"features": None}, "does not describe the features"),
        ({"features": {"action": {"dtype": "tensor", "shape": [2]}}}, "does not describe the features"),
        ({"features": {"action": {"dtype": "float32", "shape": [2]}}}, "no observations that are numbers"),
        (
            {"features": {"observation.state": {"dtype": "float32", "shape": [3]}}},
            "no actions that are numbers",
        ),
    ],
)
def test_bad_description_is_one_line(folder, entries, message):
    with pytest.raises(DatasetError, match=message):
        read(describe(folder, **entries))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table[:11], "other episodes than meta/episodes lists"),
        (lambda table: table.drop_columns(["frame_index"]), "frame_index is missing"),
        (lambda table: table.take([0, 0, *range(2, 12)]), "episode_index 0 has no frame_index 0, 1, 2"),
        (lambda table: replaced(table, "action", [[0.0]] * 12), "action has 12 numbers in 12 rows"),
        (lambda table: replaced(table, "next.done", [3] * 12), "next.done row 0 is neither 0 nor 1"),
        (
            lambda table: replaced(table, "observation.state", ["far"] * 12),
            "observation.state holds string values",
        ),
    ],
)
def test_bad_frames_are_one_line(folder, change, message):
    with pytest.raises(DatasetError, match=message):
        read(rewrite(folder, change))


def test_clashing_names_are_refused(tmp_path):
    columns = make_columns(SPEC, [3])
    columns |= {"infos/a/b": np.zeros(3, np.float32), "infos/a.b": np.zeros(3, np.float32)}
    with pytest.raises(SpecError, match=r"differ only in / and \."):
        write(Dataset.from_columns(columns, SPEC), tmp_path / "walk", kind="lerobot")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fps", ["0", "12.5", "fast"])
def test_fps_must_be_whole(dataset, tmp_path, fps):
    with pytest.raises(UsageError, match="whole number of steps a second"):
        write(dataset, tmp_path / "walk", kind="lerobot", settings={"fps": fps})


def test_other_folder_is_never_replaced(dataset, folder):
    (folder / "videos").mkdir()
    with pytest.raises(UsageError, match="is not a LeRobot dataset alone"):
        write(dataset, folder, kind="lerobot", overwrite=True)
