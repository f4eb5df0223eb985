"""Let the writes of commands fail one after the other, and look at what they leave.

    python scripts/faults/fail_writes.py --most 200
    python scripts/faults/fail_writes.py collect select --most 0

Each write, fsync, rename, ftruncate and close of a written file fails: once, or it and all later ones, with EIO or with
ENOSPC. The command must end with exit code 0, or with exit code 1 and one line. Nothing wrong may lie under a final
name, no shard may be lost, and no temporary file may remain. A second try, with ``--resume`` where there is one, must
give what an undisturbed command gives. The exit code is 1 if anything differs. Needs Linux and ``cc``.

A command runs in a fork of a process that has imported everything, so an attack takes a fraction of a second. Files
that TensorFlow itself writes (RLDS records) go through the C library's buffers, where no failing call can be put.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import IO, Any

import h5py
import numpy as np

SHIM = Path(__file__).with_name("failing_calls.c")
ERRORS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
LIMIT = 120
"""Seconds that a command may take."""
UNFINISHED = re.compile(r"\..+\.(tmp(\.[^.]+)?|replaced)")
DIFFER_ANYWAY = {"metadata.json", "config.json", "metrics.csv"}
"""Files that hold times and names of a process: the date of saving, numbers of tensors, the seconds of a chunk."""


@dataclass(frozen=True)
class Case:
    """A command under attack.

    Attributes:
        arguments: its arguments; ``{out}`` stands for the folder that is written to, ``{in}`` for that of sources.
        output: the file or folder that it makes, in the folder that is written to.
        again: the option that a second try needs where something was left.
        heavy: it needs TensorFlow.
    """

    arguments: tuple[str, ...]
    output: str
    again: str = "--overwrite"
    heavy: bool = False


COLLECT = ("collect", "Pendulum-v1", "--steps", "3000", "--lanes", "2", "--seed", "1", "-o", "{out}/data.h5")
TRAIN = ("train", "{in}/data.h5", "--agent", "bc", "--set", "hidden=8", "--jit", "off", "--steps", "40")
EXPORTS = {
    "d3rlpy": "data.h5",
    "d4rl": "data.hdf5",
    "robomimic": "data.hdf5",
    "minari": "pendulum/mixed-v0",
    "lerobot": "lerobot",
    "rlds": "rlds",
    "npz": "data.npz",
    "parquet": "data.parquet",
    "jsonl": "data.jsonl.gz",
    "csv": "data.csv",
}
HEAVY_FORMATS = {"rlds"}
CASES = {
    "collect": Case(COLLECT, "data.h5", "--resume"),
    "collect-workers": Case((*COLLECT, "--workers", "2"), "data.h5", "--resume"),
    "select": Case(("select", "{in}/data.h5", "--where", "reward > -5", "-o", "{out}/data.h5"), "data.h5"),
    "select-once": Case(
        ("select", "{in}/frames.h5", "--where", "step < 90", "-o", "{out}/data.h5"), "data.h5"
    ),
    "validate-repair": Case(("validate", "{in}/damaged.h5", "--repair", "{out}/data.h5"), "data.h5"),
    "info-plot": Case(("info", "{in}/data.h5", "--plot", "{out}/data.png"), "data.png"),
    **{
        f"convert-to-{name}": Case(
            ("convert", "{in}/data.h5", f"{{out}}/{output}", "--to", name),
            output,
            heavy=name in HEAVY_FORMATS,
        )
        for name, output in EXPORTS.items()
    },
    **{
        f"convert-from-{name}": Case(
            ("convert", f"{{in}}/{name}/{output}", "{out}/data.h5", "--from", name, "--env", "Pendulum-v1"),
            "data.h5",
            heavy=name in HEAVY_FORMATS,
        )
        for name, output in EXPORTS.items()
    },
    "train": Case((*TRAIN, "--checkpoint-every", "20", "-o", "{out}/run"), "run", "--resume", heavy=True),
}


@dataclass(frozen=True)
class Fault:
    """The call that fails, counted from 1; with ``for_ever`` all later ones too."""

    call: int
    error: str
    for_ever: bool

    def __str__(self) -> str:
        return f"{self.error} {'from call' if self.for_ever else 'at call'} {self.call}"


@dataclass(frozen=True)
class End:
    """How a command ended: its exit code, negative for a signal, and its standard error."""

    code: int
    text: str


class Zygote:
    """A process that has imported everything, and forks for each command.

    Args:
        shim: the compiled `SHIM`.
        heavy: import TensorFlow too.
    """

    def __init__(self, shim: Path, *, heavy: bool) -> None:
        command = [sys.executable, __file__, "--zygote", "heavy" if heavy else "light"]
        env = {**os.environ, "LD_PRELOAD": str(shim), "MPLBACKEND": "agg"}
        self._process = subprocess.Popen(
            command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, arguments: list[str], log: Path, settings: dict[str, str]) -> End:
        """Run a command in a fork, with settings of the shim."""
        sink, source = self._process.stdin, self._process.stdout
        assert sink is not None
        assert source is not None
        print(
            json.dumps({"arguments": arguments, "log": str(log), "settings": settings}), file=sink, flush=True
        )
        answer = source.readline()
        if not answer:
            raise SystemExit("the process that forks has ended")
        return End(int(answer), log.read_text(errors="replace"))

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


@dataclass
class Attack:
    """Attacks on one case.

    Attributes:
        name: the case's name.
        case: the case.
        zygote: runs the commands.
        room: a folder for everything.
        ends: counts of how commands ended.
    """

    name: str
    case: Case
    zygote: Zygote
    room: Path
    ends: Counter[str] = field(default_factory=Counter)

    def reference(self) -> list[str]:
        """Run the command undisturbed; return its watched calls, such as ``pwrite /…/data.h5``."""
        trace = self.room / "trace"
        trace.unlink(missing_ok=True)
        end = self._run("reference", {"FAILING_TRACE": str(trace)})
        if end.code:
            raise SystemExit(f"{self.name} fails undisturbed: {end.text}")
        return [line.partition(" ")[2].strip() for line in trace.read_text().splitlines()]

    def problems(self, fault: Fault, trace: list[str]) -> Iterator[str]:
        """Run the command with a fault, and again without; yield what is wrong."""
        folder = self._folder("out")
        shutil.rmtree(folder, ignore_errors=True)
        settings = {
            "FAILING_AT": str(fault.call),
            "FAILING_ERRNO": str(ERRORS[fault.error]),
            "FAILING_FOREVER": str(int(fault.for_ever)),
        }
        end = self._run("out", settings)
        self.ends[f"exit code {end.code}"] += 1
        yield from _told(end)
        output, wanted = folder / self.case.output, self._folder("reference") / self.case.output
        resumes = self.case.again == "--resume"
        if output.exists() and not (resumes and output.is_dir()):
            yield from (f"wrong under its name: {each}" for each in differences(wanted, output))
        elif end.code == 0:
            yield "exit code 0, and no output"
        yield from _leftovers(folder)
        if self.name == "collect" and not output.exists():
            # A rename counts once the folder was flushed after it.
            safe = trace[: max(0, fault.call - 2)]
            published = sum(call.startswith("rename") and "/shard-" in call for call in safe)
            found = len(list(folder.glob("*.shards/shard-*.npz")))
            if found < published:
                yield f"{published - found} shards are lost"
        end = self._run("out", {}, *([self.case.again] if output.exists() or resumes else []))
        if end.code:
            yield f"the second try ends with exit code {end.code}: {_last(end.text)}"
        else:
            yield from (f"after the second try: {each}" for each in differences(wanted, output))
            yield from (f"after the second try: {each}" for each in _leftovers(folder))

    def _run(self, where: str, settings: dict[str, str], *more: str) -> End:
        folder, state = self._folder(where), self.room / "state"
        folder.mkdir(exist_ok=True)
        state.write_bytes(bytes(8))
        places = {"{out}": str(folder), "{in}": str(self.room / "in")}
        arguments = [*self.case.arguments, *more]
        for mark, place in places.items():
            arguments = [argument.replace(mark, place) for argument in arguments]
        watched = {"FAILING_FOLDER": f"{folder}/", "FAILING_STATE": str(state)} if settings else {}
        return self.zygote.run(arguments, self.room / "log", {**watched, **settings})

    def _folder(self, where: str) -> Path:
        return self.room / self.name / where


def _leftovers(folder: Path) -> Iterator[str]:
    for path in folder.rglob(".*"):
        if UNFINISHED.fullmatch(path.name):
            yield f"{path.relative_to(folder)} is left"


def _told(end: End) -> Iterator[str]:
    """Yield what is wrong with the end of a command."""
    lines = [line for line in end.text.splitlines() if line.startswith("error: ")]
    if end.code not in (0, 1):
        yield f"exit code {end.code}: {_last(end.text)}"
    if "Traceback" in end.text or "Exception ignored" in end.text:
        yield f"a traceback: {_last(end.text)}"
    if len(lines) != (end.code == 1):
        yield f"{len(lines)} lines of error with exit code {end.code}: {_last(end.text)}"


def _last(text: str) -> str:
    return " | ".join(text.strip().splitlines()[-3:])


def differences(wanted: Path, found: Path) -> Iterator[str]:
    """Yield the differences of two outputs: files by their content, archives and HDF5 files by their arrays."""
    if wanted.is_dir():
        names = {path.relative_to(wanted) for path in wanted.rglob("*") if path.is_file()}
        names ^= {path.relative_to(found) for path in found.rglob("*") if path.is_file()}
        yield from (f"{name} is on one side only" for name in sorted(names) if not _may_differ(name))
        for path in sorted(wanted.rglob("*")):
            other = found / path.relative_to(wanted)
            if path.is_file() and other.is_file() and not _may_differ(path):
                yield from differences(path, other)
    elif not found.exists():
        yield f"{found.name} is missing"
    else:
        ours, theirs = _content(wanted), _content(found)
        for name in sorted(ours.keys() | theirs.keys()):
            if not _equal(ours.get(name), theirs.get(name)):
                yield f"{found.name}: {name} differs"


def _may_differ(path: Path) -> bool:
    return path.name == "metrics.csv" or path.name.startswith("events.out.")


def _content(path: Path | IO[bytes], name: str = "") -> dict[str, Any]:
    """Return the parts of a file by name."""
    name = name or str(getattr(path, "name", ""))
    try:
        if name.endswith((".h5", ".hdf5")):
            with h5py.File(path, "r") as file:
                return _tree(file)
        if name.endswith((".npz", ".keras")):
            with zipfile.ZipFile(path) as archive:
                found: dict[str, Any] = {}
                for member in archive.namelist():
                    if member not in DIFFER_ANYWAY:
                        with archive.open(member) as part:
                            found |= {
                                f"{member} {key}": value for key, value in _content(part, member).items()
                            }
                return found
        return {"the content": path.read_bytes() if isinstance(path, Path) else path.read()}
    except (OSError, RuntimeError, zipfile.BadZipFile) as error:
        return {"all of it": f"it cannot be read: {error}"}


def _tree(file: h5py.File) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def add(name: str, node: Any) -> None:
        found.update({f"{name}@{key}": value for key, value in node.attrs.items()})
        if isinstance(node, h5py.Dataset):
            found[name] = node[()]

    add("", file)
    file.visititems(add)
    return found


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        same = one.dtype == other.dtype and one.shape == other.shape
        return same and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    return type(one) is type(other) and bool(np.all(one == other))


def serve(kind: str) -> None:
    """Import everything, then fork for each line of standard input. A child returns, and ends as any command does."""
    import ctypes
    import gc

    import typer

    from vinci_offline.cli.app import app
    from vinci_offline.convert.registry import NAMES, find_format
    from vinci_offline.envs.collect import collector  # noqa: F401

    for module in ("gymnasium", "matplotlib.pyplot", "pandas", "pyarrow.parquet", "pydantic.main"):
        import_module(module)
    for name in NAMES:
        if kind == "heavy" or name not in HEAVY_FORMATS:
            find_format(name)
    if kind == "heavy":
        from vinci_offline.keras_setup import import_tensorflow
        from vinci_offline.training import trainer  # noqa: F401

        import_tensorflow()
    set_up, command = ctypes.CDLL(None).failing_calls_set_up, typer.main.get_command(app)
    gc.freeze()
    for line in sys.stdin:
        task = json.loads(line)
        child = os.fork()
        if child == 0:
            log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            for descriptor in (1, 2):
                os.dup2(log, descriptor)
            os.environ.update(task["settings"])
            set_up()
            try:
                command(task["arguments"])
            except SystemExit as end:
                if "FAILING_AT" in task["settings"]:
                    raise  # the end of the process is under attack too
                sys.stderr.flush()
                os._exit(end.code if isinstance(end.code, int) else 0)
        print(_wait(child), flush=True)


def _wait(child: int) -> int:
    """Return the exit code of a child; it is killed after `LIMIT` seconds."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return -9


