from __future__ import annotations

import errno
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import textwrap
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from data_examples import (
    box,
    continuous_spec,
    dict_spec,
    discrete_spec,
    lengths,
    make_columns,
    names,
    seeds,
    specs,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from vinci_offline import Dataset, DatasetError, EnvironmentSpec, UsageError, VinciError
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.spec import DictSpace, DiscreteSpace


def write(path, spec, columns, lengths=None, cuts=(), **options):
    """Write columns; ``cuts`` split them into several appends, without episodes."""
    with DatasetWriter(path, spec, **options) as writer:
        bounds = [0, *sorted(cuts), len(columns["rewards"])]
        for first, last in pairwise(bounds):
            part = {name: values[first:last] for name, values in columns.items()}
            writer.append(part, None if cuts or lengths is None else {"length": np.array(lengths)})
    return Dataset.open(path)


def names_in(folder):
    return [path.name for path in folder.iterdir()]


@given(
    spec=specs,
    lengths=lengths,
    seed=seeds,
    infos=st.lists(names, unique=True, max_size=3),
    float64=st.booleans(),
)
@settings(deadline=None, max_examples=60)
def test_write_read_round_trip(spec, lengths, seed, infos, float64):
    columns = make_columns(spec, lengths, seed, infos=infos)
    with tempfile.TemporaryDirectory() as folder:
        dataset = write(Path(folder) / "d.h5", spec, columns, lengths, float64=float64)
        assert dataset.spec == spec
        assert set(dataset.columns) == set(columns)
        for path, values in columns.items():
            read = dataset.columns[path]
            wide = values.dtype == np.float64 and not float64
            assert read.dtype == (np.float32 if wide else values.dtype) or read.dtype == np.int64
            np.testing.assert_array_equal(read, values.astype(read.dtype))
        assert list(dataset.episodes["length"]) == lengths
        assert dataset.hash == dataset.compute_hash()
        assert dataset == Dataset.from_columns(columns, spec, float64=float64)


@given(spec=specs, lengths=lengths, seed=seeds, data=st.data())
@settings(deadline=None, max_examples=25)
def test_hash_depends_on_contents_alone(spec, lengths, seed, data):
    columns = make_columns(spec, lengths, seed)
    cuts = data.draw(st.sets(st.integers(1, sum(lengths) - 1), max_size=3)) if sum(lengths) > 1 else set()
    compress = data.draw(st.sampled_from(["auto", "none", "lzf", "gzip"]))
    with tempfile.TemporaryDirectory() as folder:
        whole = write(Path(folder) / "whole.h5", spec, columns, lengths)
        parts = write(Path(folder) / "parts.h5", spec, columns, cuts=cuts, compress=compress)
        assert whole.hash == parts.hash
        assert whole == parts
        columns["rewards"][-1] += 1
        assert write(Path(folder) / "other.h5", spec, columns, lengths).hash != whole.hash


def test_columns_of_several_chunks(tmp_path):
    spec = continuous_spec(17, 6)
    columns = make_columns(spec, [500] * 100)
    with DatasetWriter(tmp_path / "d.h5", spec) as writer:
        for first in range(0, 50_000, 12_500):
            rows = {name: values[first : first + 12_500] for name, values in columns.items()}
            writer.append(rows, {"length": [500] * 25})
    dataset = Dataset.open(tmp_path / "d.h5")
    assert dataset == Dataset.from_columns(columns, spec)
    assert list(dataset.episodes["start"]) == list(range(0, 50_000, 500))
    with h5py.File(tmp_path / "d.h5") as file:
        rows, width = file["observations"].chunks
        assert width == 17
        assert rows * width * 4 == pytest.approx(2**20, rel=0.01)


def test_plain_d4rl_loaders_read_the_file(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [4, 3], terminated=[True, False])
    write(tmp_path / "d.h5", spec, columns, [4, 3])
    with h5py.File(tmp_path / "d.h5", "r") as file:
        for name in ("observations", "actions", "rewards", "next_observations", "terminals", "timeouts"):
            np.testing.assert_array_equal(file[name][:], columns[name])
            assert file[name][:].dtype == columns[name].dtype
        assert file["metadata/episodes/length"][:].tolist() == [4, 3]
        assert file.attrs["format"] == "vinci-offline"
        assert file.attrs["version"] == 1
        assert EnvironmentSpec.from_json(file.attrs["environment"]) == spec


def test_dict_observations_are_one_dataset_a_key(tmp_path):
    spec = dict_spec()
    columns = make_columns(spec, [5])
    write(tmp_path / "d.h5", spec, columns, [5])
    with h5py.File(tmp_path / "d.h5", "r") as file:
        assert file["observations/picture"].dtype == np.uint8
        assert file["observations/picture"].shape == (5, 4, 5, 3)
        assert file["next_observations/car/gear"].dtype == np.int64


def test_exception_keeps_the_old_file(tmp_path):
    spec = continuous_spec()
    old = write(tmp_path / "d.h5", spec, make_columns(spec, [3]), [3])
    content = (tmp_path / "d.h5").read_bytes()
    with pytest.raises(KeyboardInterrupt), DatasetWriter(tmp_path / "d.h5", spec, overwrite=True) as writer:
        writer.append(make_columns(spec, [9]), {"length": [9]})
        raise KeyboardInterrupt
    assert (tmp_path / "d.h5").read_bytes() == content
    assert names_in(tmp_path) == ["d.h5"]
    assert len(old.columns["rewards"]) == 3


def test_nothing_is_visible_before_the_end(tmp_path):
    spec = continuous_spec()
    with DatasetWriter(tmp_path / "d.h5", spec) as writer:
        writer.append(make_columns(spec, [3]), {"length": [3]})
        assert not (tmp_path / "d.h5").exists()
    assert names_in(tmp_path) == ["d.h5"]


def test_existing_file_is_refused_first_and_last(tmp_path):
    spec = continuous_spec()
    write(tmp_path / "d.h5", spec, make_columns(spec, [3]), [3])
    with pytest.raises(UsageError, match=r"exists already.*--overwrite"):
        DatasetWriter(tmp_path / "d.h5", spec)
    with (
        pytest.raises(UsageError, match="exists already"),
        DatasetWriter(tmp_path / "late.h5", spec) as writer,
    ):
        writer.append(make_columns(spec, [3]), {"length": [3]})
        (tmp_path / "late.h5").write_text("someone else's")
    assert (tmp_path / "late.h5").read_text() == "someone else's"
    with pytest.raises(UsageError, match="is a folder"):
        DatasetWriter(tmp_path, spec, overwrite=True)


def test_appended_arrays_may_be_reused_by_the_caller(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [4])
    kept = {name: values.copy() for name, values in columns.items()}
    with DatasetWriter(tmp_path / "d.h5", spec) as writer:
        writer.append(columns, {"length": [4]})
        for values in columns.values():
            values[:] = 1
    assert Dataset.open(tmp_path / "d.h5") == Dataset.from_columns(kept, spec)


def test_small_appends_cost_no_hdf5_writes(tmp_path, monkeypatch):
    writes = []
    original = h5py.Dataset.__setitem__
    monkeypatch.setattr(h5py.Dataset, "__setitem__", lambda *args: (writes.append(1), original(*args))[1])
    spec = continuous_spec(17, 6)
    columns = make_columns(spec, [20])
    with DatasetWriter(tmp_path / "d.h5", spec) as writer:
        for _ in range(2000):
            writer.append(columns, {"length": [20]})
    assert len(writes) <= 10
    assert len(Dataset.open(tmp_path / "d.h5")) == 40_000


def test_a_small_dataset_is_a_small_file(tmp_path):
    spec = continuous_spec()
    for compress in ("none", "gzip"):
        write(tmp_path / f"{compress}.h5", spec, make_columns(spec, [10]), [10], compress=compress)
        assert (tmp_path / f"{compress}.h5").stat().st_size < 20_000


def test_images_alone_are_compressed_by_default(tmp_path):
    image, vector = box(32, 32, 3, dtype="uint8", low=0, high=255), box(2000, dtype="uint8", low=0, high=255)
    spec = EnvironmentSpec(DictSpace({"image": image, "vector": vector}), DiscreteSpace(2))
    columns = make_columns(spec, [600])
    for name in ("observations", "next_observations"):
        columns[f"{name}/image"] = columns[f"{name}/image"] // 64
    auto = write(tmp_path / "auto.h5", spec, columns, [600])
    raw = write(tmp_path / "none.h5", spec, columns, [600], compress="none")
    with h5py.File(tmp_path / "auto.h5") as file, h5py.File(tmp_path / "none.h5") as other:
        image = file["metadata/frames/observations/image"]
        assert image.compression == "gzip"
        assert image.chunks[0] == 2**17 // (32 * 32 * 3)
        assert image.id.get_storage_size() < image.nbytes / 2
        assert file["observations/vector"].compression is None
        assert other["observations/image"].compression is None
    assert auto == raw
    assert auto.hash == raw.hash


def test_rows_without_episodes(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [1, 1, 1], terminated=[False, True, False])
    dataset = write(tmp_path / "d.h5", spec, columns)
    with h5py.File(tmp_path / "d.h5") as file:
        assert "metadata" not in file
    assert list(dataset.episodes["length"]) == [1, 1, 1]
    assert list(dataset.episodes["terminated"]) == [False, True, False]
    writer = DatasetWriter(tmp_path / "e.h5", spec)
    with pytest.raises(DatasetError, match="for some rows and not for others"), writer:
        writer.append(columns)
        writer.append(columns, {"length": [3]})


def test_missing_episode_entries_are_computed(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [2, 3], terminated=[True, False])
    with DatasetWriter(tmp_path / "d.h5", spec) as writer:
        writer.append(columns, {"length": [2, 3], "seed": [7, 8]})
        writer.append(columns, {"length": [2, 3], "seed": [9, 10]})
    table = Dataset.open(tmp_path / "d.h5").episodes
    assert list(table.columns) == [
        *("start", "length", "return", "seed", "terminated", "truncated", "fragment")
    ]
    assert list(table["start"]) == [0, 2, 5, 7]
    assert list(table["seed"]) == [7, 8, 9, 10]
    assert list(table["terminated"]) == [True, False, True, False]
    assert list(table["truncated"]) == [False, True, False, True]
    rewards = columns["rewards"].astype(float)
    np.testing.assert_allclose(table["return"][:2], [rewards[:2].sum(), rewards[2:].sum()], rtol=1e-12)


def without(name):
    return lambda columns: {path: values for path, values in columns.items() if path != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("actions"), "missing columns actions"),
        (lambda c: {**c, "extra": c["rewards"]}, "unknown columns extra"),
        (lambda c: {**c, "infos/": c["rewards"]}, "unknown columns infos/"),
        (lambda c: {**c, "rewards": c["rewards"][:-1]}, "unequal lengths: .*rewards 3"),
        (
            lambda c: {**c, "rewards": c["rewards"][:, None]},
            r"rewards has rows of shape \(1,\), expected \(\)",
        ),
        (lambda c: {**c, "observations": c["observations"][:, :2]}, r"shape \(2,\), expected \(3,\)"),
        (lambda c: {**c, "rewards": c["rewards"].astype(str)}, "rewards: .* values cannot be stored"),
        (lambda c: {**c, "rewards": np.full(4, 1e300)}, "rewards: a value overflows float32; .*float64=True"),
        (
            lambda c: {**c, "terminals": np.full(4, 2)},
            "terminals: int64 values that bool cannot hold exactly",
        ),
    ],
)
def test_unfit_columns_are_refused(tmp_path, change, message):
    spec = continuous_spec()
    writer = DatasetWriter(tmp_path / "d.h5", spec)
    with pytest.raises(DatasetError, match=message), writer:
        writer.append(change(make_columns(spec, [4])), {"length": [4]})
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("episodes", "message"),
    [
        ({"seed": [1]}, "'length' is missing"),
        ({"length": [3]}, "add up to 3, and there are 4 rows"),
        ({"length": [4, 0]}, "a length below one"),
        ({"length": [4], "seed": [1, 2]}, "seed must be one number an episode"),
        ({"length": [4], "name": ["a"]}, "name must be one number an episode"),
    ],
)
def test_unfit_episodes_are_refused(tmp_path, episodes, message):
    spec = continuous_spec()
    writer = DatasetWriter(tmp_path / "d.h5", spec)
    with pytest.raises(DatasetError, match=message), writer:
        writer.append(make_columns(spec, [4]), episodes)


