"""Run every command that writes on a full disk, then again with room.

    python scripts/faults/full_disk.py

Each command works on a small tmpfs; without root rights the script mounts it in a namespace of its own (Linux,
`unshare`). On a full disk the command must end with exit code 1 and a one-line message, change no other file and leave
no unfinished file under a final name. With room it must finish, with ``--resume`` if it can resume. Several sizes let
the disk fill at different moments. The exit code is 1 if anything differs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RUN = [sys.executable, "-c", "from vinci_offline.cli.app import main; main()"]
ROOM = "256m"


@dataclass(frozen=True)
class Case:
    """Command to run on disks that are too small.

    Attributes:
        name: name of the case.
        arguments: arguments of the command; ``{disk}`` stands for the small disk.
        output: path on the disk that the command makes.
        sizes: sizes of the disk in KiB, all of them too small.
        resumes: True if the command has ``--resume``.
    """

    name: str
    arguments: tuple[str, ...]
    output: str
    sizes: tuple[int, ...]
    resumes: bool = False


TRAIN = ("train", "pendulum-mixed", "--agent", "td3bc", "--steps", "400", "--checkpoint-every", "100")
CASES = (
    Case(
        "collect",
        ("collect", "Pendulum-v1", "-o", "{disk}/data.h5", "--steps", "60000", "--seed", "1"),
        "data.h5",
        (64, 400, 1200, 2400, 3600),
        resumes=True,
    ),
    Case(
        "select",
        ("select", "pendulum-mixed", "-o", "{disk}/data.h5", "--where", "step < 190"),
        "data.h5",
        (64, 1000, 1900),
    ),
    Case("convert to D4RL", ("convert", "pendulum-mixed", "{disk}/data.hdf5"), "data.hdf5", (64, 500, 1000)),
    Case("convert to NumPy", ("convert", "pendulum-mixed", "{disk}/data.npz"), "data.npz", (64, 500, 1000)),
    Case(
        "convert to robomimic",
        ("convert", "pendulum-mixed", "{disk}/demos.hdf5", "--to", "robomimic"),
        "demos.hdf5",
        (64, 500, 1000),
    ),
    Case(
        "convert to d3rlpy",
        ("convert", "pendulum-mixed", "{disk}/data.h5", "--to", "d3rlpy"),
        "data.h5",
        (64, 500, 1000),
    ),
    Case(
        "convert to Minari",
        ("convert", "pendulum-mixed", "{disk}/pendulum/mixed-v0", "--to", "minari"),
        "pendulum/mixed-v0",
        (64, 500, 1000),
    ),
    Case(
        "train",
        (*TRAIN, "-o", "{disk}/run"),
        "run/checkpoints/step-0000000400.npz",
        (64, 1500, 6000),
        resumes=True,
    ),
)


def main() -> None:
    if os.geteuid() != 0 and "INSIDE" not in os.environ:
        command = ["unshare", "--map-root-user", "--mount", sys.executable, *sys.argv]
        raise SystemExit(subprocess.run(command, env={**os.environ, "INSIDE": "1"}, check=False).returncode)
    problems = []
    for case in CASES:
        for size in case.sizes:
            found = list(attempt(case, size))
            print(
                f"{case.name}, {size:,} KiB: {'; '.join(found) or 'refused in one line, nothing lost'}",
                flush=True,
            )
            problems += found
    if problems:
        raise SystemExit(1)


def attempt(case: Case, size: int) -> Iterator[str]:
    """Run a command on a disk that is too small, and again with room; yield the problems."""
    with tempfile.TemporaryDirectory() as name, mounted(Path(name), f"{size}k") as disk:
        (disk / "precious.txt").write_text("precious")
        done = run(case, disk)
        lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        if done.returncode != 1 or len(lines) != 1 or "Traceback" in done.stderr:
            yield f"exit code {done.returncode}: {' | '.join(done.stderr.strip().splitlines()[-3:])}"
        elif not any(word in lines[0] for word in ("full", "room", "space")):
            yield f"the message does not mention space: {lines[0]}"
        if (disk / case.output).exists():
            yield f"{case.output} exists, although it is unfinished"
        if (disk / "precious.txt").read_text() != "precious":
            yield "another file changed"
        subprocess.run(["mount", "-o", f"remount,size={ROOM}", str(disk)], check=True)
        done = run(case, disk, *(["--resume"] if case.resumes else []))
        if done.returncode != 0:
            yield f"with room: exit code {done.returncode}: {' | '.join(done.stderr.strip().splitlines()[-3:])}"
        elif not (disk / case.output).exists():
            yield f"with room: {case.output} is missing"
        left = [str(path.relative_to(disk)) for path in disk.rglob(".*.tmp*")]
        if left:
            yield f"temporary files remain: {', '.join(left)}"


def run(case: Case, disk: Path, *more: str) -> subprocess.CompletedProcess[str]:
    arguments = [argument.format(disk=disk) for argument in case.arguments]
    return subprocess.run([*RUN, *arguments, *more], capture_output=True, text=True, check=False)


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    """Mount a small file system at a folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


if __name__ == "__main__":
    main()
