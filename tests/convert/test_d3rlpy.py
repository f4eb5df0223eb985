"""d3rlpy's dumps: its loader reads ours, and we read its own."""

import h5py
import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, discrete_spec, make_columns

from vinci_offline import Dataset, DatasetError
from vinci_offline.convert.conversion import read, write
from vinci_offline.data.assembly.logged import CUT, OWN_STANDS_IN
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import SpecError
from vinci_offline.spec import EnvironmentSpec

LENGTHS, TERMINATED = [5, 3, 1, 4], [True, False, False, True]
peers = pytest.mark.peers


def example(spec, infos=()):
    return Dataset.from_columns(make_columns(spec, LENGTHS, terminated=TERMINATED, infos=infos), spec)


def load(path):
    d3rlpy = pytest.importorskip("d3rlpy")
    with path.open("rb") as file:
        return d3rlpy.dataset.ReplayBuffer.load(file, d3rlpy.dataset.InfiniteBuffer())


def dump(path, lengths, terminated, actions, observations):
    """Write a dump with d3rlpy's own classes."""
    d3rlpy = pytest.importorskip("d3rlpy")
    rng = np.random.default_rng(0)
    episodes = [
        d3rlpy.dataset.Episode(
            observations=observations(rng, length),
            actions=actions(rng, length),
            rewards=rng.normal(size=(length, 1)).astype(np.float32),
            terminated=ended,
        )
        for length, ended in zip(lengths, terminated, strict=True)
    ]
    buffer = d3rlpy.dataset.ReplayBuffer(d3rlpy.dataset.InfiniteBuffer(), episodes=episodes)
    with path.open("w+b") as file:
        buffer.dump(file)
    return buffer


def assert_same(dataset, buffer):
    """Check that each of d3rlpy's transitions is a row of the dataset; terminal ones have no next observation."""
    found = [
        buffer.transition_picker(episode, index)
        for episode in buffer.episodes
        for index in range(episode.transition_count)
    ]
    assert len(dataset) == buffer.transition_count == len(found)
    columns = dataset.columns
    goes_on = ~columns["terminals"]
    expected = {
        "actions": [each.action for each in found],
        "rewards": [each.reward for each in found],
        "terminals": [each.terminal for each in found],
    }
    paths = sorted(path for path in columns if path.startswith("observations"))
    for part, path in enumerate(paths):
        whole = path == "observations"
        expected[path] = [each.observation if whole else each.observation[part] for each in found]
        following = [each.next_observation if whole else each.next_observation[part] for each in found]
        theirs = np.array(following).reshape(columns.shape(path))
        np.testing.assert_array_equal(columns[f"next_{path}"][goes_on], theirs[goes_on])
    for path, theirs in expected.items():
        np.testing.assert_array_equal(columns[path], np.reshape(theirs, columns.shape(path)), err_msg=path)


@peers
@pytest.mark.parametrize(
    "spec", [continuous_spec(), discrete_spec(), dict_spec()], ids=["continuous", "discrete", "dict"]
)
def test_d3rlpy_loads_our_transitions_and_returns(spec, tmp_path):
    dataset = example(spec)
    write(dataset, tmp_path / "dump.h5", kind="d3rlpy")
    buffer = load(tmp_path / "dump.h5")
    assert_same(dataset, buffer)
    returns = [episode.compute_return() for episode in buffer.episodes]
    np.testing.assert_allclose(returns, dataset.episode_columns["return"], rtol=1e-5)


@peers
def test_dict_observations_are_tuples_in_d3rlpy(tmp_path):
    dataset = example(dict_spec())
    exported = write(dataset, tmp_path / "dump.h5", kind="d3rlpy")
    assert any("car/gear, car/speed, picture, position" in decision for decision in exported.decisions)
    shapes = load(tmp_path / "dump.h5").episodes[0].observation_signature.shape
    assert [tuple(shape) for shape in shapes] == [(1,), (1,), (4, 5, 3), (2,)]
    found = read(tmp_path / "dump.h5", options=ImportOptions(dataset.spec)).dataset
    for path in dataset.columns:
        np.testing.assert_array_equal(found.columns[path], dataset.columns[path], err_msg=path)


