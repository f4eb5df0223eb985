"""robomimic's demonstrations: import of files like its own, and export."""

import json

import h5py
import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, discrete_spec, make_columns
from real import real

from vinci_offline import Dataset, DatasetError, UsageError
from vinci_offline.convert.conversion import read, write
from vinci_offline.data.assembly.logged import CUT
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import SpecError
from vinci_offline.spec import DictSpace, EnvironmentSpec

LENGTHS, TERMINATED = [5, 3, 1, 4], [True, False, False, True]
NAMED = EnvironmentSpec(DictSpace({"eef": box(3), "object": box(5)}), box(2, low=-1, high=1))


def example(spec, infos=()):
    return Dataset.from_columns(make_columns(spec, LENGTHS, terminated=TERMINATED, infos=infos), spec)


@pytest.fixture
def demos(tmp_path):
    """Write a file as robomimic's scripts do: float64, states, env_args, two demonstrations of three in a mask."""
    path, rng = tmp_path / "demos.hdf5", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["mask/train"] = np.array(["demo_10", "demo_2"], "S")
        for name, rows in (("demo_0", 3), ("demo_10", 4), ("demo_2", 2)):
            demo = file.create_group(f"data/{name}")
            demo.attrs["num_samples"], demo.attrs["model_file"] = rows, "<mujoco/>"
            for key, size in (("eef", 3), ("object", 5)):
                observed = rng.normal(size=(rows + 1, size))
                demo[f"obs/{key}"], demo[f"next_obs/{key}"] = observed[:-1], observed[1:]
            demo["actions"], demo["states"] = rng.uniform(-1, 1, (rows, 2)), rng.normal(size=(rows, 9))
            demo["rewards"], demo["dones"] = np.arange(rows) / 2, np.arange(rows) == rows - 1
        file["data"].attrs["total"] = 9
        file["data"].attrs["env_args"] = json.dumps({"env_name": "Lift", "type": 1, "env_kwargs": {}})
    return path


def edit(path, change):
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def without(path, name):
    return edit(path, lambda file: [file["data"][demo].pop(name) for demo in file["data"]])


def test_export_has_env_args(tmp_path):
    write(example(continuous_spec()), tmp_path / "demos.hdf5", kind="robomimic")
    with h5py.File(tmp_path / "demos.hdf5") as file:
        told = json.loads(file["data"].attrs["env_args"])
        assert told == {"env_name": "Test-v0", "type": 2, "env_kwargs": {}}
        assert file["data"].attrs["total"] == 13
    assert read(tmp_path / "demos.hdf5").dataset.spec.id == "Test-v0"


def test_roundtrip_of_observations_and_infos(tmp_path):
    for spec in (continuous_spec(), dict_spec()):
        dataset = example(spec, infos=["cost"])
        write(dataset, tmp_path / "demos.hdf5", kind="robomimic", overwrite=True)
        found = read(tmp_path / "demos.hdf5", options=ImportOptions(spec)).dataset
        for path in dataset.columns:
            np.testing.assert_array_equal(found.columns[path], dataset.columns[path], err_msg=path)


def test_import_of_robomimic_file(demos):
    imported = read(demos)
    assert not imported.dropped
    found = imported.dataset
    assert found.episode_columns["length"].tolist() == [3, 2, 4]
    assert found.episode_columns["terminated"].all()
    assert found.attributes["env_args"]["env_name"] == "Lift"
    assert found.spec.id is None
    with h5py.File(demos) as file:
        parts = [file["data"][name] for name in ("demo_0", "demo_2", "demo_10")]
        for path, name in (
            ("observations/eef", "obs/eef"),
            ("next_observations/object", "next_obs/object"),
            ("actions", "actions"),
            ("rewards", "rewards"),
        ):
            expected = np.concatenate([part[name][()] for part in parts]).astype(np.float32)
            np.testing.assert_array_equal(found.columns[path], expected, err_msg=path)
    assert any("states were left out" in decision for decision in imported.decisions)


