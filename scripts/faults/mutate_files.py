"""Damage dataset files in hundreds of ways; each must load or be refused with a one-line message.

    python scripts/faults/mutate_files.py --files 500 --repair

Half of the files have wrong bytes: truncated, bits flipped, blocks overwritten, exchanged, left out or repeated. The
others are well-formed but malicious HDF5: wrong dtypes and ranks, huge declared shapes, chunks that unpack a
thousandfold, links and storage that lead to a secret file, object columns, false attributes, loops of groups. A process
with limits on memory and time opens, validates, summarises and reads each file, and repairs it with --repair.

It is a problem if the interpreter crashes or hangs, needs more memory than the limit, raises a foreign exception, gives
a message of several lines, or reads the secret's values. Each problem is printed with its seed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import random
import shutil
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from limited_process import LimitedProcess, limit_memory

from vinci_offline import Dataset
from vinci_offline.errors import VinciError
from vinci_offline.spec import BoxSpace, EnvironmentSpec

ROWS = 3000
SECRET = 0.8125
"""Every value of the secret file, and of no other: values that are read tell their origin."""
MEMORY = 2**30
"""Limit in bytes beyond the memory of the imports."""
SECONDS = 60.0
"""Limit on one file. The slowest takes a few seconds on an idle machine."""

Change = Callable[[h5py.File, random.Random, Path], object]


def main() -> None:
    options = parse()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        originals = make_originals(folder)
        tally: Counter[str] = Counter()
        outcomes: Counter[str] = Counter()
        problems, longest, reader = [], 0.0, LimitedProcess(read_files, options.repair, seconds=SECONDS)
        for number in range(options.files):
            seed = options.seed + number
            path = folder / f"mutant-{seed}.h5"
            kind = mutate(originals[number % len(originals)], path, seed, folder)
            began = time.monotonic()
            outcome, what = reader.ask(str(path))
            longest = max(longest, time.monotonic() - began)
            tally[kind] += 1
            outcomes[outcome] += 1
            if outcome not in ("loaded", "refused"):
                problems.append(f"seed {seed} ({kind}): {outcome}: {what}")
                print(problems[-1], flush=True)
            path.unlink()
        reader.stop()
    print(
        f"{options.files} files: "
        + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())
    )
    print("mutations: " + ", ".join(f"{count} {kind}" for kind, count in sorted(tally.items())))
    print(f"the longest took {longest:.2f} s; memory held below {MEMORY // 2**20:,} MiB beyond the imports")
    if problems:
        raise SystemExit(1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first file; problems name the seed of their file"
    )
    parser.add_argument("--repair", action="store_true", help="also repair each file, which doubles the time")
    return parser.parse_args()


def read_files(connection: Connection, repairs: bool) -> None:
    """Serve the connection: read each file that is named and send its outcome."""
    # Import before the memory limit holds.
    for name in ("pandas", "vinci_offline.quality.statistics", "vinci_offline.quality.repair"):
        importlib.import_module(name)

    warnings.simplefilter("error")
    limit_memory(MEMORY)
    connection.send("ready")
    while True:
        connection.send(outcome_of(Path(connection.recv()), repairs=repairs))


def outcome_of(path: Path, *, repairs: bool = False) -> tuple[str, str]:
    """Open, validate, summarise and read a file, and repair it if ``repairs``."""
    from vinci_offline.quality.statistics import summarize
    from vinci_offline.quality.validation import validate

    outcome = "loaded"
    works: list[Callable[[Path], Any]] = [validate, lambda path: summarize(Dataset.open(path)), read_all]
    for work in [*works, repair_and_read] if repairs else works:
        try:
            found = work(path)
        except VinciError as error:
            if "\n" in str(error) or not str(error).isprintable():
                return "a message of several lines", repr(str(error))
            outcome = "refused"
        except BaseException as error:  # noqa: BLE001 - every exception is reported
            frame = traceback.extract_tb(error.__traceback__)[-1]
            return "another exception", f"{type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"
        else:
            if found == "secret":
                return "a read outside the file", "values of the secret file"
    return outcome, ""


def read_all(path: Path) -> str:
    """Read every column in blocks and some rows as a frame; return "secret" if the secret is among the values."""
    dataset = Dataset.open(path)
    for column in dataset.columns:
        for _, block in dataset.columns.blocks(column):
            if block.dtype.kind == "f" and block.size and np.mean(block == SECRET) > 0.5:
                return "secret"
    dataset.rows(slice(0, 10)).to_pandas()
    _ = dataset.episodes
    return ""


def repair_and_read(path: Path) -> str:
    """Repair the file; the copy must open, have no repairable problem and hold no secret."""
    from vinci_offline.quality.repair import repair

    output = path.with_name("repaired.h5")
    try:
        done = repair(path, output, drop_duplicates=True)
        if done.output is None:
            return ""
        left = [problem for problem in done.report.problems if problem.repairable]
        assert not left, f"still there after the repair: {left[0]}"
        return read_all(output)
    finally:
        output.unlink(missing_ok=True)


def make_originals(folder: Path) -> list[Path]:
    """Write a plain file, a compressed one, one with shared frames and a flat one, and the secret files beside them."""
    chance = np.random.default_rng(0)
    plain = box_spec()
    data = Dataset.from_columns(columns_of(plain, chance), plain, {"length": np.full(ROWS // 500, 500)})
    data.save(folder / "plain.h5")
    data.save(folder / "gzip.h5", compress="gzip")
    following = np.append(data.columns["observations"][1:], data.columns["observations"][:1], axis=0)
    ends = np.arange(1, ROWS + 1) % 500 == 0
    following[ends] = data.columns["next_observations"][ends]
    ordered = Dataset.from_columns(
        {**data.columns, "next_observations": following}, plain, data.episode_columns
    )
    ordered.save(folder / "once.h5", compress="gzip", frames="once")
    with h5py.File(folder / "plain.h5") as source, h5py.File(folder / "flat.h5", "w") as target:
        for name in ("observations", "actions", "rewards", "terminals", "next_observations"):
            source.copy(name, target)
    with h5py.File(folder / "secret.h5", "w") as file:
        for name in ("rewards", "observations"):
            file[name] = (
                np.full((ROWS, 3), SECRET, "f4") if name == "observations" else np.full(ROWS, SECRET, "f4")
            )
    np.full(ROWS * 3, SECRET, "f4").tofile(folder / "secret.bin")
    return [folder / name for name in ("plain.h5", "gzip.h5", "once.h5", "flat.h5")]


def box_spec() -> EnvironmentSpec:
    def box(size: int) -> BoxSpace:
        return BoxSpace((size,), "float32", np.full(size, -1, np.float32), np.full(size, 1, np.float32))

    return EnvironmentSpec(box(3), box(2))


def columns_of(spec: EnvironmentSpec, chance: np.random.Generator) -> dict[str, np.ndarray]:
    ends = np.arange(1, ROWS + 1) % 500 == 0
    return {
        "observations": chance.uniform(-1, 1, (ROWS, 3)).astype(np.float32),
        "actions": chance.uniform(-1, 1, (ROWS, 2)).astype(np.float32),
        "rewards": chance.normal(size=ROWS).astype(np.float32),
        "next_observations": chance.uniform(-1, 1, (ROWS, 3)).astype(np.float32),
        "terminals": ends & (np.arange(ROWS) % 1000 < 500),
        "timeouts": ends & (np.arange(ROWS) % 1000 >= 500),
        "infos/action_log_probs": chance.normal(size=ROWS).astype(np.float32),
    }


def mutate(original: Path, path: Path, seed: int, folder: Path) -> str:
    """Write a damaged copy of a file and return the kind of damage."""
    chance = random.Random(seed)
    if chance.random() < 0.5:
        kind, content = mutated_bytes(original.read_bytes(), chance)
        path.write_bytes(content)
        return kind
    shutil.copy(original, path)
    kind = chance.choice(sorted(CHANGES))
    with h5py.File(path, "r+") as file:
        CHANGES[kind](file, chance, folder)
    return kind


def mutated_bytes(content: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Damage bytes; half of the places lie in the first 4 KiB, which hold the structure."""

    def place() -> int:
        return chance.randrange(min(4096, len(content)) if chance.random() < 0.5 else len(content))

    changed = bytearray(content)
    kind = chance.choice(
        [
            "truncated",
            "bits flipped",
            "block overwritten",
            "blocks exchanged",
            "block left out",
            "block repeated",
        ]
    )
    size = chance.choice([1, 8, 64, 512, 4096])
    start = place()
    if kind == "truncated":
        return kind, content[: place()]
    if kind == "bits flipped":
        for _ in range(chance.choice([1, 2, 8, 64])):
            changed[place()] ^= 1 << chance.randrange(8)
    elif kind == "block overwritten":
        filling = chance.choice([b"\0" * size, b"\xff" * size, chance.randbytes(size)])
        changed[start : start + size] = filling[: len(changed[start : start + size])]
    elif kind == "blocks exchanged":
        other = place()
        low, high = sorted((start, other))
        size = min(size, high - low, len(content) - high)
        changed[low : low + size], changed[high : high + size] = (
            content[high : high + size],
            content[low : low + size],
        )
    elif kind == "block left out":
        del changed[start : start + size]
    else:
        changed[start:start] = content[start : start + size]
    return kind, bytes(changed)