VECTORS = {
    "actions": lambda rng, n: rng.uniform(-1, 1, (n, 2)).astype("f4"),
    "observations": lambda rng, n: rng.normal(size=(n, 3)).astype("f4"),
}


@peers
def test_import_matches_d3rlpy_transitions(tmp_path):
    buffer = dump(tmp_path / "own.h5", [5, 3, 2, 4], TERMINATED, **VECTORS)
    imported = read(tmp_path / "own.h5")
    assert imported.dropped == {CUT: 2}
    assert OWN_STANDS_IN in imported.decisions
    assert_same(imported.dataset, buffer)
    table = imported.dataset.episode_columns
    assert table["length"].tolist() == [5, 2, 1, 4]
    assert table["terminated"].tolist() == TERMINATED
    returns = [each.rewards[: each.transition_count].sum() for each in buffer.episodes]
    np.testing.assert_allclose(table["return"], returns, rtol=1e-5)


@peers
def test_tuple_parts_get_names_of_environment(tmp_path):
    buffer = dump(
        tmp_path / "own.h5",
        [3, 2],
        [True, True],
        VECTORS["actions"],
        lambda rng, n: (rng.normal(size=(n, 3)).astype("f4"), rng.integers(0, 255, (n, 3, 4, 4), np.uint8)),
    )
    plain = read(tmp_path / "own.h5").dataset
    assert plain.columns.shape("observations/1") == (5, 3, 4, 4)
    assert_same(plain, buffer)
    with pytest.raises(SpecError, match="2 parts"):
        read(tmp_path / "own.h5", options=ImportOptions(dict_spec()))


@peers
def test_discrete_actions_need_environment(tmp_path):
    buffer = dump(
        tmp_path / "own.h5", [4], [True], lambda rng, n: rng.integers(0, 4, (n, 1)), VECTORS["observations"]
    )
    with pytest.raises(DatasetError, match="number of discrete actions"):
        read(tmp_path / "own.h5")
    assert_same(read(tmp_path / "own.h5", options=ImportOptions(discrete_spec())).dataset, buffer)


def damaged(tmp_path, change):
    path = tmp_path / "dump.h5"
    write(example(continuous_spec()), path, kind="d3rlpy")
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(name, value):
    def change(file):
        del file[name]
        if value is not None:
            file[name] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replace("version", "2.0"), r"version '2\.0', not 2\.1: load it with the d3rlpy that wrote it"),
        (replace("num_episodes", 2**60), "no number of episodes"),
        (replace("num_episodes", 5), r"terminated_4 is missing"),
        (replace("terminated_1", 7.5), r"terminated_1 .* neither true nor false"),
        (replace("actions_2", None), r"actions_2 is missing"),
        (replace("actions_1", np.ones((2, 2))), r"episode 1 has columns of .* unequal lengths"),
        (replace("actions_1", np.ones((4, 5))), r"actions of episode 1 is of shape \[5\], of episode 0"),
        (replace("rewards_1", np.ones((4, 2))), r"rewards_1 have shape \(4, 2\)"),
        (replace("vinci_final_observations", np.ones((2, 3))), r"no array of shape \(4, 3\)"),
        (replace("num_episodes", 0), r"holds no rows"),
    ],
)
def test_damage_is_one_line(tmp_path, change, message):
    path = damaged(tmp_path, change)
    with pytest.raises(DatasetError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_export_notes_gaps_and_lost_infos(tmp_path):
    whole = example(continuous_spec(), infos=["cost"])
    columns = {path: np.delete(values, 2, axis=0) for path, values in whole.columns.items()}
    exported = write(Dataset.from_columns(columns, whole.spec), tmp_path / "dump.h5", kind="d3rlpy")
    assert any("1 episodes from which rows were left out" in decision for decision in exported.decisions)
    assert exported.lost[0] == "infos/cost"
    assert len(read(tmp_path / "dump.h5").dataset) == 12


def test_unsupported_actions_are_refused(tmp_path):
    spec = EnvironmentSpec(box(3), box(2, dtype="int32", low=0, high=100))
    with pytest.raises(SpecError, match=r"not int32 of shape \[2\]"):
        write(example(spec), tmp_path / "dump.h5", kind="d3rlpy")
    assert not list(tmp_path.iterdir())
