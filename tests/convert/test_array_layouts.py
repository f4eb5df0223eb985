"""Arrays under the names and in the layouts of others: HDF5 files and NumPy archives."""

import h5py
import numpy as np
import pytest

from vinci_offline.convert.conversion import read
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError

LENGTHS = (4, 3, 5)
COUNT = sum(LENGTHS)
RNG = np.random.default_rng(0)
EPISODES = [
    {
        "obs": RNG.normal(size=(length + 1, 3)).astype(np.float32),
        "act": RNG.uniform(-1, 1, (length, 2)).astype(np.float32),
        "rew": RNG.normal(size=length).astype(np.float32),
    }
    for length in LENGTHS
]
OBSERVATIONS = np.concatenate([each["obs"][:-1] for each in EPISODES])
NEXT = np.concatenate([each["obs"][1:] for each in EPISODES])
ACTIONS = np.concatenate([each["act"] for each in EPISODES])
REWARDS = np.concatenate([each["rew"] for each in EPISODES])
LAST = np.cumsum(LENGTHS) - 1
ENDS = np.isin(np.arange(COUNT), LAST)
TERMINAL = ENDS & (np.arange(COUNT) != LAST[1])
FLAT = {"obs": OBSERVATIONS, "act": ACTIONS, "rew": REWARDS, "next_obs": NEXT}


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, values in arrays.items():
            file[name] = values
    return path


def write(kind, folder, arrays):
    if kind == "npz":
        np.savez(folder / "data.npz", **arrays)
        return folder / "data.npz"
    return hdf5(folder / "data.h5", **arrays)


def check(imported, *, terminal=TERMINAL):
    """Compare every row with what was written."""
    columns = imported.dataset.columns
    np.testing.assert_array_equal(columns["observations"], OBSERVATIONS)
    np.testing.assert_array_equal(columns["next_observations"], NEXT)
    np.testing.assert_array_equal(columns["actions"], ACTIONS)
    np.testing.assert_array_equal(columns["rewards"], REWARDS)
    np.testing.assert_array_equal(columns["terminals"], terminal)
    np.testing.assert_array_equal(columns["timeouts"], ENDS & ~terminal)
    assert imported.dataset.episodes["length"].tolist() == list(LENGTHS)


both = pytest.mark.parametrize("kind", ["hdf5", "npz"])


@both
def test_known_names_are_recognised_and_said(kind, tmp_path):
    path = write(
        kind, tmp_path, {**FLAT, "terminated": TERMINAL, "truncated": ENDS & ~TERMINAL, "costs": REWARDS}
    )
    imported = read(path)
    check(imported)
    np.testing.assert_array_equal(imported.dataset.columns["infos/costs"], REWARDS)
    said = "obs is the observation, act is the action, rew is the reward, next_obs is the next_observation"
    assert said in "\n".join(imported.decisions)


@both
def test_mapping_names_arrays(kind, tmp_path):
    arrays = {"x": OBSERVATIONS[:, :2], "y": OBSERVATIONS[:, 2:], "u": ACTIONS, "gain": REWARDS[:, None]}
    path = write(kind, tmp_path, {**arrays, "then": NEXT, "over": TERMINAL, "late": ENDS & ~TERMINAL})
    columns = {
        "observation": "x,y",
        "action": "u",
        "reward": "gain",
        "next_observation": "then",
        "terminal": "over",
        "timeout": "late",
    }
    check(read(path, options=ImportOptions(columns=columns)))
    with pytest.raises(
        DatasetError, match=r"no array that is known to be the observation: say which .* there are"
    ):
        read(path)


@both
def test_done_alone_does_not_say_how_an_episode_ended(kind, tmp_path):
    path = write(kind, tmp_path, {"obs": OBSERVATIONS, "actions": ACTIONS, "rewards": REWARDS, "dones": ENDS})
    with pytest.raises(UsageError, match="terminated or ran out of time: say --ends"):
        read(path)
    found = read(path, options=ImportOptions(ends="terminal")).dataset.columns
    np.testing.assert_array_equal(found["terminals"], ENDS)
    np.testing.assert_array_equal(found["next_observations"][~ENDS], NEXT[~ENDS])


