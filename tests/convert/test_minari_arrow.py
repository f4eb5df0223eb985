"""Minari's Arrow storage: round trips and damage."""

import json
import sys

import numpy as np
import pytest
from data_examples import continuous_spec, make_columns

from vinci_offline import Dataset, DatasetError, UsageError
from vinci_offline.convert.conversion import read, write

pa = pytest.importorskip("pyarrow")
ipc = pytest.importorskip("pyarrow.ipc")

SPEC = continuous_spec()


@pytest.fixture
def dataset():
    columns = make_columns(SPEC, [5, 3], terminated=[True, False], infos=["height", "speed"])
    return Dataset.from_columns(columns, SPEC, {"length": np.array([5, 3]), "seed": np.array([7, 8])})


@pytest.fixture
def folder(dataset, tmp_path):
    write(dataset, tmp_path / "walk-v0", kind="minari", settings={"storage": "arrow"})
    return tmp_path / "walk-v0"


def save(path, table):
    with pa.OSFile(str(path), "wb") as sink, ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def rewrite(folder, change):
    """Change the first episode's table."""
    path = folder / "data" / "0" / "part-0.arrow"
    table = change(ipc.open_file(path.read_bytes()).read_all())
    save(path, table)
    return folder


def replaced(table, name, values):
    return table.set_column(table.column_names.index(name), name, values)


def test_roundtrip_of_infos_and_seeds(dataset, folder):
    found = read(folder).dataset
    for path in ("infos/height", "infos/speed"):
        np.testing.assert_array_equal(found.columns[path], dataset.columns[path])
    assert found.episode_columns["seed"].tolist() == [7, 8]


def test_episode_in_several_files(dataset, folder):
    path = folder / "data" / "0" / "part-0.arrow"
    table = ipc.open_file(path.read_bytes()).read_all()
    for number, piece in enumerate([table[:2], table[2:]]):
        save(path.with_name(f"part-{number}.arrow"), piece)
    np.testing.assert_array_equal(read(folder).dataset.columns["rewards"], dataset.columns["rewards"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop_columns(["rewards"]), "rewards is missing"),
        (lambda table: replaced(table, "rewards", pa.array(["one"] * 6)), "rewards holds string values"),
        (
            lambda table: replaced(table, "rewards", pa.array([None] + [1.0] * 5)),
            "rewards is empty in some rows",
        ),
        (lambda table: replaced(table, "actions", pa.array([[0.0]] * 6)), "actions has 5 numbers in 5 rows"),
        (
            lambda table: replaced(table, "actions", pa.array([[0.0], *[[0.0, 1.0]] * 5])),
            "actions has rows of different lengths",
        ),
        (
            lambda table: replaced(table, "observations", pa.array([b"jpeg"] * 6)),
            "observations row 0 is no JPEG",
        ),
    ],
)
def test_error_names_file(folder, change, message):
    with pytest.raises(DatasetError, match=message) as caught:
        read(rewrite(folder, change))
    assert "part-0.arrow" in str(caught.value)


def test_cut_table_needs_ends_option(folder):
    with pytest.raises(UsageError, match="does not say whether its episodes terminated"):
        read(rewrite(folder, lambda table: table[:4]))


def test_missing_episode_is_named(folder):
    path = folder / "data" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_episodes": 10**12}))
    with pytest.raises(DatasetError, match="has no episode 2"):
        read(folder)
    (folder / "data" / "1" / "part-0.arrow").unlink()
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_episodes": 2}))
    with pytest.raises(DatasetError, match=r"1 has no \.arrow file"):
        read(folder)


def test_missing_pyarrow_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.ipc", None)
    with pytest.raises(UsageError, match=r"pip install 'vinci-offline\[arrow\]'"):
        read(folder)