def replace(file: h5py.File, name: str, **options: Any) -> None:
    if name in file:
        del file[name]
    file.create_dataset(name, **options)


def some_column(chance: random.Random) -> str:
    return chance.choice(["observations", "actions", "rewards", "next_observations", "terminals"])


def other_dtype(file: h5py.File, chance: random.Random, folder: Path) -> None:
    dtype = chance.choice(
        ["S5", "c8", "f2", "u8", "i1", "f8", h5py.string_dtype(), [("a", "f4")], "(2,)f4", "O"]
    )
    name = some_column(chance)
    shape = file[name].shape
    dtype = h5py.vlen_dtype(np.float32) if dtype == "O" else dtype
    replace(file, name, shape=shape, dtype=dtype)


def other_rank(file: h5py.File, chance: random.Random, folder: Path) -> None:
    shape = chance.choice([(), (ROWS, 3, 1), (ROWS, 0), (0, 3), (1,) * 32, (ROWS - 1,), (ROWS, 1)])
    replace(file, some_column(chance), data=np.zeros(shape, "f4"))


def huge_shape(file: h5py.File, chance: random.Random, folder: Path) -> None:
    rows = chance.choice([2**31, 2**40, 2**62])
    names = (
        [some_column(chance)]
        if chance.random() < 0.5
        else ["observations", "rewards", "actions", "next_observations"]
    )
    for name in names:
        shape = (rows, *file[name].shape[1:]) if rows < 2**60 else (rows,)
        replace(file, name, shape=shape, dtype="f4", chunks=(1000, *shape[1:]))


