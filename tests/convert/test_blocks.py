"""Importers read their sources in blocks: memory does not grow with the rows."""

import gc
import tracemalloc

import numpy as np
import pytest
from data_examples import continuous_spec

from vinci_offline import Dataset
from vinci_offline.convert import conversion
from vinci_offline.convert.sources import spool
from vinci_offline.data import columns as column_blocks
from vinci_offline.data.assembly.lazy import shared
from vinci_offline.data.columns import Column
from vinci_offline.data.hdf5 import writer
from vinci_offline.errors import DatasetError, VinciError

ROWS, WIDTH, EPISODE = 80_000, 64, 500
BLOCK = 2**18
BUDGET = 14_000_000
"""Writing our files takes 8.5 MB, a chunk of each column. The observations of all rows have 20 MB."""


@pytest.fixture(scope="module")
def recorded():
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    last = np.arange(EPISODE - 1, ROWS, EPISODE)
    following = np.roll(observations, -1, axis=0)
    following[last] = 0.5
    flags = np.zeros(ROWS, np.bool_)
    flags[last] = True
    columns = {
        "observations": observations,
        "actions": rng.uniform(-1, 1, (ROWS, 2)).astype(np.float32),
        "rewards": rng.normal(size=ROWS).astype(np.float32),
        "next_observations": following,
        "terminals": flags & (np.arange(ROWS) % (2 * EPISODE) < EPISODE),
        "timeouts": flags & (np.arange(ROWS) % (2 * EPISODE) >= EPISODE),
    }
    return Dataset.from_columns(columns, continuous_spec(WIDTH, 2))


@pytest.fixture
def small_blocks(monkeypatch):
    """Make all blocks small: a whole column then exceeds the budget."""
    monkeypatch.setattr(column_blocks, "BLOCK_BYTES", BLOCK)
    monkeypatch.setattr(writer, "_COPY_BYTES", BLOCK)
    monkeypatch.setattr(spool, "HELD_BYTES", BLOCK)
    monkeypatch.setattr(spool, "PIECE_BYTES", BLOCK)


def peak(action):
    """Return the peak of memory; measure one over the budget again: the interpreter's own tables grow only once."""
    first = measured(action)
    return first if first < BUDGET else min(first, measured(action))


def measured(action):
    gc.collect()
    gc.freeze()
    gc.collect()  # counts no frozen objects: the more it counts, the longer it lets garbage lie
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.unfreeze()


FORMATS = {
    "d4rl": ("data.hdf5", {}),
    "d3rlpy": ("dump.h5", {}),
    "robomimic": ("demos.hdf5", {}),
    "minari": ("data-v0", {}),
    "minari-arrow": ("data-v0", {"storage": "arrow"}),
    "lerobot": ("data", {}),
    "npz": ("data.npz", {}),
    "parquet": ("data.parquet", {}),
}
FILES = {name: file for name, (file, _) in FORMATS.items()}


def to_and_fro(dataset, kind, folder, settings):
    """Export and import; return the peak of memory of each."""
    folder.mkdir()
    path = folder / FILES[kind]
    exporting = peak(lambda: conversion.write(dataset, path, kind=kind, settings=settings, overwrite=True))

    def convert():
        conversion.write(conversion.read(path, kind=kind).dataset, folder / "back.h5", overwrite=True)

    return exporting, peak(convert)


@pytest.mark.parametrize("name", FORMATS)
def test_conversion_holds_blocks_and_no_column(name, recorded, small_blocks, tmp_path, monkeypatch):
    monkeypatch.setattr("vinci_offline.convert.lerobot.writer._STATISTICS_BYTES", BLOCK)
    kind, settings = name.partition("-")[0], FORMATS[name][1]
    stored = recorded.save(tmp_path / "own.h5")
    to_and_fro(stored.rows(slice(0, 2 * EPISODE)), kind, tmp_path / "imports", settings)
    exporting, importing = to_and_fro(stored, kind, tmp_path / "whole", settings)
    # LeRobot lists statistics of every episode, which lie in memory until they are written.
    assert exporting < (2 * BUDGET if kind == "lerobot" else BUDGET)
    assert importing < BUDGET
    back = Dataset.open(tmp_path / "whole" / "back.h5")
    for path in recorded.columns:
        np.testing.assert_array_equal(back.columns[path], recorded.columns[path], err_msg=path)


