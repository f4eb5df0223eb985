"""HDF5 files: our own, and those of other tools."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from hostile.frame import Reading, attack, call, command
from vinci_offline import Dataset
from vinci_offline.spec import BoxSpace, EnvironmentSpec


def box(size: int) -> BoxSpace:
    return BoxSpace((size,), "float32", np.full(size, -1, np.float32), np.full(size, 1, np.float32))


def sound(path: Path, rows: int = 1000) -> Path:
    """Write a sound file of 1,000 rows."""
    ends = np.arange(1, rows + 1) % 500 == 0
    chance = np.random.default_rng(0)
    columns = {
        "observations": chance.uniform(-1, 1, (rows, 3)).astype(np.float32),
        "actions": chance.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "rewards": chance.normal(size=rows).astype(np.float32),
        "next_observations": chance.uniform(-1, 1, (rows, 3)).astype(np.float32),
        "terminals": ends,
        "timeouts": np.zeros(rows, np.bool_),
    }
    spec = EnvironmentSpec(box(3), box(2))
    Dataset.from_columns(columns, spec).save(path)
    return path


def rows_of(path: Path) -> int:
    return len(Dataset.open(path).to_pandas())


@attack
def control_sound_file(folder: Path) -> Reading:
    """A sound file, to show that the frame lets it pass."""
    return call(rows_of, sound(folder / "sound.h5"), right=(1000).__eq__)


def changed(folder: Path) -> tuple[h5py.File, Path]:
    """Return a sound file, open for changes."""
    path = sound(folder / "changed.h5")
    return h5py.File(path, "r+", libver="latest"), path


def replaced(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any = "f4", **options: Any) -> Any:
    """Replace a dataset by one without values."""
    if name in file:
        del file[name]
    return file.create_dataset(name, shape, dtype, **options)


def filled(dataset: Any, times: int = 1) -> None:
    """Fill every chunk with zeros, compressed one time or more."""
    content = bytes(int(np.prod(dataset.chunks)) * dataset.dtype.itemsize)
    for _ in range(times):
        content = zlib.compress(content, 9)
    for first in range(0, dataset.shape[0], dataset.chunks[0]):
        dataset.id.write_direct_chunk((first, *(0 for _ in dataset.shape[1:])), content)


@attack
def lattice_of_groups(folder: Path) -> Reading:
    """7 levels of 40 links to one group: 40**7 paths."""
    file, path = changed(folder)
    with file:
        here = file.create_group("infos")
        for level in range(7):
            below = file.create_group(f"levels/{level}")
            for name in range(40):
                here[str(name)] = below
            here = below
    return command("validate", path)


@attack
def lattice_for_robomimic(folder: Path) -> Reading:
    with h5py.File(folder / "demos.hdf5", "w") as file:
        demo = file.create_group("data/demo_0")
        demo["actions"] = np.zeros((10, 2), "f4")
        here = demo.create_group("obs")
        for level in range(7):
            below = file.create_group(f"levels/{level}")
            for name in range(40):
                here[str(name)] = below
            here = below
    return command("convert", folder / "demos.hdf5", folder / "out.h5", "--from", "robomimic")


@attack
def group_in_itself(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        file.create_group("infos")["again"] = file["/"]
    return command("info", path)


@attack
def columns_of_gigabytes(folder: Path) -> Reading:
    """Columns of zeros that a thousandth of their bytes holds."""
    file, path = changed(folder)
    with file:
        del file["metadata"]
        for name, width in (
            ("observations", (3,)),
            ("next_observations", (3,)),
            ("actions", (2,)),
            ("rewards", ()),
        ):
            filled(replaced(file, name, (10**8, *width), chunks=(2**20, *width), compression="gzip"))
        for name in ("terminals", "timeouts"):
            filled(replaced(file, name, (10**8,), "?", chunks=(2**20,), compression="gzip"))
    return call(rows_of, path)


@attack
def columns_below_the_budget_of_streams(folder: Path) -> Reading:
    """900 MiB of columns, every row an episode."""
    file, path = changed(folder)
    with file:
        for name in ("metadata", "infos"):
            file.pop(name, None)
        for name, width in (
            ("observations", (3,)),
            ("next_observations", (3,)),
            ("actions", (2,)),
            ("rewards", ()),
        ):
            filled(replaced(file, name, (23 * 2**20, *width), chunks=(2**20, *width), compression="gzip"))
        for name in ("terminals", "timeouts"):
            flags = replaced(file, name, (23 * 2**20,), "?", chunks=(2**20,), compression="gzip")
            ones = zlib.compress(b"\1" * 2**20, 9)
            for first in range(0, len(flags), 2**20):
                flags.id.write_direct_chunk((first,), ones)
    return call(rows_of, path)


@attack
def table_of_gigabytes(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        for name in list(file["metadata/episodes"]):
            filled(
                replaced(
                    file, f"metadata/episodes/{name}", (2**28,), "i8", chunks=(2**22,), compression="gzip"
                )
            )
    return command("info", path)


@attack
def table_of_many_columns(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        for number in range(50):
            filled(
                replaced(
                    file, f"metadata/episodes/x{number}", (2**22,), "i8", chunks=(2**22,), compression="gzip"
                )
            )
    return command("info", path)


@attack
def chunk_that_unfolds_to_gigabytes(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        rewards = replaced(file, "rewards", (1000,), chunks=(1000,), compression="gzip")
        rewards.id.write_direct_chunk((0,), zlib.compress(bytes(2**31), 9))
    return call(rows_of, path)


@attack
def chunk_that_unfolds_to_gigabytes_in_its_size(folder: Path) -> Reading:
    """The stored bytes are fewer than the chunk's."""
    file, path = changed(folder)
    with file:
        rewards = replaced(file, "rewards", (1000,), chunks=(2**20,), maxshape=(None,), compression="gzip")
        rewards.id.write_direct_chunk((0,), zlib.compress(bytes(2**31), 9))
    return call(rows_of, path)


