"""The real robomimic: we read its files transition for transition, and its loader reads ours."""

import runpy
import sys
from types import ModuleType, SimpleNamespace

import h5py
import numpy as np
import pytest
from data_examples import box, continuous_spec, make_columns
from peers import with_torchvision

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.spec import DictSpace, EnvironmentSpec

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]
pytest.importorskip("robomimic")
with_torchvision()

LENGTHS, TERMINATED = [5, 3, 1, 4], [True, False, False, True]
NAMED = EnvironmentSpec(DictSpace({"eef": box(3), "object": box(5)}), box(2, low=-1, high=1))
KEYS = {"flat": {"flat": ""}, "named": {"eef": "/eef", "object": "/object"}}
SPECS = {"flat": continuous_spec(), "named": NAMED}


def example(spec):
    return Dataset.from_columns(make_columns(spec, LENGTHS, terminated=TERMINATED), spec)


def load(path, keys, mask=None):
    """Load robomimic's own dataset of the file."""
    from robomimic.utils import obs_utils
    from robomimic.utils.dataset import SequenceDataset

    obs_utils.initialize_obs_utils_with_obs_specs({"obs": {"low_dim": keys}})
    return SequenceDataset(
        str(path),
        keys,
        ("actions", "rewards", "dones"),
        hdf5_use_swmr=False,
        load_next_obs=True,
        filter_by_attribute=mask,
    )


def assert_same(dataset, found, keys):
    """Check that each transition of robomimic's dataset is a row, and each demonstration an episode."""
    columns = dataset.columns
    assert len(found) == len(dataset)
    for row in range(len(found)):
        each = found[row]
        for key, path in keys.items():
            np.testing.assert_array_equal(each["obs"][key][0], columns[f"observations{path}"][row])
            np.testing.assert_array_equal(each["next_obs"][key][0], columns[f"next_observations{path}"][row])
        np.testing.assert_array_equal(each["actions"][0], columns["actions"][row])
        assert each["rewards"][0] == columns["rewards"][row]
        assert each["dones"][0] == columns["terminals"][row]
    returns = [np.sum(found.get_dataset_for_ep(demo, "rewards")) for demo in found.demos]
    assert returns == pytest.approx(dataset.episode_columns["return"].tolist(), rel=1e-5)


@pytest.mark.parametrize("name", SPECS)
def test_robomimic_loads_our_transitions(name, tmp_path):
    dataset = example(SPECS[name])
    write(dataset, tmp_path / "demos.hdf5", kind="robomimic")
    found = load(tmp_path / "demos.hdf5", list(KEYS[name]))
    assert found.n_demos == 4
    assert_same(dataset, found, KEYS[name])


def test_masks_match_robomimic(tmp_path):
    from robomimic.scripts.split_train_val import split_train_val_from_hdf5

    path = tmp_path / "demos.hdf5"
    write(example(NAMED), path, kind="robomimic")
    split_train_val_from_hdf5(str(path), val_ratio=0.5)
    for mask in ("train", "valid"):
        imported = read(path, options=ImportOptions(NAMED, settings={"mask": mask}))
        assert len(imported.dataset.episode_columns["length"]) == 2
        assert_same(imported.dataset, load(path, list(KEYS["named"]), mask), KEYS["named"])


def test_import_of_robomimic_d4rl_conversion(tmp_path, monkeypatch):
    """Read a file that lacks the last row, marks every end as done, and repeats the observation at ends."""
    import gym

    dataset = example(SPECS["flat"])
    write(dataset, tmp_path / "data.hdf5", kind="d4rl")
    with h5py.File(tmp_path / "data.hdf5") as file:
        columns = {
            name: file[name][()] for name in ("observations", "actions", "rewards", "terminals", "timeouts")
        }
    maker = SimpleNamespace(get_dataset=lambda: columns)
    made = SimpleNamespace(env=maker, close=lambda: None)
    d4rl = ModuleType("d4rl")
    d4rl.set_dataset_path = lambda folder: None
    monkeypatch.setitem(sys.modules, "d4rl", d4rl)
    monkeypatch.setattr(gym, "make", lambda name: made)
    monkeypatch.setattr(sys, "argv", ["convert_d4rl", "--env", "walk-v2", "--folder", str(tmp_path)])
    runpy.run_module("robomimic.scripts.conversion.convert_d4rl", run_name="__main__")
    path = tmp_path / "d4rl" / "converted" / "walk_v2.hdf5"
    imported = read(path)
    assert_same(imported.dataset, load(path, ["flat"]), KEYS["flat"])
    assert not imported.dropped
    assert imported.dataset.episode_columns["length"].tolist() == [5, 3, 1]
    np.testing.assert_array_equal(
        imported.dataset.columns["observations"], dataset.columns["observations"][:9]
    )
    assert imported.dataset.spec.id == "walk-v2"
