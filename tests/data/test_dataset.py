from __future__ import annotations

import h5py
import numpy as np
import pytest
from data_examples import box, continuous_spec, dict_spec, discrete_spec, make_columns

from vinci_offline import Dataset, DatasetError, EnvironmentSpec, SpecError, UsageError
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.spec import DictSpace, DiscreteSpace


@pytest.fixture
def saved(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [4, 3, 5], terminated=[True, False, False], infos=["speed"])
    with DatasetWriter(tmp_path / "d.h5", spec, attributes={"policy": "random", "seed": 1}) as writer:
        writer.append(columns, {"length": [4, 3, 5], "seed": [10, 11, 12]})
    return Dataset.open(tmp_path / "d.h5")


def test_columns_are_read_once_at_first_access(saved, monkeypatch):
    reads = []
    original = h5py.Dataset.__getitem__
    monkeypatch.setattr(
        h5py.Dataset, "__getitem__", lambda self, key: (reads.append(self.name), original(self, key))[1]
    )
    dataset = Dataset.open(saved.path)
    (
        len(dataset),
        dataset.spec,
        dataset.attributes,
        dataset.hash,
        list(dataset.columns),
        dataset.columns.shape("actions"),
    )
    dataset.select_episodes([0]), dataset.rows(slice(3)), Dataset.concatenate([dataset, dataset])
    assert [name for name in reads if not name.startswith("/metadata")] == []
    for _ in range(2):
        for path in dataset.columns:
            dataset.columns[path]
    assert sorted(name for name in reads if not name.startswith("/metadata")) == sorted(
        f"/{path}" for path in dataset.columns
    )


def test_the_file_is_closed_between_reads(saved):
    saved.columns["rewards"]
    with h5py.File(
        saved.path, "r+"
    ) as file:  # fails where anyone in this process still has it open for reading
        assert file.mode == "r+"


def test_replaced_file_is_not_mixed_with_the_old_one(saved):
    old = Dataset.open(saved.path)
    old.columns["rewards"]
    saved.rows(slice(2)).save(saved.path, overwrite=True)
    with pytest.raises(DatasetError, match="was changed since it was opened: open it again"):
        old.columns["actions"]
    assert len(old.columns["rewards"]) == 12


def test_columns_cannot_be_written(saved):
    with pytest.raises(ValueError, match="read-only"):
        saved.columns["rewards"][0] = 1
    with pytest.raises(TypeError):
        saved.columns["rewards"] = np.zeros(12)
    with pytest.raises(ValueError, match="read-only"):
        saved.rows(slice(2)).columns["rewards"][0] = 1


def test_columns_come_in_file_order(saved):
    expected = [
        "observations",
        "actions",
        "rewards",
        "next_observations",
        "terminals",
        "timeouts",
        "infos/speed",
    ]
    assert list(saved.columns) == expected
    with pytest.raises(KeyError):
        saved.columns["nothing"]


def test_hash_of_a_view(saved, tmp_path):
    view = saved.select_episodes(slice(1, 3))
    assert view.hash != saved.hash
    assert view.save(tmp_path / "view.h5").hash == view.hash


def test_selected_episodes(saved):
    for chosen in ([2, 0], [-1, 0], np.array([2, 0])):
        view = saved.select_episodes(chosen)
        rows = [7, 8, 9, 10, 11, 0, 1, 2, 3]
        np.testing.assert_array_equal(view.columns["observations"], saved.columns["observations"][rows])
        assert view.episodes["start"].tolist() == [0, 5]
        assert view.episodes["length"].tolist() == [5, 4]
        assert view.episodes["seed"].tolist() == [12, 10]
        assert view.path is None
    masked = saved.select_episodes(saved.episodes["terminated"].to_numpy())
    assert len(masked) == 4


def test_a_slice_of_episodes_shares_memory(saved):
    view = saved.select_episodes(slice(1, None))
    assert np.shares_memory(view.columns["observations"], saved.columns["observations"])
    assert len(view) == 8