def prepare(room: Path, names: list[str]) -> None:
    """Make the sources of the cases."""
    import vinci_offline as vinci
    from vinci_offline.convert.conversion import write

    folder = room / "in"
    folder.mkdir()
    dataset = vinci.collect("Pendulum-v1", folder / "data.h5", steps=3000, seed=2, progress=False)
    dataset.save(folder / "frames.h5", frames="once")
    shutil.copy(folder / "data.h5", folder / "damaged.h5")
    with h5py.File(folder / "damaged.h5", "r+") as file:
        file["rewards"][7] = np.nan
    for name, output in EXPORTS.items():
        if f"convert-from-{name}" in names:
            (folder / name / output).parent.mkdir(parents=True, exist_ok=True)
            write(dataset, folder / name / output, kind=name)


def chosen(calls: int, most: int, chance: random.Random) -> list[Fault]:
    """Return the faults to try: all, or ``most`` drawn at random."""
    faults = [
        Fault(call, error, for_ever)
        for call in range(1, calls + 1)
        for error in ERRORS
        for for_ever in (False, True)
    ]
    return (
        faults
        if not most or most >= len(faults)
        else sorted(chance.sample(faults, most), key=lambda f: f.call)
    )


def main() -> None:
    options = parse()
    if options.zygote:
        serve(options.zygote)
        return
    names = options.cases or list(CASES)
    chance = random.Random(options.seed)
    wrong = tried = 0
    with tempfile.TemporaryDirectory() as name:
        room = Path(name).resolve()
        shim = room / "failing_calls.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(shim), str(SHIM), "-ldl"], check=True)
        prepare(room, names)
        zygotes: dict[bool, Zygote] = {}
        for each in names:
            case = CASES[each]
            if case.heavy not in zygotes:
                zygotes[case.heavy] = Zygote(shim, heavy=case.heavy)
            (room / each).mkdir()
            attack = Attack(each, case, zygotes[case.heavy], room)
            trace = attack.reference()
            faults = chosen(len(trace), options.most, chance)
            found = 0
            for fault in faults:
                for problem in attack.problems(fault, trace):
                    found += 1
                    call = trace[fault.call - 1] if fault.call <= len(trace) else "?"
                    print(f"{each}: {fault} ({call.replace(str(room), '')}): {problem}", flush=True)
            ends = ", ".join(f"{count} {end}" for end, count in sorted(attack.ends.items()))
            print(f"{each}: {len(trace)} calls, {len(faults)} faults: {ends}; {found} problems", flush=True)
            wrong, tried = wrong + found, tried + len(faults)
        for zygote in zygotes.values():
            zygote.close()
    print(f"{tried:,} faults in {len(names)} commands, {wrong} problems")
    if wrong:
        raise SystemExit(1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"some of: {', '.join(CASES)}")
    parser.add_argument(
        "--most", type=int, default=100, help="faults of each command, drawn at random; 0 is all"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the draw")
    parser.add_argument("--zygote", choices=("light", "heavy"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.cases) - set(CASES):
        parser.error(f"no such cases: {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
