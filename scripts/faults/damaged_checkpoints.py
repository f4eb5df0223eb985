"""Damage checkpoints of a run in thousands of ways; each must be passed over for the one before it, or read right.

    python scripts/faults/damaged_checkpoints.py --checkpoints 2000

A short training leaves two checkpoints. Copies of the newest are damaged. Two in five have wrong bytes: truncated, bits
flipped, blocks overwritten, exchanged, left out or repeated. The others are whole archives of wrong content: members
missing, added, twice or renamed; other types, shapes and orders; pickled objects; headers that claim terabytes or nest;
compressed bombs; false sizes and offsets; names outside; the flag of encryption; JSON of every other type and value.

A process with limits on memory and time reads each as ``train --resume`` does. It is a problem if it gives anything but
the checkpoint before, or the newest with exactly its bytes; if it raises, crashes, hangs or unpickles; if it says more
than one line. At the end some of them are resumed by the command itself. The exit code is 1 if there is a problem.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import random
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from limited_process import LimitedProcess, limit_memory
from mutate_files import mutated_bytes
from progress_lines import without_progress

from vinci_offline.runs.archive import ArrayLayout
from vinci_offline.runs.checkpoint import Checkpoint, latest_checkpoint

TRAIN = [
    *(
        "train",
        "pendulum-mixed",
        "--agent",
        "td3bc",
        "--set",
        "hidden=8,8",
        "--jit",
        "off",
        "--batch-size",
        "16",
    ),
    *("--steps", "20", "--log-every", "10", "--checkpoint-every", "10"),
]
MEMORY = 2**30
"""Limit in bytes beyond the memory of the imports."""
SECONDS = 20.0

Members = list[tuple[str, bytes]]
Change = Callable[[Members, random.Random], Members | None]


def main() -> None:
    options = parse()
    tally: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    problems: list[str] = []
    longest = 0.0
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "run"
        train(run)
        folder = run / "checkpoints"
        newest = max(folder.glob("step-*.npz"))
        content = newest.read_bytes()
        reader = reader_of(folder)
        for seed in range(options.seed, options.seed + options.checkpoints):
            kind, damaged = damage(content, seed)
            newest.write_bytes(damaged)
            began = time.monotonic()
            outcome, what = reader.ask("look")
            longest = max(longest, time.monotonic() - began)
            tally[kind] += 1
            outcomes[outcome] += 1
            if outcome not in ("passed over", "read right"):
                problems.append(f"seed {seed} ({kind}): {outcome}: {what}")
                print(problems[-1], flush=True)
        reader.stop()
        problems += resumed(run, newest, content, options)
    print(
        f"{options.checkpoints} checkpoints: "
        + ", ".join(f"{n} {what}" for what, n in outcomes.most_common())
    )
    print("damages: " + ", ".join(f"{count} {kind}" for kind, count in sorted(tally.items())))
    print(f"the longest took {longest:.2f} s; memory held below {MEMORY // 2**20:,} MiB beyond the imports")
    if problems:
        raise SystemExit(1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoints", type=int, default=2000)
    parser.add_argument("--resumes", type=int, default=3, help="how many are resumed by the command itself")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first; problems name the seed of theirs"
    )
    return parser.parse_args()


def train(run: Path, *words: str) -> tuple[int, str]:
    """Train, and return the exit code and what standard error says, without progress."""
    done = subprocess.run(
        [sys.executable, "-m", "vinci_offline", *TRAIN, "-o", str(run), *words],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, without_progress(done.stderr)


def resumed(run: Path, newest: Path, content: bytes, options: argparse.Namespace) -> list[str]:
    """Resume the run from damaged checkpoints by the command; each must end with the arrays of the sound one."""
    problems = []
    newest.write_bytes(content)
    wanted = arrays_of(content)
    for seed in range(options.seed, options.seed + options.resumes):
        kind, damaged = damage(content, seed)
        newest.write_bytes(damaged)
        code, said = train(run, "--resume")
        if code or len(said.strip().splitlines()) > 1 or arrays_of(newest.read_bytes()) != wanted:
            problems.append(f"seed {seed} ({kind}): --resume ended with {code}: {said.strip()[-500:]}")
            print(problems[-1], flush=True)
    return problems


def arrays_of(content: bytes) -> dict[str, bytes]:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
        return {name: archive[name].tobytes() for name in archive.files if name != "meta"}


def reader_of(folder: Path) -> LimitedProcess:
    """Return a process that reads the newest checkpoint of a folder, and knows what the two hold."""
    found = latest_checkpoint(folder)
    assert found is not None
    newest = max(folder.glob("step-*.npz"))
    hidden = newest.with_suffix(".aside")
    newest.rename(hidden)
    earlier = latest_checkpoint(folder)
    hidden.rename(newest)
    assert earlier is not None
    known = {"read right": plain(found), "passed over": plain(earlier)}
    expected = {n: ArrayLayout(values.dtype, values.shape) for n, values in found.state.items()}
    return LimitedProcess(serve, folder, expected, known, seconds=SECONDS)


def plain(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return everything in a checkpoint as values that can be compared."""
    state = {n: (v.dtype.str, v.shape, v.tobytes()) for n, v in checkpoint.state.items()}
    return {**vars(checkpoint), "state": state}


