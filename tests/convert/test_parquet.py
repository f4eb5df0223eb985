"""Parquet tables: flat and nested columns, empty cells, and files of other tools."""

import sys

import numpy as np
import pandas as pd
import pytest
from data_examples import continuous_spec, make_columns

from vinci_offline import Dataset
from vinci_offline.convert.conversion import read, write
from vinci_offline.convert.registry import recognise
from vinci_offline.convert.tables import parquet
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.errors import DatasetError, UsageError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

OPTIONS = ImportOptions(ends="terminal")


def table(tmp_path, name="t.parquet", **columns):
    whole = {"observation_0": [0.5, 1.5], "action_0": [0.1, 0.2], "reward": [1.0, 2.0], **columns}
    pq.write_table(
        pa.table({key: values for key, values in whole.items() if values is not None}), tmp_path / name
    )
    return tmp_path / name


def test_exchange_with_pandas(tmp_path):
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [3, 2], terminated=[True, False], infos=["cost"]), spec)
    write(dataset, tmp_path / "ours.parquet")
    frame = dataset.to_pandas()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "ours.parquet"), frame)
    frame.sample(frac=1, random_state=1).to_parquet(tmp_path / "theirs.parquet")
    found = read(tmp_path / "theirs.parquet", options=ImportOptions(spec))
    assert "the index of the frame that was written was left out" in found.decisions
    for path in dataset.columns:
        np.testing.assert_array_equal(found.dataset.columns[path], dataset.columns[path], err_msg=path)


def test_lists_are_vectors_and_structs_are_dicts(tmp_path):
    path = table(
        tmp_path,
        observation_0=None,
        observation=[{"car": [1.5, 2.0], "fuel": [0.5]}, {"car": [3.5, 4.0], "fuel": [0.25]}],
        action_0=None,
        action=pa.array([[0.1], [0.2]], pa.list_(pa.float64(), 1)),
    )
    assert recognise(path).name == "parquet"
    found = read(path, options=OPTIONS).dataset
    assert found.columns["observations/car"].tolist() == [[1.5, 2], [3.5, 4]]
    assert found.columns["observations/fuel"].tolist() == [[0.5], [0.25]]
    assert found.columns["actions"].shape == (2, 1)


def test_vector_is_mapped_by_name(tmp_path):
    path = table(tmp_path, state=[[1.0, 2.0], [3.0, 4.0]], observation_0=None)
    options = ImportOptions(ends="terminal", columns={"observation": "state"})
    assert read(path, options=options).dataset.columns["observations"].tolist() == [[1, 2], [3, 4]]


def test_unmapped_columns_are_ignored(tmp_path):
    path = table(tmp_path, note=["a", None], when=pa.array([0, 1], pa.timestamp("s")), ragged=[[1], [1, 2]])
    found = read(path, options=ImportOptions(ends="terminal", columns={"reward": "reward"}))
    assert "left out, since nothing is mapped to them: note, when, ragged" in found.decisions
    assert not [name for name in found.dataset.columns if name.startswith("infos")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"note": ["a", "b"]}, "note holds string values, not numbers: choose the columns with --map"),
        ({"note": [["a"], ["b"]]}, "note holds string values, not numbers"),
        ({"cost": [0.5, None]}, "cost: nothing in row 1: say what stands for it, as with --set missing=0"),
        ({"cost": [[1], [1, 2]]}, "cost has rows of different lengths"),
        ({"cost": [[[1.0]], [[2.0]]]}, r"cost has rows of shape \[1, 1\], not vectors"),
        ({"reward": None}, "has no column reward"),
        ({"cost_0": [1, 2], "cost": [[1], [2]]}, "several columns named cost_0"),
    ],
)
def test_error_names_column(tmp_path, columns, message):
    path = table(tmp_path, **columns)
    with pytest.raises(DatasetError, match=message) as caught:
        read(path, options=OPTIONS)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_fills_empty_cells(tmp_path):
    path = table(tmp_path, cost=[0.5, None], count=[None, 7], flagged=[True, None])
    found = read(path, options=ImportOptions(ends="terminal", settings={"missing": "0"})).dataset
    assert found.columns["infos/cost"].tolist() == [0.5, 0]
    assert found.columns["infos/count"].tolist() == [0, 7]
    assert found.columns["infos/count"].dtype == np.int64
    assert found.columns["infos/flagged"].tolist() == [1, 0]


def test_texts_as_choices_and_episodes(tmp_path):
    path = table(
        tmp_path,
        action_0=None,
        item=pa.array(["b", "a"]).dictionary_encode(),
        user=["x", "y"],
    )
    options = ImportOptions(
        ends="terminal",
        columns={"action": "item", "episode": "user"},
        settings={"actions": "2", "categories": "item"},
    )
    found = read(path, options=options).dataset
    assert found.columns["actions"].tolist() == [1, 0]
    assert found.episode_columns["length"].tolist() == [1, 1]


def test_empty_table_is_refused(tmp_path):
    nothing = pa.array([], pa.float64())
    path = table(tmp_path, observation_0=nothing, action_0=nothing, reward=nothing)
    with pytest.raises(DatasetError, match="holds no rows"):
        read(path, options=OPTIONS)


def test_decompression_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_FREE_VALUES", 10**5)
    monkeypatch.setattr(parquet, "_BEST_RATIO", 100)
    path = table(tmp_path, **dict.fromkeys(("observation_0", "action_0", "reward"), np.zeros(10**5)))
    with pytest.raises(DatasetError, match="claims 300,000 values"):
        read(path, options=OPTIONS)


def test_missing_pyarrow_is_named(tmp_path, monkeypatch):
    path = table(tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert recognise(path).name == "parquet"
    with pytest.raises(UsageError, match=r"pip install 'vinci-offline\[arrow\]'"):
        read(path)
    spec = continuous_spec()
    dataset = Dataset.from_columns(make_columns(spec, [3]), spec)
    with pytest.raises(UsageError, match=r"pip install 'vinci-offline\[arrow\]'"):
        write(dataset, tmp_path / "new.parquet")