@both
def test_done_beside_a_terminal_or_a_timeout_says_it(kind, tmp_path):
    check(read(write(kind, tmp_path, {**FLAT, "dones": ENDS, "terminals": TERMINAL})))
    check(read(write(kind, tmp_path, {**FLAT, "dones": ENDS, "timeouts": ENDS & ~TERMINAL})))


def test_row_that_is_not_done_cuts_its_episode(tmp_path):
    done = ENDS.copy()
    done[-1] = False
    path = hdf5(tmp_path / "a.h5", **FLAT, dones=done)
    imported = read(path, options=ImportOptions(ends="terminal"))
    assert imported.dataset.columns["timeouts"][-1]
    assert "1 episodes end in a row that is not done: they were cut there" in imported.decisions


@pytest.mark.parametrize(
    "name", ["demo_{}/obs", "traj_{}/obs", "episode_{}/obs", "data/ep{}/obs", "{}/obs", "run/{}/obs"]
)
def test_group_an_episode(name, tmp_path):
    arrays = {}
    for number, each in enumerate(EPISODES):
        group = name.format(number + 8)[:-3]  # 8, 9, 10: in the order of numbers, not of texts
        arrays |= {
            f"{group}obs": each["obs"],
            f"{group}actions": each["act"],
            f"{group}rewards": each["rew"],
            f"{group}terminated": number != 1,
            f"{group}success": np.arange(len(each["rew"])),
            f"{group}difficulty": 0.5,
        }
    if name.startswith("demo"):
        arrays["env"] = np.zeros(3)
    imported = read(hdf5(tmp_path / "a.h5", **arrays))
    check(imported)
    assert imported.dataset.columns["infos/success"][:5].tolist() == [0, 1, 2, 3, 0]
    assert any("difficulty were left out" in line for line in imported.decisions)


@both
def test_array_an_episode(kind, tmp_path):
    arrays = {}
    for number, each in enumerate(EPISODES):
        arrays |= {
            f"observations_{number}": each["obs"],
            f"actions_{number}": each["act"],
            f"rewards_{number}": each["rew"],
        }
    imported = read(write(kind, tmp_path, arrays), options=ImportOptions(ends="limit", time_limit=5))
    check(imported, terminal=ENDS & (np.arange(COUNT) != LAST[2]))


@pytest.mark.parametrize("template", ["run_{}/x", "x-{}", "part{}.x"])
def test_mapping_with_an_episode_wildcard(template, tmp_path):
    arrays = {}
    for number, each in enumerate(EPISODES):
        values = (("x", each["obs"]), ("u", each["act"]), ("r", each["rew"]))
        arrays |= {template.format(number).replace("x", name): array for name, array in values}
    roles = (("observation", "x"), ("action", "u"), ("reward", "r"))
    columns = {role: template.replace("{}", "{episode}").replace("x", name) for role, name in roles}
    options = ImportOptions(columns=columns, ends="terminal")
    check(read(hdf5(tmp_path / "a.h5", **arrays), options=options), terminal=ENDS)


def test_episode_without_its_final_observation(tmp_path):
    arrays = {}
    for number, each in enumerate(EPISODES):
        arrays |= {f"ep_{number}/obs": each["obs"][:-1], f"ep_{number}/actions": each["act"]}
    path = hdf5(tmp_path / "a.h5", **arrays)
    imported = read(path, options=ImportOptions(ends="timeout", settings={"reward": "zero"}))
    np.testing.assert_array_equal(imported.dataset.columns["observations"], OBSERVATIONS[~ENDS])
    assert imported.dropped == {"last rows of episodes that timed out, without a next observation": 3}


@both
@pytest.mark.parametrize("told", ["lengths", "mask"])
def test_padded_arrays(kind, told, tmp_path):
    most = max(LENGTHS)
    arrays = {
        "observations": np.full((3, most + 1, 3), 9, np.float32),
        "actions": np.full((3, most, 2), 9, np.float32),
        "rewards": np.full((3, most), 9, np.float32),
        "terminals": np.zeros((3, most), np.bool_),
        "timeouts": np.zeros((3, most), np.bool_),
        "task": np.arange(3),
    }
    for number, (length, each) in enumerate(zip(LENGTHS, EPISODES, strict=True)):
        arrays["observations"][number, : length + 1] = each["obs"]
        arrays["actions"][number, :length] = each["act"]
        arrays["rewards"][number, :length] = each["rew"]
        arrays["timeouts" if number == 1 else "terminals"][number, length - 1] = True
    path = write(kind, tmp_path, arrays)
    with pytest.raises(
        UsageError, match="arrays of 3 episodes x 5 steps, and nothing tells how long each is"
    ):
        read(path)
    mask = np.arange(most) < np.array(LENGTHS)[:, None]
    extra = {"lengths": np.array(LENGTHS)} if told == "lengths" else {"mask": mask}
    check(read(write(kind, tmp_path, {**arrays, **extra})))
    odd = write(kind, tmp_path, {**arrays, "odd": next(iter(extra.values()))})
    check(read(odd, options=ImportOptions(columns={told.removesuffix("s"): "odd"})))