def serve(
    connection: Connection, folder: Path, expected: dict[str, ArrayLayout], known: dict[str, dict[str, Any]]
) -> None:
    """Serve the connection: read the newest checkpoint, and send the outcome."""
    importlib.import_module("vinci_offline.training.standing")
    unpickled: list[str] = []
    sys.addaudithook(
        lambda event, arguments: unpickled.append(str(arguments)) if event == "pickle.find_class" else None
    )
    latest_checkpoint(folder.parent / "nowhere", expected)
    limit_memory(MEMORY)
    connection.send("ready")
    while True:
        connection.recv()
        unpickled.clear()
        outcome = outcome_of(folder, expected, known)
        connection.send(("unpickled", unpickled[0]) if unpickled else outcome)


def outcome_of(
    folder: Path, expected: dict[str, ArrayLayout], known: dict[str, dict[str, Any]]
) -> tuple[str, str]:
    """Read the newest checkpoint as a resumed run does."""
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = latest_checkpoint(folder, expected)
    except BaseException as error:  # noqa: BLE001 - every exception is reported
        return "an exception", f"{type(error).__name__}: {error}"[:300]
    assert found is not None
    lines = [str(each.message) for each in told]
    for outcome, wanted in known.items():
        if plain(found) == wanted:
            if len(lines) != (outcome == "passed over") or not all(line.isprintable() for line in lines):
                return "not one line", repr(lines)[:300]
            return outcome, ""
    return "read wrong", f"step {found.step}"


def damage(content: bytes, seed: int) -> tuple[str, bytes]:
    """Return the kind of a damage, and the damaged bytes."""
    chance = random.Random(seed)
    if chance.random() < 0.4:
        return mutated_bytes(content, chance)
    kind = chance.choice(sorted(CHANGES))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    change = CHANGES[kind]
    file = io.BytesIO()
    deflated = kind.startswith("compressed")
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", 8 if deflated else 0) as archive:
        warnings.simplefilter("ignore")  # zipfile warns of a name that it writes twice
        for name, member in change(members, chance) or members:
            archive.writestr(name, member)
    return kind, AFTER[kind](bytearray(file.getvalue()), chance) if kind in AFTER else file.getvalue()


def npy(values: Any, *, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, values, allow_pickle=pickled)
    return file.getvalue()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    line = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(line).to_bytes(2 if version[0] == 1 else 4, "little") + line


def place_of(members: Members, chance: random.Random) -> int:
    """Return the place of an array, not of the meta."""
    return chance.choice([i for i, (name, _) in enumerate(members) if name != "meta.npy"])


def array_of(members: Members, place: int) -> np.ndarray:
    values: np.ndarray = np.lib.format.read_array(io.BytesIO(members[place][1]))
    return values


def with_array(make: Callable[[np.ndarray, random.Random], bytes | None]) -> Change:
    """Return a change that replaces one array's member, or removes it."""

    def change(members: Members, chance: random.Random) -> Members:
        place = place_of(members, chance)
        made = make(array_of(members, place), chance)
        member = [] if made is None else [(members[place][0], made)]
        return [*members[:place], *member, *members[place + 1 :]]

    return change


