"""NumPy archives: each layout row for row, and the settings that they need."""

import zipfile

import numpy as np
import pytest
from real import real

from vinci_offline import DatasetError, UsageError
from vinci_offline.convert.conversion import read
from vinci_offline.data.assembly.logged import CUT
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.envs.wrapper import EnvWrapper

RNG = np.random.default_rng(0)


def archive(tmp_path, **arrays):
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


def told(**settings):
    return ImportOptions(settings=settings)


def test_ogbench_needs_reward_setting(tmp_path):
    observations, actions = RNG.random((7, 3), np.float32), RNG.random((7, 2), np.float32)
    ends = np.array([0, 0, 0, 1, 0, 0, 1.0])
    path = archive(tmp_path, observations=observations, actions=actions, terminals=ends, qpos=np.ones((7, 4)))
    with pytest.raises(UsageError, match=r"no rewards.*--set reward=zero"):
        read(path)
    imported = read(path, options=told(reward="zero"))
    columns = imported.dataset.columns
    np.testing.assert_array_equal(columns["observations"], observations[[0, 1, 2, 4, 5]])
    np.testing.assert_array_equal(columns["next_observations"], observations[[1, 2, 3, 5, 6]])
    np.testing.assert_array_equal(columns["actions"], actions[[0, 1, 2, 4, 5]])
    assert columns["infos/qpos"].shape == (5, 4)
    assert columns["timeouts"].tolist() == [False, False, True, False, True]
    assert not columns["terminals"].any()
    assert imported.dropped == {CUT: 2}


def test_imitation_trajectories(tmp_path):
    observations, actions = RNG.random((7, 3), np.float32), RNG.random((5, 2), np.float32)
    infos = np.array([{}] * 5, dtype=object)
    rewards, terminal = np.arange(5.0), np.array([True, False])
    path = archive(
        tmp_path, obs=observations, acts=actions, rews=rewards, terminal=terminal, indices=[2], infos=infos
    )
    imported = read(path)
    columns = imported.dataset.columns
    np.testing.assert_array_equal(columns["observations"], observations[[0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(columns["next_observations"], observations[[1, 2, 4, 5, 6]])
    assert imported.dataset.episode_columns["terminated"].tolist() == [True, False]
    assert imported.dataset.episode_columns["return"].tolist() == [1.0, 9.0]
    assert any(
        "infos was left out: it holds pickled Python objects" in decision for decision in imported.decisions
    )


def test_imitation_transitions(tmp_path):
    observations, following = RNG.random((4, 3), np.float32), RNG.random((4, 3), np.float32)
    following[0], following[2] = observations[1], observations[3]
    path = archive(
        tmp_path,
        obs=observations,
        acts=np.zeros((4, 2)),
        next_obs=following,
        dones=[False, False, False, True],
    )
    with pytest.raises(UsageError, match=r"no rews"):
        read(path)
    dataset = read(path, options=told(reward="zero")).dataset
    assert dataset.columns["timeouts"].tolist() == [False, True, False, False]
    assert dataset.columns["terminals"].tolist() == [False, False, False, True]


def test_wrong_indices_are_refused(tmp_path):
    path = archive(tmp_path, obs=np.zeros((7, 3)), acts=np.zeros((5, 2)), terminal=[True, True], indices=[9])
    with pytest.raises(DatasetError, match="do not cut obs, acts and terminal"):
        read(path, options=told(reward="zero"))


def test_unknown_names_are_asked_for(tmp_path):
    with pytest.raises(
        DatasetError, match=r"no array that is known to be the observation: .* there are apples"
    ):
        read(archive(tmp_path, apples=np.zeros(3)))


def test_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    with pytest.raises(DatasetError, match="obs holds pickled Python objects, and nothing is unpickled"):
        read(archive(tmp_path, obs=np.array([Trap()], dtype=object)))
    assert not (tmp_path / "sprung").exists()


def test_stable_baselines_cartpole():
    path = real("sb2_expert_cartpole.npz")
    with pytest.raises(UsageError, match=r"--ends terminal, timeout, or limit"):
        read(path)
    spec = EnvWrapper("CartPole-v1").environment_spec
    imported = read(path, options=ImportOptions(spec=spec, ends="limit"))
    table = imported.dataset.episode_columns
    timed_out = int(table["truncated"].sum())
    assert (len(imported.dataset), len(table["length"])) == (49_527 - timed_out, 100)
    assert imported.dropped == {CUT: timed_out}
    # Rewards are one a step: what is dropped is missing in the returns.
    assert table["return"].sum() == 49_527 - timed_out
    counted = ImportOptions(ends="limit", time_limit=500, settings={"actions": "2"})
    assert read(path, options=counted).dataset.spec.action_space.n == 2


def test_stable_baselines_pendulum():
    imported = read(real("sb2_expert_pendulum.npz"), options=ImportOptions(ends="limit", time_limit=200))
    assert imported.dropped == {CUT: 100}
    assert imported.dataset.episode_columns["length"].tolist() == [199] * 100
    whole = read(real("sb2_expert_pendulum.npz"), options=ImportOptions(ends="terminal")).dataset
    assert whole.episode_columns["return"].mean() == pytest.approx(-149.873, abs=5e-4)


def test_single_values_are_left_out(tmp_path):
    arrays = {"obs": np.zeros((4, 2)), "acts": np.zeros((3, 1)), "indices": np.zeros(0, int)}
    np.savez(tmp_path / "data.npz", terminal=np.bool_(True), **arrays)
    with pytest.raises(DatasetError, match="has no column reward: say which it is with --map"):
        read(tmp_path / "data.npz")


def test_array_that_claims_more_than_its_bytes_is_refused(tmp_path):
    arrays = {name: np.zeros(4) for name in ("observations", "actions", "rewards", "terminals")}
    with zipfile.ZipFile(tmp_path / "data.npz", "w") as archive:
        for name, values in arrays.items():
            with archive.open(f"{name}.npy", "w") as member:
                shape = (2**40,) if name == "rewards" else values.shape
                header = {"descr": "<f8", "fortran_order": False, "shape": shape}
                np.lib.format.write_array_header_1_0(member, header)
                member.write(values.tobytes())
    with pytest.raises(DatasetError, match="which 160 bytes cannot hold"):
        read(tmp_path / "data.npz")


def test_columns_of_fortran_order_are_read(tmp_path):
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(6, 3)).astype(np.float32)
    arrays = {"observations": np.asfortranarray(observations), "actions": np.zeros((6, 1), np.float32)}
    flags = {"rewards": np.zeros(6), "terminals": np.arange(6) == 5, "timeouts": np.zeros(6, bool)}
    np.savez_compressed(tmp_path / "data.npz", **arrays, **flags)
    found = read(tmp_path / "data.npz").dataset
    np.testing.assert_array_equal(found.columns["observations"], observations)