def test_fractional_discrete_actions_are_refused(tmp_path):
    spec = discrete_spec()
    columns = make_columns(spec, [4])
    columns["actions"] = columns["actions"] + 0.5
    writer = DatasetWriter(tmp_path / "d.h5", spec)
    with pytest.raises(DatasetError, match="actions: float64 values that int64 cannot hold exactly"), writer:
        writer.append(columns, {"length": [4]})


def test_empty_dataset_is_refused(tmp_path):
    with (
        pytest.raises(DatasetError, match="no rows were appended"),
        DatasetWriter(tmp_path / "d.h5", continuous_spec()),
    ):
        pass
    assert names_in(tmp_path) == []


def test_attributes_round_trip(tmp_path):
    spec = continuous_spec()
    attributes = {
        "policy": "random",
        "noise": "[not a list",
        "list_like": "[1]",
        "seed": 3,
        "scale": 0.5,
        "nothing": None,
        "flag": True,
        "tree": {"a": [1, 2.5, None]},
        "long": list(range(50_000)),
        "array": np.arange(3),
    }
    with DatasetWriter(tmp_path / "d.h5", spec, attributes=attributes) as writer:
        writer.append(make_columns(spec, [2]), {"length": [2]})
    read = dict(Dataset.open(tmp_path / "d.h5").attributes)
    assert read.pop("versions")["numpy"] == np.__version__
    assert read == {**attributes, "array": [0, 1, 2]}


