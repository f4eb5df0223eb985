"""Small HDF5 files that ask for much: each is refused in one line before it is read."""

from __future__ import annotations

import zlib

import h5py
import numpy as np
import pytest

from vinci_offline import Dataset
from vinci_offline.budget import VARIABLE, Tally
from vinci_offline.convert.sources.hdf5 import hdf5_tree
from vinci_offline.data.hdf5.attributes import read_attributes
from vinci_offline.data.hdf5.chunks import StoredArray
from vinci_offline.data.hdf5.heaps import check_heaps
from vinci_offline.data.hdf5.inspect import inspect
from vinci_offline.errors import DatasetError

WIDTHS = {"observations": (2,), "actions": (1,), "rewards": (), "terminals": (), "next_observations": (2,)}


def refusal(path):
    with pytest.raises(DatasetError) as error:
        _ = Dataset.open(path).episodes
    assert str(error.value).isprintable()
    return str(error.value)


def flat(path, rows=100, **options):
    """Write a flat file whose rows are constant."""
    with h5py.File(path, "w") as file:
        for name, width in WIDTHS.items():
            kind = np.bool_ if name == "terminals" else np.uint8
            file.create_dataset(name, (rows, *width), kind, **options)
            file[name][0] = 1
    return path


def test_lattice_of_groups_is_walked_once(tmp_path):
    path = flat(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        here = file.create_group("infos")
        for level in range(7):
            below = file.create_group(f"groups/{level}")
            for name in range(40):
                here[str(name)] = below
            here = below
    assert "a group that another path leads to" in refusal(path)


@pytest.mark.parametrize("content", [b"\1" * 99, b"\1" * 101, b""])
@pytest.mark.parametrize("options", [{}, {"shuffle": True}, {"fletcher32": True}])
def test_chunk_that_unfolds_to_another_size(tmp_path, content, options):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        array = file.create_dataset("x", (200,), "u1", chunks=(100,), compression="gzip", **options)
        array.id.write_direct_chunk((100,), zlib.compress(content) + b"\0" * 4 * ("fletcher32" in options))
        stored = StoredArray(array)
        assert not stored[0:100].any()
        with pytest.raises(ValueError, match="a chunk of 1"):
            _ = stored[90:110]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "gzip"},
        {"compression": "gzip", "shuffle": True},
        {"compression": "gzip", "fletcher32": True, "shuffle": True},
        {"compression": "lzf", "shuffle": True},
        {"compression": "gzip", "chunks": (7, 2)},
        {},
    ],
)
@pytest.mark.parametrize("dtype", ["f4", ">f8", "i2", "?", "u1", "f2"])
def test_stored_array_reads_as_h5py(tmp_path, options, dtype):
    values = np.random.default_rng(0).integers(0, 2 if dtype == "?" else 100, (100, 3)).astype(dtype)
    with h5py.File(tmp_path / "d.h5", "w") as file:
        array = file.create_dataset("x", data=values, **{"chunks": (7, 3), **options})
        stored = StoredArray(array)
        for rows in (slice(0, 100), slice(3, 50), slice(13, 14), slice(99, 500), slice(5, 5), slice(None)):
            assert np.array_equal(stored[rows], values[rows])
            assert stored[rows].dtype == array[rows].dtype
        assert np.array_equal(stored[()], values)


def test_chunk_without_filters_is_read(tmp_path):
    with h5py.File(tmp_path / "d.h5", "w") as file:
        array = file.create_dataset("x", (4,), "u1", chunks=(4,), compression="gzip")
        array.id.write_direct_chunk((0,), b"\1\2\3\4", filter_mask=1)
        assert StoredArray(array)[()].tolist() == [1, 2, 3, 4]