def test_selected_rows_are_pieces_of_episodes(saved):
    view = saved.rows([0, 1, 3, 4, 5, 2])
    np.testing.assert_array_equal(view.columns["rewards"], saved.columns["rewards"][[0, 1, 3, 4, 5, 2]])
    assert view.episodes["length"].tolist() == [2, 1, 2, 1]
    assert view.episodes["terminated"].tolist() == [False, True, False, False]
    assert view.episodes["truncated"].tolist() == [True, False, True, True]
    assert view.columns["timeouts"].tolist() == [False, True, False, False, True, True]
    assert view.episodes["fragment"].all()
    assert view.episodes["return"].isna().all()
    rewards = saved.columns["rewards"].astype(float)
    sums = [rewards[:2].sum(), rewards[3], rewards[4:6].sum(), rewards[2]]
    np.testing.assert_allclose(view.episode_columns["return"], sums)


def test_piece_inherits_facts_of_its_episode(saved):
    view = saved.rows([1, 2, 4, 6, 11])
    assert view.episodes["length"].tolist() == [2, 1, 1, 1]
    assert view.episodes["seed"].tolist() == [10, 11, 11, 12]


def test_views_of_views(saved):
    view = saved.rows(slice(2, 10)).rows([7, 0]).rows(slice(1, 2))
    np.testing.assert_array_equal(view.columns["rewards"], saved.columns["rewards"][2:3])
    strided = saved.rows(slice(None, None, -5))
    np.testing.assert_array_equal(strided.columns["rewards"], saved.columns["rewards"][::-5])


@pytest.mark.parametrize("method", ["rows", "select_episodes"])
def test_wrong_selections_are_refused(saved, method):
    select = getattr(saved, method)
    with pytest.raises(DatasetError, match=r"there is no .* 99"):
        select([99])
    with pytest.raises(DatasetError, match="cannot be empty"):
        select([])
    with pytest.raises(DatasetError, match="cannot be empty"):
        select(slice(5, 5))
    with pytest.raises(DatasetError, match="must be whole"):
        select([0.5])
    with pytest.raises(UsageError, match="numbers must be a slice, a list or an array, not 3"):
        select(3)
    with pytest.raises(DatasetError, match="a mask of shape"):
        select(np.ones(2, bool))


def test_concatenation_of_views_names_parents(saved):
    view = saved.select_episodes([2])
    both = Dataset.concatenate([view, saved])
    assert len(both) == 5 + 12
    np.testing.assert_array_equal(both.columns["rewards"][:5], saved.columns["rewards"][7:])
    np.testing.assert_array_equal(both.columns["rewards"][5:], saved.columns["rewards"])
    assert both.episodes["start"].tolist() == [0, 5, 9, 12]
    assert both.episodes["seed"].tolist() == [12, 10, 11, 12]
    assert both.attributes["parents"] == [view.hash, saved.hash]
    assert both.attributes["policy"] == "random"
    assert both.spec == saved.spec


def test_with_attributes_adds_and_replaces(saved):
    view = saved.rows([0, 1]).with_attributes({"policy": "mine", "note": {"a": 1}})
    assert (view.attributes["policy"], view.attributes["seed"], view.attributes["note"]) == (
        "mine",
        1,
        {"a": 1},
    )
    assert view.attributes["parents"] == [saved.hash]
    assert view.with_attributes({"parents": ["else"]}).attributes["parents"] == ["else"]
    same = saved.with_attributes({"note": 1})
    assert (same.path, same.hash) == (saved.path, saved.hash)
    assert same == saved


def test_concatenation_leaves_out_unlike_infos(saved):
    columns = {**saved.columns, "infos/speed": np.zeros((12, 2), np.float32)}
    both = Dataset.concatenate([saved, Dataset.from_columns(columns, saved.spec)])
    assert "infos/speed" not in both.columns


def test_concatenation_keeps_shared_attributes(saved):
    other = Dataset.from_columns(
        make_columns(continuous_spec(), [2]), EnvironmentSpec(box(3), saved.spec.action_space, id="Other-v0")
    )
    both = Dataset.concatenate([saved, other])
    assert "infos/speed" not in both.columns
    assert both.spec.id is None
    assert "policy" not in both.attributes
    assert "seed" not in both.episodes


def test_unlike_spaces_are_refused(saved):
    narrow = EnvironmentSpec(box(2), saved.spec.action_space)
    loose = EnvironmentSpec(box(3), box(2, low=-2, high=2))
    for spec, name, why in (
        (narrow, "observation space", r"Box float32 \(2,\) against float32 \(3,\)"),
        (loose, "action space", "the bounds differ"),
    ):
        other = Dataset.from_columns(make_columns(spec, [2]), spec)
        with pytest.raises(SpecError, match=rf"dataset 1 cannot join .*: another {name} \({why}\)"):
            Dataset.concatenate([saved, other])
    with pytest.raises(DatasetError, match="no datasets"):
        Dataset.concatenate([])