def unfolding_chunks(file: h5py.File, chance: random.Random, folder: Path) -> None:
    rows = chance.choice([10**6, 10**7])
    for name in ("observations", "next_observations", "actions", "rewards", "terminals", "timeouts"):
        if name in file:
            width, kind = file[name].shape[1:], file[name].dtype
            replace(file, name, shape=(rows, *width), dtype=kind, chunks=(rows, *width), compression="gzip")
            file[name][0] = 0
    file.pop("infos", None)
    file.pop("metadata", None)


def external_link(file: h5py.File, chance: random.Random, folder: Path) -> None:
    name = chance.choice(["rewards", "observations", "infos/secret", "metadata/episodes/return"])
    if name in file:
        del file[name]
    file[name] = h5py.ExternalLink(
        str(folder / "secret.h5"), "/observations" if name == "observations" else "/rewards"
    )


def external_storage(file: h5py.File, chance: random.Random, folder: Path) -> None:
    del file["rewards"]
    file.create_dataset("rewards", (ROWS,), "f4", external=[(str(folder / "secret.bin"), 0, 4 * ROWS)])


def virtual_source(file: h5py.File, chance: random.Random, folder: Path) -> None:
    name = chance.choice(["rewards", "observations"])
    shape = file[name].shape
    del file[name]
    layout = h5py.VirtualLayout(shape, "f4")
    source = str(folder / "secret.h5") if chance.random() < 0.7 else "."
    where = name if source != "." else name + ("" if chance.random() < 0.5 else "_missing")
    layout[...] = h5py.VirtualSource(source, where, shape)
    file.create_virtual_dataset(name, layout)


def other_frames(file: h5py.File, chance: random.Random, folder: Path) -> None:
    """Replace the shared frames that the columns of observations show."""
    place = "metadata/frames/observations"
    if place in file:
        del file[place]
    kind = chance.choice(["nothing", "link", "loop", "huge", "short", "text", "storage"])
    if kind == "link":
        file[place] = h5py.ExternalLink(str(folder / "secret.h5"), "/observations")
    elif kind == "loop":
        layout = h5py.VirtualLayout((ROWS + 6, 3), "f4")
        layout[:ROWS] = h5py.VirtualSource(".", "observations", (ROWS, 3))
        file.create_virtual_dataset(place, layout)
    elif kind == "storage":
        outside = [(str(folder / "secret.bin"), 0, 12 * ROWS)]
        file.create_dataset(place, (ROWS, 3), "f4", external=outside)
    elif kind != "nothing":
        rows = {"huge": 2**40, "short": 100, "text": ROWS + 6}[kind]
        file.create_dataset(place, (rows, 3), "S4" if kind == "text" else "f4", chunks=(50, 3))