def test_reserved_and_unstorable_attributes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="version are the format's own"):
        DatasetWriter(tmp_path / "d.h5", continuous_spec(), attributes={"version": 3})
    with pytest.raises(UsageError, match="has more than 64 bits"):
        DatasetWriter(tmp_path / "d.h5", continuous_spec(), attributes={"seed": 2**80})
    with pytest.raises(UsageError, match="object cannot be stored"):
        DatasetWriter(tmp_path / "d.h5", continuous_spec(), attributes={"policy": object()})


def test_unknown_compression(tmp_path):
    with pytest.raises(
        UsageError, match="unknown compression 'zip'; there are: auto, none, lzf, gzip, blosc2"
    ):
        DatasetWriter(tmp_path / "d.h5", continuous_spec(), compress="zip")


def test_blosc2_round_trip_or_advice(tmp_path):
    spec = continuous_spec()
    columns = make_columns(spec, [500])
    if importlib.util.find_spec("hdf5plugin") is None:
        with pytest.raises(UsageError, match=r"pip install 'vinci-offline\[blosc2\]'"):
            DatasetWriter(tmp_path / "d.h5", spec, compress="blosc2")
        return
    dataset = write(tmp_path / "d.h5", spec, columns, [500], compress="blosc2")
    assert dataset == Dataset.from_columns(columns, spec)