def test_blocks_of_a_concatenation_are_its_rows(saved, monkeypatch):
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", 50)
    fresh = Dataset.concatenate([Dataset.open(saved.path), Dataset.open(saved.path).rows([3, 1]), saved])
    blocks = [block for _, block in fresh.columns.blocks("observations")]
    assert len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate(blocks), fresh.columns["observations"])
    assert fresh.compute_hash() == Dataset.concatenate([saved, saved.rows([3, 1]), saved]).compute_hash()


def test_equality(saved):
    assert saved == Dataset.open(saved.path)
    columns = dict(saved.columns)
    assert saved == Dataset.from_columns(columns, saved.spec)
    changed = {**columns, "rewards": columns["rewards"] + 1}
    assert saved != Dataset.from_columns(changed, saved.spec)
    assert saved != Dataset.from_columns(
        columns, EnvironmentSpec(box(3), saved.spec.action_space, id="Other-v0")
    )
    assert saved != Dataset.from_columns({k: v for k, v in columns.items() if k != "infos/speed"}, saved.spec)
    nan = {**columns, "infos/speed": np.full(12, np.nan, np.float32)}
    assert Dataset.from_columns(nan, saved.spec) == Dataset.from_columns(nan, saved.spec)
    assert saved != "something else"


def test_save_keeps_everything(saved, tmp_path):
    copy = saved.save(tmp_path / "copy.h5", compress="lzf")
    assert copy == saved
    assert copy.hash == saved.hash
    assert copy.attributes == saved.attributes
    assert copy.episodes.equals(saved.episodes)


def test_a_view_is_saved_in_blocks(saved, tmp_path, monkeypatch):
    monkeypatch.setattr("vinci_offline.data.hdf5.writer._COPY_BYTES", 100)
    view = Dataset.concatenate([saved.rows([9, 1, 2]), saved])
    copy = view.save(tmp_path / "copy.h5")
    assert copy == view
    assert copy.episodes.equals(view.episodes)


def test_float64_survives_saving(tmp_path):
    spec = continuous_spec(dtype="float64")
    columns = make_columns(spec, [3])
    wide = Dataset.from_columns(columns, spec, float64=True)
    assert wide.columns["observations"].dtype == np.float64
    assert wide.save(tmp_path / "wide.h5") == wide
    assert Dataset.from_columns(columns, spec).columns["observations"].dtype == np.float32


def test_check_finite_names_column_row_and_count(saved, monkeypatch):
    saved.check_finite()
    monkeypatch.setattr("vinci_offline.data.columns.BLOCK_BYTES", 64)
    columns = {path: values.copy() for path, values in saved.columns.items()}
    columns["next_observations"][[6, 9], 1] = [np.inf, -np.inf]
    columns["next_observations"][9, 0] = np.nan
    bad = Dataset.from_columns(columns, saved.spec)
    with pytest.raises(
        DatasetError, match="next_observations has NaN or infinite values in 2 rows, the first is row 6"
    ):
        bad.check_finite()
    bad.rows([0, 1, 2]).check_finite()


def test_large_finite_values_are_finite():
    spec = continuous_spec(dtype="float64")
    columns = make_columns(spec, [3])
    columns["observations"][:] = 1.7e308
    Dataset.from_columns(columns, spec, float64=True).check_finite()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actions": None}, "missing actions"),
        ({"rewards": np.zeros(3)}, r"unequal lengths \(.*rewards 3"),
        ({"observations": np.zeros((4, 2))}, r"observations: rows have shape \(2,\), the space \(3,\)"),
        ({"rewards": np.float32(3)}, "rewards is a single value"),
        ({"reward": np.zeros(4)}, "unknown reward; put other columns under infos/"),
        ({"actions": np.array([["a", "b"]] * 4)}, "actions: <U1 values cannot be stored"),
    ],
)
def test_from_columns_refuses_unfit_arrays(change, message):
    spec = continuous_spec()
    columns = {**make_columns(spec, [4]), **change}
    with pytest.raises(DatasetError, match=message):
        Dataset.from_columns({k: v for k, v in columns.items() if v is not None}, spec)


def test_from_columns_refuses_unfit_episodes():
    spec = continuous_spec()
    with pytest.raises(DatasetError, match="lengths add up to 3, and there are 4 rows"):
        Dataset.from_columns(make_columns(spec, [4]), spec, episodes={"length": [3]})