def test_columns_that_unfold_to_gigabytes(tmp_path, monkeypatch):
    path = flat(tmp_path / "d.h5", 3 * 10**8, chunks=True, compression="gzip")
    with h5py.File(path, "r+") as file:
        for name in file:
            shape = file[name].shape
            del file[name]
            file.create_dataset(
                name,
                shape,
                "?" if name == "terminals" else "u1",
                chunks=(2**22, *shape[1:]),
                compression="gzip",
            )
            for first in range(0, shape[0], 2**22):
                raw = np.zeros((2**22, *shape[1:]), "u1").tobytes()
                file[name].id.write_direct_chunk((first, *(0 for _ in shape[1:])), COMPRESSED[len(raw)])
    assert "columns: all together unfold to 2.0 GiB" in refusal(path)
    monkeypatch.setenv(VARIABLE, "1")
    assert not inspect(path).problems


COMPRESSED = {size: zlib.compress(bytes(size), 9) for size in (2**22, 2**23)}


def test_more_chunks_than_the_file_can_list(tmp_path):
    path = flat(tmp_path / "d.h5", 10**6, chunks=None)
    with h5py.File(path, "r+") as file:
        del file["rewards"]
        file.create_dataset("rewards", (10**8,), "u1", chunks=(1,), compression="gzip")
        for row in range(1000):
            file["rewards"].id.write_direct_chunk((row,), bytes(1000))
    assert "rewards" in refusal(path)


def test_two_compressions_are_refused(tmp_path):
    path = flat(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        del file["rewards"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((100,))
        plist.set_deflate(9)
        plist.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
        space = h5py.h5s.create_simple((100,))
        h5py.h5d.create(file.id, b"rewards", h5py.h5t.STD_U8LE, space, plist)
        file["rewards"][:] = 1
    assert "rewards: compressed more than once" in refusal(path)


def test_huge_rows_are_refused(tmp_path):
    with h5py.File(flat(tmp_path / "d.h5"), "r+") as file:
        file.create_dataset("infos/x", (100, 2**26), "u1", chunks=(1, 2**20), compression="gzip")
        for part in range(100 * 64):
            place = (part // 64, part % 64 * 2**20)
            file["infos/x"].id.write_direct_chunk(place, zlib.compress(bytes(2**20)) if part == 0 else PIECE)
    assert "infos/x: one row takes 64.0 MiB, at most 32.0 MiB are read" in refusal(tmp_path / "d.h5")


PIECE = zlib.compress(bytes(2**20))


def test_texts_that_refer_to_one_heap_are_added_up(tmp_path):
    path = tmp_path / "d.h5"
    with h5py.File(path, "w") as file:
        kind = h5py.string_dtype()
        file.create_dataset("mask/train", data=["a" * 10**6], dtype=kind, maxshape=(None,), chunks=(1024,))
    with h5py.File(path, "r+") as file:
        _, reference = file["mask/train"].id.read_direct_chunk((0,))
        file["mask/train"].resize((1024,))
        file["mask/train"].id.write_direct_chunk((0,), reference[:16] * 1024)
    with hdf5_tree(path) as tree, pytest.raises(DatasetError, match="mask/train, with what is read"):
        tree.texts("mask/train")


def test_attributes_are_added_up(tmp_path):
    with h5py.File(flat(tmp_path / "d.h5"), "r+", libver="latest") as file:
        for number in range(20):
            file.attrs[str(number)] = "a" * 10**6
        with pytest.raises(DatasetError, match="an attribute, with what is read before it, takes"):
            read_attributes(file, Tally("d.h5", 1000))


def test_deeply_nested_attribute_is_text(tmp_path):
    path = flat(tmp_path / "d.h5")
    with h5py.File(path, "r+") as file:
        file.attrs["policy"] = "[" * 50_000
    assert inspect(path).attributes["policy"] == "[" * 50_000


def test_nested_heaps_take_no_quadratic_time(tmp_path):
    size = 2**18
    content = bytearray()
    while len(content) < size:
        content += b"GCOL\x01\0\0\0" + (size - len(content)).to_bytes(8, "little")
        content += (1).to_bytes(8, "little") + (16).to_bytes(8, "little")
    (tmp_path / "d.h5").write_bytes(bytes(content))
    with pytest.raises(DatasetError, match="the heap of texts"):
        check_heaps(tmp_path / "d.h5")
