"""Dumps of d3rlpy 1.1 and older, written by hand, against d3rlpy's loader."""

import h5py
import numpy as np
import pytest
from data_examples import discrete_spec
from test_d3rlpy import assert_same

from vinci_offline import DatasetError, UsageError
from vinci_offline.convert.conversion import read
from vinci_offline.convert.registry import recognise
from vinci_offline.data.assembly.logged import CUT
from vinci_offline.data.assembly.options import ImportOptions

LENGTHS, TERMINATED = [5, 3, 1, 4], [True, False, True, False]
NEXT = ImportOptions(settings={"rewards": "next"})


def dump(path, *, version="1.0", discrete=False, drop=(), **changes):
    """Write a file as `MDPDataset.dump` does; 1.1 wrote the version, 0.x and 1.0 none."""
    rng, count = np.random.default_rng(0), sum(LENGTHS)
    last = np.cumsum(LENGTHS) - 1
    terminals, ends = np.zeros(count, np.float32), np.zeros(count, np.float32)
    terminals[last], ends[last] = TERMINATED, 1
    columns = {
        "observations": rng.normal(size=(count, 3)).astype(np.float32),
        "actions": rng.integers(0, 4, count, np.int32)
        if discrete
        else rng.uniform(-1, 1, (count, 2)).astype("f4"),
        "rewards": rng.normal(size=count).astype(np.float32),
        "terminals": terminals,
        "episode_terminals": ends,
        "discrete_action": discrete,
        **({"version": version} if version else {}),
        **changes,
    }
    with h5py.File(path, "w") as file:
        for name in set(columns) - set(drop):
            file.create_dataset(name, data=columns[name])
    return path, columns


@pytest.mark.parametrize("discrete", [False, True], ids=["vectors", "choices"])
def test_last_row_of_cut_episode_is_dropped(tmp_path, discrete):
    path, columns = dump(tmp_path / "mdp.h5", discrete=discrete)
    assert recognise(path).name == "d3rlpy"
    imported = read(path, options=ImportOptions(discrete_spec() if discrete else None))
    assert imported.dropped == {CUT: 2}
    kept = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11]
    for name in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(imported.dataset.columns[name], columns[name][kept], err_msg=name)
    following = imported.dataset.columns["next_observations"]
    np.testing.assert_array_equal(following[[0, 5, 8]], columns["observations"][[1, 6, 10]])
    assert imported.dataset.episode_columns["length"].tolist() == [5, 2, 1, 3]
    assert imported.dataset.episode_columns["terminated"].tolist() == TERMINATED


@pytest.mark.peers
@pytest.mark.parametrize("discrete", [False, True], ids=["vectors", "choices"])
def test_import_matches_d3rlpy_loader(tmp_path, discrete):
    d3rlpy = pytest.importorskip("d3rlpy")
    path, _ = dump(tmp_path / "mdp.h5", discrete=discrete)
    with path.open("rb") as file:
        episodes = d3rlpy.dataset.load_v1(file)
    buffer = d3rlpy.dataset.ReplayBuffer(d3rlpy.dataset.InfiniteBuffer(), episodes=episodes)
    assert_same(read(path, options=ImportOptions(discrete_spec() if discrete else None)).dataset, buffer)


def test_unversioned_dump_asks_for_row_of_rewards(tmp_path):
    path, columns = dump(tmp_path / "old.h5", version=None, create_mask=False, mask_size=1)
    with pytest.raises(UsageError, match=r"before 1\.1.*--set rewards=next .*, or rewards=same"):
        read(path)
    imported = read(path, options=NEXT)
    assert not imported.dropped
    assert any("1 episodes of a single row hold no transition" in line for line in imported.decisions)
    rows = np.array([0, 1, 2, 3, 5, 6, 9, 10, 11])
    found = imported.dataset
    np.testing.assert_array_equal(found.columns["observations"], columns["observations"][rows])
    np.testing.assert_array_equal(found.columns["actions"], columns["actions"][rows])
    np.testing.assert_array_equal(found.columns["rewards"], columns["rewards"][rows + 1])
    np.testing.assert_array_equal(found.columns["next_observations"], columns["observations"][rows + 1])
    assert found.episode_columns["length"].tolist() == [4, 2, 3]
    assert found.episode_columns["terminated"].tolist() == [True, False, False]
    same = read(path, options=ImportOptions(settings={"rewards": "same"})).dataset
    np.testing.assert_array_equal(same.columns["rewards"][:5], columns["rewards"][:5])


def test_terminals_end_episodes_without_episode_terminals(tmp_path):
    path, _ = dump(tmp_path / "mdp.h5", drop=["episode_terminals"])
    imported = read(path)
    assert imported.dataset.episode_columns["length"].tolist() == [5, 4, 3]
    assert imported.dataset.episode_columns["terminated"].tolist() == [True, True, False]
    assert any("not finished" in line for line in imported.decisions)


def test_terminal_within_episode_ends_it(tmp_path):
    terminals = np.zeros(13, np.float32)
    terminals[[1, 4]] = 1
    path, _ = dump(tmp_path / "mdp.h5", terminals=terminals)
    imported = read(path)
    assert imported.dataset.episode_columns["length"].tolist()[:2] == [2, 3]
    assert any("1 terminals lie within episodes" in line for line in imported.decisions)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"rewards": np.ones(7)}, DatasetError, r"unequal lengths \(.*rewards 7"),
        ({"rewards": np.ones((13, 2))}, DatasetError, r"rewards have shape \(13, 2\)"),
        ({"terminals": np.full(13, 0.5)}, DatasetError, r"terminals row 0 is neither 0 nor 1"),
        ({"version": "1.7"}, DatasetError, r"unknown version, '1\.7'"),
        ({"discrete": True}, DatasetError, r"number of discrete actions cannot be told .*--env"),
        ({name: np.ones((0, 1)) for name in ("observations", "actions", "rewards", "terminals", "episode_terminals")},
         DatasetError, r"holds no rows"),
    ],
)  # fmt: skip
def test_damage_is_one_line(tmp_path, changes, error, message):
    path, _ = dump(tmp_path / "mdp.h5", **changes)
    with pytest.raises(error, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_unknown_settings_are_refused(tmp_path):
    path, _ = dump(tmp_path / "mdp.h5")
    with pytest.raises(UsageError, match="it is same or next"):
        read(path, options=ImportOptions(settings={"rewards": "first"}))
    with pytest.raises(UsageError, match="no setting actions: it has rewards"):
        read(path, options=ImportOptions(settings={"actions": "4"}))
