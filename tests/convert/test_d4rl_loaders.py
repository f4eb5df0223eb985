"""Loaders of D4RL's files, restated here: they read our exports, and our importer agrees with them."""

import gymnasium
import h5py
import numpy as np
import pytest
from data_examples import continuous_spec, make_columns

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.data.assembly.logged import CUT

SPEC = continuous_spec()
NAMES = ("observations", "actions", "rewards", "terminals", "timeouts")


def arrays(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in (*NAMES, "next_observations") if name in file}


def qlearning_dataset(data):
    """Return transitions as D4RL's and CORL's function of this name: from the following row, none at timeouts.

    The last row of the file is no transition to it, even where it is a terminal.
    """
    rows = [row for row in range(len(data["rewards"]) - 1) if not data["timeouts"][row]]
    following = data["observations"][[row + 1 for row in rows]]
    return {name: data[name][rows] for name in NAMES[:4]} | {"next_observations": following}


def sequence_dataset(data):
    """Return each episode's rewards as D4RL's function of this name: cut at terminals and timeouts."""
    ends = np.flatnonzero(data["terminals"] | data["timeouts"]) + 1
    return np.split(data["rewards"], ends[:-1] if len(ends) and ends[-1] == len(data["rewards"]) else ends)


def record(path, episodes, limit):
    """Write a file as D4RL's scripts record it: a row has observation, action, reward, flags and infos."""
    env = gymnasium.make("Pendulum-v1").unwrapped
    env.action_space.seed(0)
    data = {name: [] for name in (*NAMES, "infos/qpos")}
    for seed in range(episodes):
        observation, _ = env.reset(seed=seed)
        ended = False
        for step in range(limit):
            action = env.action_space.sample()
            following, reward, *_ = env.step(action)
            # Pendulum never terminates: turning fast does here, so that both kinds of end occur.
            ended, late = bool(abs(following[2]) > 4), step == limit - 1
            for name, value in zip(
                data, (observation, action, reward, ended, late and not ended, env.state), strict=True
            ):
                data[name].append(value)
            observation = following
            if ended:
                break
    with h5py.File(path, "w") as file:
        for name, values in data.items():
            dtype = np.bool_ if name in {"terminals", "timeouts"} else np.float32
            file.create_dataset(name, data=np.array(values, dtype), compression="gzip")


@pytest.fixture
def dataset():
    columns = make_columns(SPEC, [5, 3, 4, 1], terminated=[True, False, False, True])
    return Dataset.from_columns(columns, SPEC)


def assert_rows(columns, theirs, rows=slice(None)):
    goes_on = ~theirs["terminals"]
    for name, values in theirs.items():
        kept = goes_on if name == "next_observations" else slice(None)
        np.testing.assert_array_equal(columns[name][rows][kept], values[kept], err_msg=name)


def test_loaders_return_our_transitions_and_returns(dataset, tmp_path):
    write(dataset, tmp_path / "data.hdf5", settings={"final_rows": "yes"})
    data = arrays(tmp_path / "data.hdf5")
    found = qlearning_dataset(data)
    assert len(found["rewards"]) == len(dataset)
    assert_rows(dataset.columns, found)
    # A final row ends its own episode where that one terminated: it gains nothing.
    returns = [part.sum() for part in sequence_dataset(data) if part.any()]
    np.testing.assert_allclose(returns, dataset.episode_columns["return"], rtol=1e-5)


def test_loaders_return_our_episodes_without_final_rows(dataset, tmp_path):
    write(dataset, tmp_path / "data.hdf5")
    parts = sequence_dataset(arrays(tmp_path / "data.hdf5"))
    assert [len(part) for part in parts] == dataset.episode_columns["length"].tolist()
    np.testing.assert_allclose([part.sum() for part in parts], dataset.episode_columns["return"], rtol=1e-5)


def test_import_matches_d4rl_loader(tmp_path):
    record(tmp_path / "walk.hdf5", episodes=12, limit=15)
    data = arrays(tmp_path / "walk.hdf5")
    ended, late = int(data["terminals"].sum()), int(data["timeouts"].sum())
    assert min(ended, late) > 1
    imported = read(tmp_path / "walk.hdf5")
    assert imported.dropped == {CUT: late}
    found = qlearning_dataset(data)
    # Theirs loses the last row of the file where that is a terminal; where it is a timeout, nobody has it.
    assert len(imported.dataset) == len(found["rewards"]) + int(data["terminals"][-1])
    assert_rows(imported.dataset.columns, found, slice(len(found["rewards"])))
    assert imported.dataset.columns["infos/qpos"].shape == (len(imported.dataset), 2)
    returns = [
        part[: len(part) - over].sum() for part, over in zip(sequence_dataset(data), cuts(data), strict=True)
    ]
    np.testing.assert_allclose(imported.dataset.episode_columns["return"], returns, rtol=1e-5)


def cuts(data):
    """Return the rows of each episode without a next observation: the one that timed out."""
    return data["timeouts"][data["terminals"] | data["timeouts"]].astype(int)


@pytest.mark.peers
@pytest.mark.parametrize("final_rows", ["no", "yes"])
def test_d3rlpy_makes_same_transitions_of_columns(dataset, tmp_path, final_rows):
    d3rlpy = pytest.importorskip("d3rlpy")
    write(dataset, tmp_path / "data.hdf5", settings={"final_rows": final_rows})
    data = arrays(tmp_path / "data.hdf5")
    buffer = d3rlpy.dataset.MDPDataset(*(data[name] for name in NAMES[:4]), timeouts=data["timeouts"])
    found = [
        buffer.transition_picker(episode, index)
        for episode in buffer.episodes
        for index in range(episode.transition_count)
    ]
    timed_out = dataset.columns["timeouts"]
    kept = np.ones(len(dataset), bool) if final_rows == "yes" else ~timed_out
    assert len(found) == kept.sum()
    for name, values in {
        "observations": [each.observation for each in found],
        "actions": [each.action for each in found],
        "rewards": [each.reward[0] for each in found],
        "terminals": [bool(each.terminal) for each in found],
    }.items():
        np.testing.assert_array_equal(dataset.columns[name][kept], values, err_msg=name)
