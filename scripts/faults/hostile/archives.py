"""Archives and folders: NumPy archives, RLDS, LeRobot, Minari, and what else may lie at a path."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from hostile.frame import ARTIFACT, Reading, attack, command
from vinci_offline.types import Array

ROWS = 100
MANY = 10**9


class Trap:
    """An object whose unpickling leaves a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (ARTIFACT, "w"))


def d4rl(rows: int = ROWS) -> dict[str, Array]:
    """Return the arrays of a sound archive under D4RL's names."""
    chance = np.random.default_rng(0)
    return {
        "observations": chance.normal(size=(rows, 3)).astype(np.float32),
        "actions": chance.uniform(-1, 1, (rows, 2)).astype(np.float32),
        "rewards": chance.normal(size=rows).astype(np.float32),
        "terminals": np.arange(1, rows + 1) % 50 == 0,
        "timeouts": np.zeros(rows, np.bool_),
    }


def npy(values: Array) -> bytes:
    file = io.BytesIO()
    np.save(file, values, allow_pickle=True)
    return file.getvalue()


def header(text: str, version: int = 1, content: bytes = b"") -> bytes:
    """Return an array's file with a header of any text."""
    encoded = text.encode("latin-1") + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(encoded))
    return b"\x93NUMPY" + bytes([version, 0]) + length + encoded + content


def describing(shape: str, descr: str = "'<f4'", order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}}}"


def archive(folder: Path, *, packed: bool = True, **changed: bytes) -> Path:
    """Write an archive in which some members are other bytes."""
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as file:
        for name, content in {**{name: npy(each) for name, each in d4rl().items()}, **changed}.items():
            file.writestr(f"{name}.npy", content)
    return path


def converted(source: Path, *options: str, sound: bool = False) -> Reading:
    """Return the reading of ``convert``; a sound source must give its rows."""
    target = source.parent / "converted.h5"
    return command("convert", source, target, *options, right=_has_rows if sound else None)


def _has_rows(output: str) -> bool:
    return f" {ROWS} in " in output


@attack
def npz_that_is_sound(folder: Path) -> Reading:
    """A sound archive."""
    return converted(archive(folder), sound=True)


@attack
def npz_with_objects(folder: Path) -> Reading:
    """Observations are a pickle that opens a file."""
    return converted(archive(folder, observations=npy(np.array([Trap()] * ROWS, dtype=object))))


@attack
def npz_with_objects_aside(folder: Path) -> Reading:
    """A pickle beside sound arrays is left out."""
    return converted(archive(folder, remark=npy(np.array([Trap()], dtype=object))), sound=True)


@attack
def npz_of_zeros(folder: Path) -> Reading:
    """Observations of 2 GiB in 2 MiB."""
    path = archive(folder)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name, each in d4rl().items():
            file.writestr(f"{name}.npy", npy(each)) if name != "observations" else None
        with file.open("observations.npy", "w", force_zip64=True) as member:
            member.write(header(describing(f"({ROWS}, {2**31 // 4 // ROWS})")))
            for _ in range(2**11):
                member.write(bytes(2**20))
    return converted(path)


@attack
def npz_of_a_million_episodes(folder: Path) -> Reading:
    """50 million episodes of one row each in 300 KB."""
    path, rows = folder / "data.npz", 5 * 10**7
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for name in ("obs", "acts", "next_obs", "dones"):
            shape = f"({rows},)" if name == "dones" else f"({rows}, 1)"
            with file.open(f"{name}.npy", "w", force_zip64=True) as member:
                member.write(header(describing(shape, "'|b1'" if name == "dones" else "'|u1'")))
                for _ in range(50):
                    member.write(bytes([1]) * 10**6)
    return converted(path, "--set", "reward=zero")


@attack
def npz_in_column_order(folder: Path) -> Reading:
    """Fortran order, which is read whole, over 1 GiB of zeros."""
    text = describing(f"({ROWS}, {2**30 // 4 // ROWS})", order="True")
    return converted(archive(folder, observations=header(text, content=bytes(2**30))))


@attack
def npz_of_empty_rows(folder: Path) -> Reading:
    """A billion observations and actions of no numbers each."""
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("obs.npy", header(describing(f"({MANY + 1}, 0)")))
        file.writestr("acts.npy", header(describing(f"({MANY}, 0)")))
        file.writestr("indices.npy", npy(np.zeros(0, np.int64)))
        file.writestr("terminal.npy", npy(np.array([True])))
    return converted(path, "--set", "reward=zero")


@attack
def npz_of_negative_shape(folder: Path) -> Reading:
    return converted(archive(folder, observations=header(describing("(5, -1)"), content=bytes(2**26))))


@attack
def npz_whose_shape_overflows(folder: Path) -> Reading:
    return converted(
        archive(folder, observations=header(describing(f"({ROWS}, {2**62}, 4)"), content=bytes(99)))
    )


@attack
def npz_with_long_header(folder: Path) -> Reading:
    """A header of 3 GB of spaces in 3 MB."""
    path = folder / "data.npz"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file,
        file.open("observations.npy", "w", force_zip64=True) as member,
    ):
        member.write(b"\x93NUMPY\x02\x00" + struct.pack("<I", 3 * 10**9))
        for _ in range(3000):
            member.write(b" " * 10**6)
    return converted(path)


