"""Older versions of LeRobot and Minari, and episodes that are bad, in every format of separate episodes."""

import json

import h5py
import numpy as np
import pytest
from older_versions import lerobot_2, old_minari

from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.rlds import episodes as rlds_episodes
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.testing.format_contract import BOX, DICT, LENGTHS, example

SKIPPED = {"bad episodes, as --skip-bad says": 1}


def check(imported, dataset):
    assert imported.dataset.episodes["length"].tolist() == list(LENGTHS)
    for path in dataset.columns:
        np.testing.assert_array_equal(imported.dataset.columns[path], dataset.columns[path])


@pytest.mark.parametrize("spec", [BOX, DICT], ids=["box", "dict"])
def test_minari_before_0_5(spec, tmp_path):
    dataset = example(spec)
    imported = read(old_minari(tmp_path, dataset))
    check(imported, dataset)
    assert imported.dataset.spec == spec


def test_minari_without_spaces_asks_for_the_environment(tmp_path):
    path = old_minari(tmp_path, example(BOX), "observation_space", "action_space")
    with h5py.File(path / "data" / "main_data.hdf5", "r+") as file:
        file.attrs["env_spec"] = json.dumps({"id": "Hopper-v4"})
    with pytest.raises(
        UsageError, match="does not tell its observation_space and action_space: say --env Hopper-v4"
    ):
        read(path)
    check(read(path, options=ImportOptions(spec=BOX)), example(BOX))


@pytest.mark.parametrize("version", ["v2.0", "v2.1"])
def test_lerobot_2(version, tmp_path):
    dataset = example(BOX)
    imported = read(lerobot_2(tmp_path, dataset, version))
    check(imported, dataset)
    assert imported.dataset.attributes["lerobot"]["tasks"] == ["walk"]


def test_lerobot_2_that_was_copied_in_part(tmp_path):
    path = lerobot_2(tmp_path, example(BOX))
    (path / "data" / "chunk-000" / "episode_000002.parquet").unlink()
    with pytest.raises(
        DatasetError, match="holds other episodes than meta/episodes lists: it was copied in part"
    ):
        read(path)


def spoil_lerobot_2(folder, dataset):
    path = lerobot_2(folder, dataset)
    (path / "data" / "chunk-000" / "episode_000001.parquet").write_bytes(b"PAR1")
    return path


def spoil_lerobot(folder, dataset):
    pq = pytest.importorskip("pyarrow.parquet")
    write(dataset, folder / "new", kind="lerobot")
    (file,) = (folder / "new" / "data").glob("*/*.parquet")
    table = pq.read_table(file)
    place = table.column_names.index("frame_index")
    frames = table.column("frame_index").to_pylist()
    frames[LENGTHS[0] + 1] = 7
    pq.write_table(table.set_column(place, "frame_index", [frames]), file)
    return folder / "new"


def spoil_minari(folder, dataset):
    write(dataset, folder / "data-v0", kind="minari")
    with h5py.File(folder / "data-v0" / "data" / "main_data.hdf5", "r+") as file:
        values = file["episode_1/observations"][:-1]
        del file["episode_1/observations"]
        file["episode_1/observations"] = values
    return folder / "data-v0"


def spoil_minari_arrow(folder, dataset):
    pytest.importorskip("pyarrow")
    write(dataset, folder / "data-v0", kind="minari", settings={"storage": "arrow"})
    (folder / "data-v0" / "data" / "1" / "part-0.arrow").write_bytes(b"ARROW1")
    return folder / "data-v0"


def spoil_d3rlpy(folder, dataset):
    write(dataset, folder / "a.h5", kind="d3rlpy")
    with h5py.File(folder / "a.h5", "r+") as file:
        values = file["observations_1"][:-1]
        del file["observations_1"]
        file["observations_1"] = values
    return folder / "a.h5"


def spoil_robomimic(folder, dataset):
    write(dataset, folder / "a.h5", kind="robomimic")
    with h5py.File(folder / "a.h5", "r+") as file:
        del file["data/demo_1/rewards"]
        file["data/demo_1/rewards"] = ["much", "more", "most"]
    return folder / "a.h5"


def spoil_first_robomimic(folder, dataset):
    write(dataset, folder / "a.h5", kind="robomimic")
    with h5py.File(folder / "a.h5", "r+") as file:
        file.copy("data/demo_1", "data/demo_9")
        del file["data/demo_1"]
        file.copy("data/demo_9", "data/demo_1")
        del file["data/demo_9"]
        del file["data/demo_1/obs"]
    return folder / "a.h5"


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_lerobot,
        spoil_lerobot_2,
        spoil_minari,
        spoil_minari_arrow,
        spoil_d3rlpy,
        spoil_robomimic,
        spoil_first_robomimic,
    ],
)
def test_bad_episode_is_refused_or_skipped(spoil, tmp_path):
    path = spoil(tmp_path, example(BOX))
    with pytest.raises(DatasetError, match=r"--skip-bad leaves out episodes that are bad"):
        read(path, options=ImportOptions(ends="terminal"))
    imported = read(path, options=ImportOptions(ends="terminal", skip_bad=True))
    assert imported.dataset.episodes["length"].tolist() == [5, 1, 4]
    assert imported.dropped == SKIPPED
    assert any(line.startswith("the first bad episode: ") for line in imported.decisions)


def test_robomimic_infos_that_are_texts_are_left_out(tmp_path):
    dataset = example(BOX)
    write(dataset, tmp_path / "a.h5", kind="robomimic")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        for number, length in enumerate(LENGTHS):
            file[f"data/demo_{number}/infos/language"] = ["go"] * length
            file[f"data/demo_{number}/infos/cost"] = np.full(length, number)
    imported = read(tmp_path / "a.h5")
    assert imported.dataset.columns["infos/cost"][:6].tolist() == [0] * 5 + [1]
    assert "infos language were left out: they hold no numbers" in imported.decisions


def test_bad_rlds_episode_is_skipped(tmp_path, monkeypatch):
    write(example(BOX), tmp_path / "1.0.0", kind="rlds")
    real, records = rlds_episodes.unpack, iter(range(100))

    def unpack(record, root, features, where):
        if root == "steps" and next(records) == 1:
            raise DatasetError(f"{where}: steps are of unequal counts")
        return real(record, root, features, where)

    monkeypatch.setattr(rlds_episodes, "unpack", unpack)
    imported = read(tmp_path / "1.0.0", options=ImportOptions(skip_bad=True))
    assert imported.dataset.episodes["length"].tolist() == [5, 1, 4]
    assert imported.dropped == SKIPPED