def with_meta(edit: Callable[[dict[str, Any], random.Random], object]) -> Change:
    """Return a change of the JSON of counters."""

    def change(members: Members, chance: random.Random) -> Members:
        meta = json.loads(str(np.lib.format.read_array(io.BytesIO(dict(members)["meta.npy"]))))
        edit(meta, chance)
        return [("meta.npy", npy(np.array(json.dumps(meta)))), *(m for m in members if m[0] != "meta.npy")]

    return change


def another_dtype(values: np.ndarray, chance: random.Random) -> bytes:
    kinds = [
        k
        for k in ("f2", "f4", "f8", "i4", "i8", "c8", "S4", "U2", "V4", ">f4", "?")
        if np.dtype(k) != values.dtype
    ]
    return npy(np.zeros(values.shape, chance.choice(kinds)))


def another_shape(values: np.ndarray, chance: random.Random) -> bytes:
    shapes = [(), (1,), (0,), (*values.shape, 1), (1, *values.shape), (values.size + 1,), (1,) * 32]
    shape = chance.choice([shape for shape in shapes if shape != values.shape])
    return npy(np.zeros(shape, values.dtype))


def false_header(values: np.ndarray, chance: random.Random) -> bytes:
    descr = chance.choice(["<f4", "<f8", "|O", "<U1000000000", "|V2147483647", "<i3", "f4", "<M8[ns]"])
    rows = chance.choice(
        ["2147483648", "1099511627776", "4611686018427387904", "-1", "9" * 30, "1.5", "True", "()"]
    )
    order = chance.choice(["False", "True", "None", "3"])
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({rows},), }}"
    version = chance.choice([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x09\x09"])
    return header(text, version) + values.tobytes()


def nested_header(values: np.ndarray, chance: random.Random) -> bytes:
    deep = chance.choice([b"(", b"[", b"{1:", b"-", b"not "]) * 20_000
    return b"\x93NUMPY\x01\x00" + (65535).to_bytes(2, "little") + deep[:65535].ljust(65535) + values.tobytes()


def other_values(values: np.ndarray, chance: random.Random) -> bytes:
    changed = bytearray(values.tobytes())
    changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return npy(np.frombuffer(bytes(changed), values.dtype).reshape(values.shape))


def renamed(members: Members, chance: random.Random) -> Members:
    place = chance.randrange(len(members))
    name = chance.choice(
        ["../outside.npy", "/tmp/outside.npy", "x", "a\nb.npy", "\u202e.npy", "C:\\x.npy", "y" * 60_000]
    )
    return [*members[:place], (name, members[place][1]), *members[place + 1 :]]


def twice(members: Members, chance: random.Random) -> Members:
    return [*members, members[chance.randrange(len(members))]]


def added(members: Members, chance: random.Random) -> Members:
    extra = chance.choice(
        [npy(np.zeros(3, "f4")), npy(np.array([{}], object), pickled=True), b"", b"import os"]
    )
    return [*members, (chance.choice(["networks/actor/99.npy", "__init__.py", "data.pkl", "x/"]), extra)]


def swapped(members: Members, chance: random.Random) -> Members | None:
    one, other = place_of(members, chance), place_of(members, chance)
    changed = list(members)
    changed[one], changed[other] = (members[one][0], members[other][1]), (members[other][0], members[one][1])
    return changed


def other_meta(members: Members, chance: random.Random) -> Members:
    texts = ["", "null", "[]", "{", "[" * 100_000, '{"step": 20}', "9" * 5000, "\0", "\ud800", '{"a": NaN}']
    made = [npy(np.array(text)) for text in texts if text != "\ud800"]
    made += [
        npy(np.zeros(3)),
        npy(np.array(b"{}")),
        npy(np.array(["{}", "{}"])),
        npy(np.array({}, object), pickled=True),
    ]
    made.append(header("{'descr': '<U3', 'fortran_order': False, 'shape': (), }") + b"\xff" * 12)
    return [("meta.npy", chance.choice(made)), *(m for m in members if m[0] != "meta.npy")]


VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    2.5,
    1e308,
    10**30,
    float("nan"),
    float("inf"),
    "20",
    "",
    [],
    {},
    [20],
    {"a": 1},
]


def other_field(meta: dict[str, Any], chance: random.Random) -> None:
    """Change one value anywhere in the JSON."""
    inside: Any = meta
    while True:
        key = chance.choice(list(inside) if isinstance(inside, dict) else list(range(len(inside))))
        if isinstance(inside[key], dict | list) and inside[key] and chance.random() < 0.7:
            inside = inside[key]
            continue
        inside[key] = chance.choice([v for v in VALUES if repr(v) != repr(inside[key])])
        return


def field_removed(meta: dict[str, Any], chance: random.Random) -> None:
    inside = chance.choice(
        [meta, meta["trained"], meta["arrays"], *meta["arrays"].values(), *meta["standings"].values()]
    )
    del inside[chance.choice(list(inside))]


def field_added(meta: dict[str, Any], chance: random.Random) -> None:
    inside = chance.choice(
        [meta, meta["trained"], meta["arrays"], meta["standings"], *meta["arrays"].values()]
    )
    inside[chance.choice(["x", "", "a\nb", "rng"])] = chance.choice(VALUES)


def bomb(members: Members, chance: random.Random) -> Members:
    name, _ = members[place_of(members, chance)]
    big = header("{'descr': '|u1', 'fortran_order': False, 'shape': (67108864,), }") + bytes(2**26)
    return [*(m for m in members if m[0] != name), (name, big)]


def headers_changed(
    places: dict[bytes, tuple[int, int]], values: list[int]
) -> Callable[[bytearray, random.Random], bytes]:
    """Return a change of one field in the headers of the zip archive, in one of its members or in all."""

    def change(content: bytearray, chance: random.Random) -> bytes:
        every, value = chance.random() < 0.5, chance.choice(values)
        for mark, (offset, size) in places.items():
            found, at = [], content.find(mark)
            while at >= 0:
                found.append(at)
                at = content.find(mark, at + 4)
            for at in found if every else [chance.choice(found)]:
                content[at + offset : at + offset + size] = (value % 256**size).to_bytes(size, "little")
        return bytes(content)

    return change


CHANGES: dict[str, Change] = {
    "an array missing": with_array(lambda values, chance: None),
    "another dtype": with_array(another_dtype),
    "another shape": with_array(another_shape),
    "other values": with_array(other_values),
    "Fortran order": with_array(lambda values, chance: npy(np.asfortranarray(values))),
    "pickled objects": with_array(lambda values, chance: npy(np.array([{"a": 1}], object), pickled=True)),
    "false header": with_array(false_header),
    "nested header": with_array(nested_header),
    "no array": with_array(
        lambda values, chance: chance.choice([b"", b"\x93NUMPY", b"\x80\x04]\x94.", bytes(500)])
    ),
    "a member renamed": renamed,
    "a member twice": twice,
    "a member added": added,
    "members swapped": swapped,
    "another meta": other_meta,
    "another field": with_meta(other_field),
    "a field removed": with_meta(field_removed),
    "a field added": with_meta(field_added),
    "compressed": lambda members, chance: members,
    "compressed bomb": bomb,
    "encrypted": lambda members, chance: members,
    "another method": lambda members, chance: members,
    "false sizes": lambda members, chance: members,
    "false offsets": lambda members, chance: members,
    "false end": lambda members, chance: members,
}
_BIG = [0, 1, 2**16 - 1, 2**31, 2**32 - 1]
AFTER: dict[str, Callable[[bytearray, random.Random], bytes]] = {
    "encrypted": headers_changed({b"PK\x03\x04": (6, 2), b"PK\x01\x02": (8, 2)}, [1, 0x41, 0x2001]),
    "another method": headers_changed(
        {b"PK\x03\x04": (8, 2), b"PK\x01\x02": (10, 2)}, [8, 9, 12, 14, 93, 99]
    ),
    "false sizes": headers_changed({b"PK\x01\x02": (20, 8)}, [*_BIG, 2**63, 2**64 - 1]),
    "false offsets": headers_changed({b"PK\x01\x02": (42, 4)}, _BIG),
    "false end": headers_changed({b"PK\x05\x06": (12, 4)}, _BIG),
}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