@attack
def chunk_that_unfolds_to_less(folder: Path) -> Reading:
    """HDF5 reads memory beyond a chunk that is too short."""
    file, path = changed(folder)
    with file:
        rewards = replaced(file, "rewards", (1000,), chunks=(2**22,), maxshape=(None,), compression="gzip")
        rewards.id.write_direct_chunk((0,), zlib.compress(b"\1" * 100, 9))
    return call(rows_of, path)


@attack
def chunk_compressed_twice(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        del file["rewards"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1000,))
        for _ in range(20):
            plist.set_filter(h5py.h5z.FILTER_DEFLATE, 0, (9,))
        space = h5py.h5s.create_simple((1000,))
        dataset = h5py.Dataset(h5py.h5d.create(file.id, b"rewards", h5py.h5t.IEEE_F32LE, space, plist))
        dataset[:] = 0
    return call(rows_of, path)


@attack
def chunks_without_number(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        rewards = replaced(file, "rewards", (10**8,), chunks=(1,), maxshape=(None,), compression="gzip")
        rewards[:100] = 0
    return command("validate", path)


@attack
def rows_of_gigabytes(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        replaced(file, "infos/x", (1000, 2**20), "u1", chunks=(1, 2**20), compression="gzip")
        filled(file["infos/x"])
        filled(replaced(file, "infos/y", (4, 2**26), "u1", chunks=(4, 2**20), compression="gzip"))
    return command("info", path)


@attack
def never_written(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        replaced(file, "observations", (2**40, 3))
    return command("validate", path)


@attack
def frames_named_without_end(folder: Path) -> Reading:
    """A regular selection of 2**30 runs in a few bytes."""
    file, path = changed(folder)
    with file:
        rows = 2**30
        source = replaced(
            file, "metadata/frames/observations", (2 * rows, 3), chunks=(2**16, 3), compression="gzip"
        )
        del file["next_observations"]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        covered, shown = h5py.h5s.create_simple((rows, 3)), h5py.h5s.create_simple(source.shape)
        shown.select_hyperslab((0, 0), (rows, 1), (2, 3), (1, 3))
        plist.set_virtual(covered, b".", source.name.encode(), shown)
        space = h5py.h5s.create_simple((rows, 3))
        h5py.h5d.create(file.id, b"next_observations", h5py.h5t.IEEE_F32LE, space, plist)
    return command("validate", path)


@attack
def attributes_of_megabytes(folder: Path) -> Reading:
    """200 attributes of a mebibyte each."""
    file, path = changed(folder)
    with file:
        for number in range(200):
            file.attrs[f"a{number}"] = np.bytes_(b"x" * 2**20)
    return command("info", path)


@attack
def attribute_nested(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        file.attrs["environment"] = "[" * 10**6
    return command("info", path)


@attack
def environment_of_huge_boxes(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        text = str(file.attrs["environment"])
        file.attrs["environment"] = text.replace("[3]", "[1000000, 1000000]")
    return command("validate", path)


@attack
def texts_of_one_heap(folder: Path) -> Reading:
    """A list of 100,000 references to one text of a megabyte."""
    path = folder / "demos.hdf5"
    with h5py.File(path, "w") as file:
        file["data/demo_0/actions"] = np.zeros((10, 2), "f4")
        file["data/demo_0/obs/x"] = np.zeros((10, 2), "f4")
        kind = h5py.string_dtype()
        mask = file.create_dataset(
            "mask/train", data=["a" * 10**6], dtype=kind, maxshape=(None,), chunks=(10**5,)
        )
        file.flush()
        _, reference = mask.id.read_direct_chunk((0,))
        mask.resize((10**5,))
        mask.id.write_direct_chunk((0,), reference[:16] * 10**5)
    return command("convert", path, folder / "out.h5", "--from", "robomimic", "--set", "mask=train")


@attack
def heaps_in_heaps(folder: Path) -> Reading:
    """Heaps that overlap: a check of each would take quadratic time."""
    path, size = sound(folder / "heaps.h5"), 2**23
    content = bytearray()
    while len(content) < size:
        content += b"GCOL\x01\0\0\0" + (size - len(content)).to_bytes(8, "little")
        content += (1).to_bytes(8, "little") + (16).to_bytes(8, "little")
    with path.open("ab") as file:
        file.write(content)
    return command("info", path)


@attack
def links_to_the_secret(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        del file["rewards"]
        file["rewards"] = h5py.ExternalLink("../outside/secret.h5", "/rewards")
    return call(rows_of, path)


@attack
def storage_in_the_secret(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        replaced(file, "rewards", (1000,), external=[("../outside/secret.bin", 0, 4000)])
    return call(rows_of, path)


@attack
def arrays_of_one_address(folder: Path) -> Reading:
    """4,000 names of one column: read as the same values."""
    file, path = changed(folder)
    with file:
        infos = file.require_group("infos")
        for number in range(4000):
            infos[f"x{number}"] = file["rewards"]
    return call(columns_of, path, right=(4000).__lt__)


def columns_of(path: Path) -> int:
    return len(Dataset.open(path).columns)


@attack
def dtype_of_gigabytes(folder: Path) -> Reading:
    file, path = changed(folder)
    with file:
        del file["rewards"]
        kind = h5py.h5t.array_create(h5py.h5t.IEEE_F32LE, (2**27,))
        space = h5py.h5s.create_simple((1000,))
        h5py.h5d.create(file.id, b"rewards", kind, space)
    return command("validate", path)