def test_mask_and_observations_settings(demos):
    settings = {"mask": "train", "observations": "object"}
    found = read(demos, options=ImportOptions(settings=settings)).dataset
    assert found.episode_columns["length"].tolist() == [2, 4]
    assert found.columns.shape("observations") == (6, 5)
    with pytest.raises(UsageError, match="no mask valid: there are train"):
        read(demos, options=ImportOptions(settings={"mask": "valid"}))
    with pytest.raises(UsageError, match="observes no image: there are eef, object"):
        read(demos, options=ImportOptions(settings={"observations": "image"}))


def test_spec_chooses_observations(demos):
    one = EnvironmentSpec(DictSpace({"eef": box(3)}), box(2, low=-1, high=1))
    imported = read(demos, options=ImportOptions(one))
    assert not any(path.startswith("observations/object") for path in imported.dataset.columns)
    assert any("obs object were left out" in decision for decision in imported.decisions)
    with pytest.raises(SpecError, match="has no observations/car/gear"):
        read(demos, options=ImportOptions(dict_spec()))
    with pytest.raises(SpecError, match="--set observations=KEY"):
        read(demos, options=ImportOptions(continuous_spec()))


def test_inner_dones_end_episodes_without_ends_option(demos):
    def succeed(file):
        file["data/demo_10/dones"][2] = True
        file["data/demo_0/dones"][2] = False

    edit(demos, succeed)
    imported = read(demos)
    table = imported.dataset.episode_columns
    assert table["length"].tolist() == [3, 2, 3, 1]
    assert table["terminated"].tolist() == [False, True, True, True]
    assert any("1 dones lie before the end" in decision for decision in imported.decisions)
    whole = read(demos, options=ImportOptions(ends="timeout"))
    assert whole.dataset.episode_columns["truncated"].tolist() == [True] * 3
    assert any(decision.endswith("dones are passed over") for decision in whole.decisions)


def test_missing_dones_and_rewards_need_options(demos):
    with pytest.raises(UsageError, match="--ends terminal"):
        read(without(demos, "dones"))
    with pytest.raises(UsageError, match="--set reward=zero"):
        read(without(demos, "rewards"))
    options = ImportOptions(ends="limit", time_limit=4, settings={"reward": "zero"})
    found = read(demos, options=options).dataset
    assert found.episode_columns["terminated"].tolist() == [True, True, False]
    assert not found.columns["rewards"].any()


def test_next_observations_come_from_following_row(demos):
    without(demos, "next_obs")
    edit(demos, lambda file: file["data/demo_0/dones"].write_direct(np.zeros(3, bool)))
    imported = read(demos)
    assert imported.dropped == {CUT: 1}
    columns = imported.dataset.columns
    np.testing.assert_array_equal(columns["next_observations/eef"][0], columns["observations/eef"][1])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("actions", None, r"data/demo_2/actions is missing"),
        ("obs/eef", None, r"data/demo_2/obs/eef is missing"),
        ("next_obs/eef", np.ones((7, 3)), r"demo_2 has columns of no or unequal lengths"),
        ("actions", np.ones((2, 6)), r"actions of demo_2 is of shape \[6\], of demo_0 of shape \[2\]"),
        ("dones", np.full(2, 3), r"data/demo_2/dones row 0 is neither 0 nor 1"),
        ("rewards", np.ones((2, 2)), r"data/demo_2/rewards have shape \(2, 2\)"),
    ],
)
def test_damage_is_one_line(demos, name, value, message):
    def change(file):
        del file[f"data/demo_2/{name}"]
        if value is not None:
            file[f"data/demo_2/{name}"] = value

    edit(demos, change)
    with pytest.raises(DatasetError, match=message) as caught:
        read(demos)
    assert "\n" not in str(caught.value)


def test_discrete_actions_are_refused(tmp_path):
    with pytest.raises(SpecError, match="vectors of floats"):
        write(example(discrete_spec()), tmp_path / "demos.hdf5", kind="robomimic")
    assert not list(tmp_path.iterdir())


def test_raw_robosuite_demonstrations_are_refused():
    with pytest.raises(
        DatasetError, match=r"demo_1 has actions, states, but no obs: .*dataset_states_to_obs"
    ):
        read(real("robosuite_lift_demo.hdf5"))