def mixed_mappings(file: h5py.File, chance: random.Random, folder: Path) -> None:
    """Make observations show rows of other columns, in any order and number."""
    source = chance.choice(["next_observations", "observations_kept"])
    if source == "observations_kept":
        file[source] = file["observations"][()]
    rows = chance.choice([ROWS, 10 * ROWS, 2**40])
    del file["observations"]
    layout = h5py.VirtualLayout((rows, 3), "f4")
    shown = h5py.VirtualSource(".", source, (ROWS, 3))
    for _ in range(chance.choice([1, 5, 300])):
        first, place, step = chance.randrange(ROWS - 100), chance.randrange(ROWS - 100), chance.choice([1, 2])
        layout[first : first + 10] = shown[place : place + 10 * step : step]
    file.create_virtual_dataset("observations", layout)


def soft_link(file: h5py.File, chance: random.Random, folder: Path) -> None:
    name = some_column(chance)
    del file[name]
    file[name] = h5py.SoftLink(chance.choice(["/" + name, "/actions", "/nowhere", "/"]))


def group_loop(file: h5py.File, chance: random.Random, folder: Path) -> None:
    group = file.require_group(chance.choice(["infos", "metadata"]))
    group["again"] = chance.choice([file["/"], group])


def deep_groups(file: h5py.File, chance: random.Random, folder: Path) -> None:
    file["infos/" + "/".join("abcdefghij" * 20) + "/x"] = np.zeros(ROWS, "f4")


def many_columns(file: h5py.File, chance: random.Random, folder: Path) -> None:
    group = file.require_group("infos/many")
    for number in range(6000):
        group.create_dataset(str(number), (ROWS,), "f4", chunks=(ROWS,))


def strange_names(file: h5py.File, chance: random.Random, folder: Path) -> None:
    name = chance.choice(["a\nb", "\x1b[31mred", "..", " ", "x" * 5000, "\u202eabc", "ü"])
    file.require_group("infos")[name] = np.zeros(ROWS, "f4")


def object_reference(file: h5py.File, chance: random.Random, folder: Path) -> None:
    replace(file, some_column(chance), data=np.array([file.ref] * ROWS, dtype=h5py.ref_dtype))


def lying_attribute(file: h5py.File, chance: random.Random, folder: Path) -> None:
    name = chance.choice(["environment", "version", "format", "content_hash", "policy", "parents"])
    deep = "[" * 30_000 + "]" * 30_000
    file.attrs[name] = chance.choice(
        [
            deep,
            "{}",
            "null",
            '{"a": NaN}',
            b"\xff\xfe",
            2**63 - 1,
            -1,
            float("nan"),
            h5py.Empty("f4"),
            np.zeros(8000),
        ]
    )


def wrong_environment(file: h5py.File, chance: random.Random, folder: Path) -> None:
    text = file.attrs.get("environment", "")
    if isinstance(text, str) and text:
        place = chance.randrange(len(text))
        file.attrs["environment"] = (
            text[:place] + chance.choice(['"', "{", "9e999", "-1", "\\u0000", ""]) + text[place + 1 :]
        )


def wrong_values(file: h5py.File, chance: random.Random, folder: Path) -> None:
    name = some_column(chance)
    row = chance.randrange(ROWS)
    if name == "terminals":
        replace(file, name, data=np.full(ROWS, chance.choice([2, 255]), "u1"))
    else:
        file[name][row] = chance.choice([np.nan, np.inf, -np.inf, 3e38])


def wrong_episodes(file: h5py.File, chance: random.Random, folder: Path) -> None:
    name = chance.choice(["start", "length", "return", "seed", "terminated"])
    values = chance.choice(
        [np.full(6, -1), np.full(6, 2**62), np.zeros(0), np.zeros((6, 2)), np.full(6, np.nan), np.zeros(7)]
    )
    replace(file, f"metadata/episodes/{name}", data=values)


CHANGES: dict[str, Change] = {
    "another dtype": other_dtype,
    "another rank": other_rank,
    "huge shape": huge_shape,
    "unfolding chunks": unfolding_chunks,
    "external link": external_link,
    "external storage": external_storage,
    "virtual source": virtual_source,
    "other frames": other_frames,
    "mixed mappings": mixed_mappings,
    "soft link": soft_link,
    "group loop": group_loop,
    "deep groups": deep_groups,
    "many columns": many_columns,
    "strange name": strange_names,
    "object reference": object_reference,
    "lying attribute": lying_attribute,
    "wrong environment": wrong_environment,
    "wrong values": wrong_values,
    "wrong episodes": wrong_episodes,
}


if __name__ == "__main__":
    main()
