"""Observations that are stored once: lossless, readable by HDF5 alone, safe against strangers' files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_examples import box, continuous_spec, lengths, make_columns, seeds, specs
from hypothesis import given, settings
from hypothesis import strategies as st

from vinci_offline import Dataset, DatasetError, EnvironmentSpec, UsageError
from vinci_offline.data.hdf5.chunks import StoredArray
from vinci_offline.data.hdf5.opening import files_kept_open
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.quality.validation import validate

IMAGES = EnvironmentSpec(box(24, 32, 3, dtype="uint8", low=0, high=255), box(2, low=-1, high=1))


def noisy_images(count):
    """Return columns of images that no filter compresses."""
    columns = make_columns(IMAGES, count)
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (sum(count) + len(count), 24, 32, 3)).astype(np.uint8)
    ends = np.cumsum(count) + np.arange(len(count))
    columns["observations"] = np.delete(frames, ends, axis=0)
    columns["next_observations"] = np.delete(frames, ends - np.array(count), axis=0)
    return columns


def write(path, spec, columns, cuts=(), **options):
    with DatasetWriter(path, spec, **options) as writer:
        bounds = [0, *sorted(cuts), len(columns["rewards"])]
        for first, last in pairwise(bounds):
            writer.append({name: values[first:last] for name, values in columns.items()})
    return Dataset.open(path)


@given(
    spec=specs,
    lengths=lengths,
    seed=seeds,
    shuffled=st.booleans(),
    cuts=st.sets(st.integers(0, 36), max_size=3),
    float64=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_shared_frames_round_trip(spec, lengths, seed, shuffled, cuts, float64):
    columns = make_columns(spec, lengths, seed)
    rows = np.random.default_rng(seed).permutation(sum(lengths)) if shuffled else np.arange(sum(lengths))
    columns = {path: values[rows] for path, values in columns.items()}
    cuts = {cut for cut in cuts if cut < len(rows)}
    with tempfile.TemporaryDirectory() as folder:
        plain = write(Path(folder) / "plain.h5", spec, columns, frames="plain", float64=float64)
        once = write(Path(folder) / "once.h5", spec, columns, cuts, frames="once", float64=float64)
        assert once == plain
        assert once.hash == once.compute_hash() == plain.hash
        some = np.random.default_rng(seed).integers(0, len(rows), 5)
        fresh = Dataset.open(once.path)
        with h5py.File(once.path) as file, files_kept_open():
            for path in plain.columns:
                # By HDF5 alone, by blocks of rows, and row by row.
                np.testing.assert_array_equal(file[path][()], plain.columns[path])
                part = slice(len(rows) // 2, None)
                if path != "timeouts":  # a view marks the end of its last piece
                    np.testing.assert_array_equal(fresh.rows(part).columns[path], plain.columns[path][part])
                np.testing.assert_array_equal(fresh.columns.gather(path, some), plain.columns[path][some])


def test_shared_frames_halve_the_file(tmp_path):
    columns = noisy_images([40, 7, 50])
    plain = write(tmp_path / "plain.h5", IMAGES, columns, frames="plain")
    once = write(tmp_path / "once.h5", IMAGES, columns)  # images are, unless told otherwise
    assert once.path.stat().st_size < 0.55 * plain.path.stat().st_size
    assert validate(once.path) == []
    assert once == plain
    for name, rows in (("shuffled", [90, 3, 60, 61, 2]), ("slice", slice(30, 60))):
        view = once.rows(rows).save(tmp_path / f"{name}.h5")
        assert view == plain.rows(rows)
        assert validate(view.path) == []
    both = Dataset.concatenate([once, plain]).save(tmp_path / "both.h5", frames="once")
    assert both == Dataset.concatenate([plain, plain])


def test_unordered_rows_are_stored_plainly(tmp_path):
    columns = noisy_images([1] * 30)
    with h5py.File(write(tmp_path / "d.h5", IMAGES, columns).path) as file:
        assert not file["observations"].is_virtual
    vectors = make_columns(continuous_spec(), [20])
    with h5py.File(write(tmp_path / "v.h5", continuous_spec(), vectors).path) as file:
        assert not file["observations"].is_virtual


def test_equal_values_of_unlike_bytes_are_kept_apart(tmp_path):
    """Bytes decide: zeros of unlike sign are not shared, and NaN of the same bits are."""
    spec = continuous_spec(1)
    columns = make_columns(spec, [4])
    columns["observations"][:, 0] = [0.0, -0.0, np.nan, 1.0]
    columns["next_observations"][:, 0] = [0.0, np.nan, 1.0, 2.0]
    once = write(tmp_path / "d.h5", spec, columns, frames="once")
    for path in ("observations", "next_observations"):
        assert once.columns[path].tobytes() == columns[path].tobytes()
    with h5py.File(once.path) as file:
        assert len(file["metadata/frames/observations"]) == 4 + 2


def test_many_episodes_are_several_mappings(tmp_path):
    spec, count = continuous_spec(2), [3] * 1000
    once = write(tmp_path / "d.h5", spec, make_columns(spec, count), frames="once")
    with h5py.File(once.path) as file:
        assert len(file["observations"].virtual_sources()) == 4
        assert np.array_equal(file["next_observations"][()], once.columns["next_observations"])
    assert once == Dataset.from_columns(make_columns(spec, count), spec)


def test_reading_shared_frames_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("vinci_offline.data.hdf5.shared_frames._BLOCK_BYTES", 3 * 24 * 32 * 3)
    columns = noisy_images([2] * 20)
    once = write(tmp_path / "d.h5", IMAGES, columns, frames="once")
    read = []
    original = StoredArray.__getitem__
    monkeypatch.setattr(
        StoredArray,
        "__getitem__",
        lambda self, key: (read.append(original(self, key)), read[-1])[1],
    )
    assert np.array_equal(once.columns["next_observations"], columns["next_observations"])
    assert max(map(len, read)) <= 6


def test_unknown_frames_option_is_refused(tmp_path):
    with pytest.raises(UsageError, match="unknown frames 'twice'; there are: auto, once, plain"):
        DatasetWriter(tmp_path / "d.h5", IMAGES, frames="twice")


def virtual(file, path, shape, mappings, source="metadata/frames/observations", name="."):
    """Replace a column by a virtual dataset; mappings are pairs of slices of rows."""
    del file[path]
    layout = h5py.VirtualLayout(shape, file[source].dtype)
    for rows, places in mappings:
        layout[rows] = h5py.VirtualSource(name, source, file[source].shape)[places]
    file.create_virtual_dataset(path, layout)


@pytest.mark.parametrize(
    ("rows", "mappings"),
    [
        (12, [(slice(0, 6), slice(6, 12)), (slice(6, 12), slice(0, 6))]),  # out of order
        (12, [(slice(0, 6), slice(0, 6)), (slice(6, 12), slice(0, 6))]),  # the same rows twice
        (12, [(slice(0, 6), slice(0, 6))]),  # the rest is nowhere
        (12, [(slice(0, 6), slice(0, 12, 2)), (slice(6, 12), slice(9, 15))]),  # back again
        (12, [(slice(0, 12), slice(3, 15))]),  # leaves out more than a frame
        (10**12, [(slice(0, 12), slice(0, 12))]),
    ],
)
def test_virtual_columns_in_another_order_are_refused(tmp_path, rows, mappings):
    spec = continuous_spec(2)
    path = write(tmp_path / "d.h5", spec, make_columns(spec, [4, 4, 4]), frames="once").path
    with h5py.File(path, "r+") as file:
        virtual(file, "observations", (rows, 2), mappings)
    with pytest.raises(DatasetError, match="does not show rows of /metadata/frames/observations in order"):
        Dataset.open(path)


@pytest.mark.parametrize("kind", ["missing", "virtual", "soft", "external", "group", "narrow", "unbacked"])
def test_unreadable_frames_are_refused(tmp_path, kind):
    spec = continuous_spec(2)
    path = write(tmp_path / "d.h5", spec, make_columns(spec, [4, 4, 4]), frames="once").path
    write(tmp_path / "other.h5", spec, make_columns(spec, [15]), frames="plain")
    place = "metadata/frames/observations"
    with h5py.File(path, "r+") as file:
        if kind == "virtual":
            file["copy"] = file[place][()]
            virtual(file, place, (15, 2), [(slice(0, 15), slice(0, 15))], source="copy")
        else:
            del file[place]
        if kind == "soft":
            file["copy"] = np.zeros((15, 2), "f4")
            file[place] = h5py.SoftLink("/copy")
        if kind == "external":
            file[place] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/observations")
        if kind == "group":
            file.create_group(place)
        if kind == "narrow":
            file[place] = np.zeros((15, 1), "f4")
        if kind == "unbacked":
            file.create_dataset(place, (10**12, 2), "f4", chunks=(1000, 2))
    with pytest.raises(DatasetError, match=r"observations: a virtual dataset|is declared|cut into"):
        Dataset.open(path)


def test_sources_in_other_files_are_not_opened(tmp_path):
    """HDF5 opens the sources of an unlimited virtual dataset to find its shape; opening this pipe would never end."""
    spec = continuous_spec(2)
    path = write(tmp_path / "d.h5", spec, make_columns(spec, [4]), frames="plain").path
    os.mkfifo(tmp_path / "other.h5")
    with h5py.File(path, "r+") as file:
        del file["observations"]
        layout = h5py.VirtualLayout((4, 2), "f4", maxshape=(None, 2))
        source = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4, 2), maxshape=(None, 2))
        layout[: h5py.h5s.UNLIMITED] = source[: h5py.h5s.UNLIMITED]
        file.create_virtual_dataset("observations", layout)
    script = f"from vinci_offline import Dataset; Dataset.open({str(path)!r})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert "observations: its values lie in other files" in done.stderr