def test_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "Can't write data (file write failed: No space left on device)")

    spec = continuous_spec()
    monkeypatch.setattr(h5py.Dataset, "resize", full)
    with (
        pytest.raises(VinciError, match=r"d\.h5: the disk is full; free some space"),
        DatasetWriter(tmp_path / "d.h5", spec) as writer,
    ):
        writer.append(make_columns(spec, [300_000]), {"length": [300_000]})
    assert names_in(tmp_path) == []


def test_process_on_a_full_disk_ends_cleanly(tmp_path):
    """HDF5 by itself crashes the process at exit if it could not write its buffers."""
    (tmp_path / "script.py").write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
        from data_examples import continuous_spec, make_columns
        from vinci_offline import VinciError
        from vinci_offline.data.hdf5.writer import DatasetWriter
        try:
            with DatasetWriter("disk/d.h5", continuous_spec(17)) as writer:
                for seed in range(4):
                    writer.append(make_columns(continuous_spec(17), [8000], seed), {{"length": [8000]}})
        except VinciError as error:
            print(error)
        """)
    )
    (tmp_path / "disk").mkdir()
    small_disk = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    mount = "mount -t tmpfs -o size=2m tmpfs disk"
    if (
        not shutil.which("unshare")
        or subprocess.run([*small_disk, mount], cwd=tmp_path, check=False).returncode
    ):
        pytest.skip("no small disk can be mounted here")
    command = f"{mount} && {sys.executable} script.py && ls -A disk"
    done = subprocess.run([*small_disk, command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "disk/d.h5: the disk is full; free some space or write elsewhere\n"