def test_episodes_are_derived_from_flags():
    spec = continuous_spec()
    columns = make_columns(spec, [2, 3, 2], terminated=[True, False, False])
    columns["timeouts"][-1] = False  # still running when the recording stopped
    table = Dataset.from_columns(columns, spec).episodes
    assert table["length"].tolist() == [2, 3, 2]
    assert table["terminated"].tolist() == [True, False, False]
    assert table["truncated"].tolist() == [False, True, False]


def foreign(path, **columns):
    with h5py.File(path, "w") as file:
        for name, values in columns.items():
            file[name.replace("__", "/")] = values
    return path


def test_a_plain_d4rl_file_opens_with_inferred_boxes(tmp_path):
    columns = make_columns(continuous_spec(), [4, 3], terminated=[True, True])
    dataset = Dataset.open(foreign(tmp_path / "d.hdf5", **columns))
    assert dataset.spec.observation_space == box(3)
    assert dataset.spec.action_space == box(2, low=-1, high=1)
    assert dataset.episodes["length"].tolist() == [4, 3]
    columns["actions"][5] = 1.5
    assert Dataset.open(foreign(tmp_path / "e.hdf5", **columns)).spec.action_space == box(2)
    columns["actions"][5] = np.nan
    assert Dataset.open(foreign(tmp_path / "f.hdf5", **columns)).spec.action_space == box(2)


def test_d4rl_file_without_timeouts_or_with_integer_flags(tmp_path):
    columns = make_columns(continuous_spec(), [4, 3], terminated=[True, True])
    del columns["timeouts"]
    columns["terminals"] = columns["terminals"].astype(np.uint8)
    dataset = Dataset.open(foreign(tmp_path / "d.hdf5", **columns))
    assert dataset.columns["timeouts"].dtype == dataset.columns["terminals"].dtype == np.bool_
    assert not dataset.columns["timeouts"].any()
    assert dataset.episodes["length"].tolist() == [4, 3]
    assert dataset.rows([6]).columns["timeouts"].shape == (1,)


def test_big_endian_columns_are_read_in_native_order(tmp_path):
    columns = make_columns(continuous_spec(), [4])
    swapped = {**columns, "observations": columns["observations"].astype(">f4")}
    dataset = Dataset.open(foreign(tmp_path / "d.hdf5", **swapped))
    assert dataset.columns["observations"].dtype == np.dtype("=f4")
    np.testing.assert_array_equal(dataset.columns["observations"], columns["observations"])


def test_the_number_of_discrete_actions_is_never_guessed(tmp_path):
    columns = make_columns(discrete_spec(4), [5])
    columns["actions"][:] = 1
    path = foreign(tmp_path / "d.hdf5", **columns)
    with pytest.raises(
        DatasetError, match=r"d\.hdf5: the number of discrete actions cannot be told .* spec="
    ):
        Dataset.open(path)
    assert Dataset.open(path, spec=discrete_spec(4)).spec.action_space == DiscreteSpace(4)


def test_foreign_dict_observations_with_images(tmp_path):
    columns = make_columns(dict_spec(), [3])
    del columns["observations/car/gear"], columns["next_observations/car/gear"]
    dataset = Dataset.open(foreign(tmp_path / "d.hdf5", **columns))
    space = dataset.spec.observation_space
    assert isinstance(space, DictSpace)
    assert space.spaces["picture"] == box(4, 5, 3, dtype="uint8", low=0, high=255)
    assert space.spaces["car"] == DictSpace({"speed": box()})


def test_other_spec_than_the_files_is_refused(saved):
    with pytest.raises(SpecError, match="the action_space given is not the file's"):
        Dataset.open(saved.path, spec=EnvironmentSpec(box(3), box(2)))
    renamed = EnvironmentSpec(saved.spec.observation_space, saved.spec.action_space, id="Renamed-v0")
    assert Dataset.open(saved.path, spec=renamed).spec.id == "Renamed-v0"


def test_unfit_spec_for_foreign_file_is_refused(tmp_path):
    path = foreign(tmp_path / "d.hdf5", **make_columns(continuous_spec(), [4]))
    with pytest.raises(SpecError, match=r"observations: rows have shape \(3,\), the space \(7,\)"):
        Dataset.open(path, spec=EnvironmentSpec(box(7), box(2)))