def test_full_padded_arrays(tmp_path):
    rows = {"obs": RNG.normal(size=(2, 4, 3)), "actions": np.zeros((2, 4, 1)), "rewards": np.ones((2, 4))}
    path = hdf5(tmp_path / "a.h5", **rows)
    options = ImportOptions(ends="terminal", settings={"padding": "none"})
    assert read(path, options=options).dataset.episodes["length"].tolist() == [4, 4]


@both
def test_arrays_the_other_way_round(kind, tmp_path):
    arrays = {name: values.T if values.ndim > 1 else values[None] for name, values in FLAT.items()}
    flags = {"terminals": TERMINAL[None], "timeouts": (ENDS & ~TERMINAL)[None], "weights": np.zeros((3, 3))}
    imported = read(write(kind, tmp_path, {**arrays, **flags}))
    check(imported)
    assert any("they were turned" in line for line in imported.decisions)
    assert any("weights was left out" in line for line in imported.decisions)


def test_arrays_of_one_group(tmp_path):
    flags = {"terminated": TERMINAL, "truncated": ENDS & ~TERMINAL}
    arrays = {f"replay/{name}": values for name, values in {**FLAT, **flags}.items()}
    check(read(hdf5(tmp_path / "a.h5", **arrays)))
    more = {f"test/{name}": values for name, values in FLAT.items()}
    path = hdf5(tmp_path / "b.h5", **arrays, **more)
    with pytest.raises(
        UsageError, match="several groups of transitions, replay, test: choose one with --map"
    ):
        read(path)
    columns = {
        role: f"replay/{name}" for role, name in zip(["observation", "action"], ["obs", "act"], strict=True)
    }
    columns |= {"reward": "replay/rew", "next_observation": "replay/next_obs"}
    columns |= {"terminal": "replay/terminated", "timeout": "replay/truncated"}
    check(read(path, options=ImportOptions(columns=columns)))


def test_dict_observations(tmp_path):
    parts = {"obs/arm": OBSERVATIONS[:, :2], "obs/goal": OBSERVATIONS[:, 2:], "actions": ACTIONS}
    path = hdf5(tmp_path / "a.h5", **parts, rewards=REWARDS, terminals=ENDS)
    found = read(path, options=ImportOptions(ends="terminal")).dataset.columns
    np.testing.assert_array_equal(found["observations/goal"], OBSERVATIONS[:, 2:])
    np.testing.assert_array_equal(found["next_observations/arm"][~ENDS], NEXT[~ENDS][:, :2])


def test_image_observations_stay_images(tmp_path):
    images = RNG.integers(0, 255, (COUNT, 4, 5, 3), dtype=np.uint8)
    arrays = {"obs": images, "next_obs": images, "actions": ACTIONS, "rewards": REWARDS}
    path = hdf5(tmp_path / "a.h5", **arrays, terminals=ENDS, timeouts=ENDS & False)
    for columns in ({}, {"observation": "obs"}):
        found = read(path, options=ImportOptions(columns=columns)).dataset.columns
        assert found.dtype("observations") == np.uint8
        np.testing.assert_array_equal(found["observations"], images)


def test_two_names_for_one_role_are_asked_for(tmp_path):
    arrays = {"obs": OBSERVATIONS, "states": OBSERVATIONS, "actions": ACTIONS, "rewards": REWARDS}
    path = hdf5(tmp_path / "a.h5", **arrays, terminals=ENDS)
    with pytest.raises(
        DatasetError, match="obs and states could both be the observation: say which it is with --map"
    ):
        read(path)
    options = ImportOptions(ends="terminal", columns={"observation": "obs"})
    np.testing.assert_array_equal(read(path, options=options).dataset.columns["observations"], OBSERVATIONS)