@attack
def npz_with_deep_header(folder: Path) -> Reading:
    return converted(archive(folder, observations=header("(" * 9000 + ")" * 900)))


@attack
def npz_with_code_in_header(folder: Path) -> Reading:
    return converted(archive(folder, observations=header(f"open({ARTIFACT!r}, 'w')")))


@attack
def npz_with_open_string_in_header(folder: Path) -> Reading:
    """Text over which Python's tokenizer stumbles in an error of its own."""
    return converted(archive(folder, observations=header("{'descr': '''")))


@attack
def npz_with_members_twice(folder: Path) -> Reading:
    path = archive(folder)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("rewards.npy", npy(np.full(ROWS, 9, np.float32)))
    return converted(path)


@attack
def npz_with_overlapping_members(folder: Path) -> Reading:
    """Thousands of names for one member of 10 MB."""
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("observations.npy", npy(np.zeros((ROWS, 10**5 // 4), np.float32)))
        first = file.getinfo("observations.npy")
        for number in range(5000):
            other = zipfile.ZipInfo(f"infos/{number}.npy")
            for name in ("CRC", "compress_size", "file_size", "compress_type", "header_offset", "flag_bits"):
                setattr(other, name, getattr(first, name))
            file.filelist.append(other)
    return converted(path)


@attack
def npz_with_a_million_members(folder: Path) -> Reading:
    """A directory of 60 MB."""
    path = folder / "data.npz"
    entry = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\x01\x02", 20, 3, 20, 0, 0, 0, 0, 33, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0
    )
    entries = b"".join(entry + b"a%08d" % number for number in range(10**6))
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(entries), 0, 0)
    path.write_bytes(entries + end)
    return converted(path)


@attack
def npz_that_is_encrypted(folder: Path) -> Reading:
    path = archive(folder, packed=False)
    content = bytearray(path.read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + place] |= 1
    path.write_bytes(content)
    return converted(path)


@attack
def npz_packed_otherwise(folder: Path) -> Reading:
    """LZMA, whose dictionary may be of 4 GiB."""
    path = folder / "data.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as file:
        for name, each in d4rl().items():
            file.writestr(f"{name}.npy", npy(each))
    content = path.read_bytes().replace(struct.pack("<HB", 5, 93)[:2] + b"\x5d", b"\x05\x00\x5d")
    path.write_bytes(content)
    return converted(path)


@attack
def npz_whose_names_climb(folder: Path) -> Reading:
    """A member called infos/../../../outside is left out; names are columns, and no files."""
    path = archive(folder)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("infos/../../../outside/secret.npy", npy(np.zeros(ROWS, np.float32)))
    return converted(path, sound=True)


@attack
def npz_whose_sizes_lie(folder: Path) -> Reading:
    """A member that says it has 4 GB, stored in 1 KB."""
    path = archive(folder, packed=False)
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<L", 2**32 - 2)
    path.write_bytes(content)
    return converted(path)


@attack
def pipe_in_place_of_a_file(folder: Path) -> Reading:
    """Opening it waits for a writer that never comes."""
    os.mkfifo(folder / "data.npz")
    return converted(folder / "data.npz")


@attack
def pipe_of_a_named_format(folder: Path) -> Reading:
    os.mkfifo(folder / "data.parquet")
    return converted(folder / "data.parquet", "--from", "parquet")


@attack
def device_in_place_of_a_file(folder: Path) -> Reading:
    return command("convert", "/dev/zero", folder / "out.h5")


@attack
def pipe_as_a_network(folder: Path) -> Reading:
    os.mkfifo(folder / "networks.py")
    return command(
        "train", "pendulum-mixed", "--agent", "bc", "--networks", folder / "networks.py", "--steps", 1
    )


@attack
def pipe_as_a_policy(folder: Path) -> Reading:
    os.mkfifo(folder / "policy.keras")
    return command("evaluate", folder / "policy.keras", "--env", "Pendulum-v1", "--episodes", 1)


@attack
def pipe_in_a_run(folder: Path) -> Reading:
    run = folder / "run"
    run.mkdir()
    for name in ("config.json", "policy.keras", "metrics.csv"):
        os.mkfifo(run / name)
    return command("evaluate", run, "--episodes", 1)


@attack
def pipe_in_a_folder(folder: Path) -> Reading:
    os.mkfifo(minari(folder) / "data" / "main_data.hdf5")
    return converted(folder / "walk-v0")


def minari(folder: Path, storage: str = "hdf5", **entries: Any) -> Path:
    """Write the metadata of a Minari dataset."""
    box = {"type": "Box", "dtype": "float32", "shape": [3], "low": -1.0, "high": 1.0}
    content = {
        "dataset_id": "walk-v0",
        "data_format": storage,
        "total_episodes": 1,
        "total_steps": 5,
        "observation_space": json.dumps(box),
        "action_space": json.dumps(box),
        "minari_version": "0.5.4",
        **entries,
    }
    data = folder / "walk-v0" / "data"
    data.mkdir(parents=True)
    (data / "metadata.json").write_text(json.dumps(content))
    return folder / "walk-v0"
