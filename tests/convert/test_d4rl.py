"""D4RL's flat layout: ends of episodes, and D4RL's loader on our files."""

import h5py
import numpy as np
import pytest
from data_examples import continuous_spec, make_columns
from real import real

from vinci_offline import Dataset, DatasetError, UsageError
from vinci_offline.convert.conversion import read, write
from vinci_offline.data.assembly.logged import CUT
from vinci_offline.data.assembly.options import ImportOptions

SPEC = continuous_spec()


@pytest.fixture
def dataset():
    return Dataset.from_columns(make_columns(SPEC, [5, 3, 4], terminated=[True, False, False]), SPEC)


@pytest.fixture
def flat(dataset, tmp_path):
    write(dataset, tmp_path / "data.hdf5")
    return tmp_path / "data.hdf5"


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def without(path, *names):
    return edit(path, lambda file: [file.pop(name) for name in names])


def test_next_observations_come_from_following_row(dataset, flat):
    imported = read(without(flat, "next_observations"))
    assert imported.dropped == {CUT: 2}
    kept = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]
    for path in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(imported.dataset.columns[path], dataset.columns[path][kept])
    following = dataset.columns["observations"][[1, 2, 3, 4, 4, 6, 7, 9, 10, 11]]
    np.testing.assert_array_equal(imported.dataset.columns["next_observations"], following)
    assert imported.dataset.episode_columns["terminated"].tolist() == [True, False, False]


def test_timeouts_come_from_breaks_in_next_observations(dataset, flat):
    imported = read(without(flat, "timeouts"))
    assert imported.dataset == Dataset.from_columns(dict(dataset.columns), imported.dataset.spec)
    assert any("do not continue" in decision for decision in imported.decisions)


def test_ends_option_without_timeouts_and_next_observations(flat):
    without(flat, "timeouts", "next_observations")
    with pytest.raises(UsageError, match=r"--ends terminal .*--ends limit --time-limit N"):
        read(flat)
    never = read(flat, options=ImportOptions(ends="terminal"))
    assert never.dataset.episode_columns["length"].tolist() == [5, 6]
    limited = read(flat, options=ImportOptions(ends="limit", time_limit=3))
    assert limited.dataset.episode_columns["length"].tolist() == [2, 2, 2, 2]
    assert limited.dataset.episode_columns["terminated"].tolist() == [False, True, False, False]


def test_terminal_wins_over_timeout(flat):
    def both(file):
        file["timeouts"][4] = True

    imported = read(edit(flat, both))
    assert not imported.dataset.columns["timeouts"][4]
    assert any("1 rows are both" in decision for decision in imported.decisions)


def test_float_flags_and_column_rewards(dataset, flat):
    def change(file):
        for name in ("terminals", "rewards"):
            values = file[name][()].astype("f4")[:, None]
            del file[name]
            file[name] = values

    assert read(edit(flat, change)).dataset.columns["rewards"].shape == (12,)


def test_metadata_and_infos_are_kept(flat):
    def change(file):
        file["metadata/algorithm"] = "SAC"
        file["infos/qpos"] = np.ones((12, 2))
        file["infos/goal"] = np.ones(2)

    imported = read(edit(flat, change))
    assert imported.dataset.attributes["metadata"] == {"algorithm": "SAC"}
    assert imported.dataset.columns["infos/qpos"].shape == (12, 2)
    assert any("infos/goal was left out" in decision for decision in imported.decisions)


def qlearning_dataset(path):
    """Return the transitions that D4RL's function of this name takes from a file."""
    with h5py.File(path) as file:
        data = {
            name: file[name][()] for name in ("observations", "actions", "rewards", "terminals", "timeouts")
        }
    rows = [row for row in range(len(data["rewards"]) - 1) if not data["timeouts"][row]]
    following = data["observations"][[row + 1 for row in rows]]
    return {name: values[rows] for name, values in data.items()} | {"next_observations": following}


def test_final_rows_keep_all_transitions_for_d4rl(dataset, tmp_path):
    write(dataset, tmp_path / "data.hdf5", settings={"final_rows": "yes"})
    found = qlearning_dataset(tmp_path / "data.hdf5")
    for path in ("observations", "actions", "rewards", "terminals", "next_observations"):
        np.testing.assert_array_equal(found[path], dataset.columns[path], err_msg=path)


def test_plain_export_has_rows_and_flags(dataset, flat):
    found = qlearning_dataset(flat)
    np.testing.assert_array_equal(found["rewards"], dataset.columns["rewards"][~dataset.columns["timeouts"]])


def test_robosoccer_file():
    imported = read(real("guda_robosoccer_d4rl_flat.hdf5"))
    assert not imported.dropped
    table = imported.dataset.episode_columns
    assert table["length"].tolist() == [2000] * 10
    assert table["terminated"].all()


def test_empty_file_is_refused():
    with pytest.raises(DatasetError, match=r"holds no rows"):
        read(real("guda_empty_d4rl_flat.hdf5"))