def test_bad_episode_refuses_the_file_or_is_skipped(tmp_path):
    arrays = {}
    for number, each in enumerate(EPISODES):
        short = each["obs"][:-2] if number == 1 else each["obs"]
        arrays |= {
            f"ep_{number}/obs": short,
            f"ep_{number}/actions": each["act"],
            f"ep_{number}/rewards": each["rew"],
        }
    path = hdf5(tmp_path / "a.h5", **arrays)
    with pytest.raises(DatasetError, match=r"ep_1 has 3 actions and 2 rows of obs \(--skip-bad leaves out"):
        read(path, options=ImportOptions(ends="terminal"))
    imported = read(path, options=ImportOptions(ends="terminal", skip_bad=True))
    assert imported.dataset.episodes["length"].tolist() == [4, 5]
    assert imported.dropped == {"bad episodes, as --skip-bad says": 1}
    assert "the first bad episode: ep_1 has 3 actions and 2 rows of obs" in imported.decisions


def test_file_of_bad_episodes_is_refused(tmp_path):
    arrays = {}
    for number, each in enumerate(EPISODES):
        arrays |= {
            f"ep_{number}/obs": each["obs"][: 1 if number else None],
            f"ep_{number}/actions": each["act"],
        }
    options = ImportOptions(ends="terminal", skip_bad=True, settings={"reward": "zero"})
    with pytest.raises(DatasetError, match="2 of 3 episodes are bad, too many to skip; "):
        read(hdf5(tmp_path / "a.h5", **arrays), options=options)


def test_d4rl_keeps_columns_that_are_not_its_own(tmp_path):
    arrays = {"observations": OBSERVATIONS, "actions": ACTIONS, "rewards": REWARDS, "terminals": TERMINAL}
    arrays |= {"timeouts": ENDS & ~TERMINAL, "next_observations": NEXT, "costs": REWARDS * 2}
    path = hdf5(
        tmp_path / "a.hdf5", **arrays, **{"env/goal": OBSERVATIONS, "seeds": np.arange(3), "note": "by hand"}
    )
    imported = read(path, kind="d4rl")
    check(imported)
    np.testing.assert_array_equal(imported.dataset.columns["infos/costs"], REWARDS * 2)
    np.testing.assert_array_equal(imported.dataset.columns["infos/env/goal"], OBSERVATIONS)
    said = "\n".join(imported.decisions)
    assert "costs is no column of D4RL's: it became infos/costs" in said
    assert "note was left out: it is a single value\nseeds was left out: it has 3 rows, not 12" in said


@both
def test_mapping_of_a_file_with_d4rl_names_is_applied(kind, tmp_path):
    arrays = {"observations": OBSERVATIONS, "actions": ACTIONS, "rewards": REWARDS, "terminals": TERMINAL}
    arrays |= {"timeouts": ENDS & ~TERMINAL, "next_observations": NEXT, "costs": -REWARDS}
    path = write(kind, tmp_path, arrays)
    imported = read(path, options=ImportOptions(columns={"reward": "costs", "price": "rewards"}))
    np.testing.assert_array_equal(imported.dataset.columns["rewards"], -REWARDS)
    np.testing.assert_array_equal(imported.dataset.columns["infos/price"], REWARDS)
    if kind == "hdf5":
        with pytest.raises(UsageError, match="a D4RL flat HDF5 file has names of its own: say --from hdf5"):
            read(path, kind="d4rl", options=ImportOptions(columns={"reward": "costs"}))


def test_npz_keeps_arrays_that_are_not_of_its_layout(tmp_path):
    arrays = {"observations": OBSERVATIONS, "actions": ACTIONS, "rewards": REWARDS, "terminals": TERMINAL}
    arrays |= {
        "timeouts": ENDS & ~TERMINAL,
        "next_observations": NEXT,
        "costs": REWARDS * 2,
        "seeds": np.arange(3),
    }
    imported = read(write("npz", tmp_path, arrays))
    check(imported)
    np.testing.assert_array_equal(imported.dataset.columns["infos/costs"], REWARDS * 2)
    assert "seeds were left out: they have no row a step" in imported.decisions