def test_export_with_final_rows_holds_blocks(recorded, small_blocks, tmp_path):
    stored = recorded.save(tmp_path / "own.h5")
    assert max(to_and_fro(stored, "d4rl", tmp_path / "whole", {"final_rows": "yes"})) < BUDGET


def test_a_whole_column_breaks_the_budget(recorded, small_blocks, tmp_path):
    stored = recorded.save(tmp_path / "own.h5")
    assert measured(lambda: stored.columns["observations"]) > BUDGET


def test_shared_column_reads_each_row_once():
    source, asked = np.arange(100), []

    def load(rows):
        asked.append(rows)
        return source[rows]

    column = shared(Column((100,), source.dtype, load))
    for start in range(0, 100, 25):
        stop = start + 25
        np.testing.assert_array_equal(column.load(slice(start, stop)), source[start:stop])
        np.testing.assert_array_equal(column.load(slice(start + 1, stop + 1)), source[start + 1 : stop + 1])
    assert [(rows.start, rows.stop) for rows in asked] == [(0, 26), (25, 51), (50, 76), (75, 100)]


def test_spool_returns_any_rows_from_memory_and_file(monkeypatch):
    monkeypatch.setattr(spool, "PIECE_BYTES", 100)
    rows = np.arange(200).reshape(100, 2)
    for held in (0, 500, 10**6):
        monkeypatch.setattr(spool, "HELD_BYTES", held)
        found = spool.Spool("rows")
        for first in range(0, 100, 7):
            found.append({"a": rows[first : first + 7], "b": rows[first : first + 7, 0].astype(np.float32)})
        columns = found.columns()
        for part in (slice(0, 100), slice(13, 14), slice(50, 99), slice(100, 100)):
            np.testing.assert_array_equal(columns["a"].load(part), rows[part])
            np.testing.assert_array_equal(columns["b"].load(part), rows[part, 0])


def test_spool_takes_the_dtype_that_holds_all_pieces(monkeypatch):
    monkeypatch.setattr(spool, "PIECE_BYTES", 1)
    found = spool.Spool("rows")
    found.append({"a": np.array([True, False])})
    found.append({"a": np.array([3, 4])})
    found.append({"a": np.array([0.5])})
    column = found.columns()["a"]
    assert column.dtype == np.float64
    assert column.load(slice(0, 5)).tolist() == [1, 0, 3, 4, 0.5]


@pytest.mark.parametrize(
    "rows",
    [
        {"a": np.zeros((2, 3))},
        {"a": np.zeros(2), "b": np.zeros(2)},
        {"b": np.zeros(2)},
        {"a": np.zeros(2, "M8[s]")},
    ],
    ids=["shape", "new", "missing", "times"],
)
def test_spool_refuses_rows_that_are_not_alike(rows):
    found = spool.Spool("rows")
    found.append({"a": np.zeros(2)})
    with pytest.raises(
        DatasetError, match=r"rows: . is (not alike in all rows|datetime64\[s\] in some rows)"
    ):
        found.append(rows)


def test_spool_leaves_no_file_and_says_what_the_disk_refuses(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(spool, "HELD_BYTES", 0)
    monkeypatch.setattr(spool, "PIECE_BYTES", 1)
    found = spool.Spool("rows")
    found.append({"a": np.zeros(1000)})
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    with pytest.raises(VinciError, match=r"rows: its rows cannot be kept in .*gone"):
        spool.Spool("rows").append({"a": np.zeros(1000)})


def test_source_that_changed_since_it_was_read_is_refused(recorded, tmp_path):
    source = tmp_path / "data.hdf5"
    conversion.write(recorded.rows(slice(0, 1000)), source)
    imported = conversion.read(source)
    conversion.write(recorded.rows(slice(0, 500)), source, overwrite=True)
    with pytest.raises(DatasetError, match="was changed since it was opened"):
        _ = imported.dataset.columns["observations"]
