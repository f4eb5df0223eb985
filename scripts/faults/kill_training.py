"""Kill a training run at random moments, resume it each time, and compare it with one that nobody touched.

    python scripts/faults/kill_training.py pendulum-mixed --kills 50 -- --agent iql --phases critic:1500,actor:1500

What follows ``--`` goes to ``vinci-offline train`` as it is. Most kills fall into training and saving, every fourth
into starting up and resuming. After each, every file that was published must be whole; at the end every array of the
last checkpoint and every weight of the networks must be bitwise what the uninterrupted run has. A run that finishes
before its kills are spent is compared, and another one takes the rest. Exits 1 where anything differs.
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

TRAIN = [sys.executable, "-c", "from vinci_offline.cli.app import main; main()", "train"]
START_SHARE = 0.25
"""Of the kills, those at any moment of a process's start; the others wait until it has saved something."""


@dataclass(frozen=True)
class Pace:
    """How long an uninterrupted run took: until its first checkpoint, and from there."""

    start: float
    rest: float


@dataclass
class Tally:
    """What the kills met."""

    kills: int = 0
    in_start: int = 0
    unfinished_files: int = 0
    checked: int = 0


class Victim(subprocess.Popen[bytes]):
    """A ``train`` process; what it says is shown if it fails by itself."""

    def __init__(self, arguments: list[str], run: Path, *, resume: bool) -> None:
        self.run, self.log = run, tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [*TRAIN, *arguments, "-o", str(run), *(["--resume"] if resume else [])]
        super().__init__(command, stdout=self.log, stderr=subprocess.STDOUT)

    def saves_within(self, seconds: float) -> bool:
        """Wait for a new checkpoint; False where the process ended, or the time, first."""
        before, deadline = checkpoints(self.run), time.monotonic() + seconds
        while checkpoints(self.run) <= before:
            if self.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def finished(self) -> bool:
        """Whether it reached its end.

        Raises:
            SystemExit: it failed by itself.
        """
        code = self.poll()
        if code not in (None, 0):
            self.log.seek(0)
            raise SystemExit(f"train failed with exit code {code}:\n{self.log.read()}")
        return code == 0


def main() -> None:
    options = parse()
    arguments = [options.data, "--checkpoint-every", str(options.checkpoint_every), *options.train]
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        reference = Path(folder) / "reference"
        pace = uninterrupted(arguments, reference)
        print(f"uninterrupted: {pace.start:.1f} s to the first checkpoint, {pace.rest:.1f} s from there")
        tally, runs, problems = Tally(), 0, list(unreadable(reference))
        while tally.kills < options.kills:
            runs += 1
            victim = Path(folder) / f"victim-{runs}"
            problems += torment(arguments, victim, pace, options.kills, tally, chance)
            problems += differences(reference, victim)
            shutil.rmtree(victim)
    print(
        f"{tally.kills} kills of {runs} run{'s' * (runs > 1)}, {tally.in_start} of them while starting; "
        f"{tally.checked} published files read, {tally.unfinished_files} unpublished ones lay beside them"
    )
    for problem in problems:
        print(problem)
    if problems:
        raise SystemExit(1)
    print("final networks and training state are bitwise equal to the uninterrupted run's")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="a shipped dataset's name, or a file")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--checkpoint-every", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    # argparse would take arguments after -- for positional ones of its own.
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    return parser.parse_args(words[:cut], argparse.Namespace(train=words[cut + 1 :]))


def uninterrupted(arguments: list[str], run: Path) -> Pace:
    """The run to compare with, and how long it took."""
    began = time.monotonic()
    process = Victim(arguments, run, resume=False)
    process.saves_within(float("inf"))
    saved = time.monotonic()
    process.wait()
    assert process.finished()
    return Pace(saved - began, time.monotonic() - saved)


def torment(
    arguments: list[str], run: Path, pace: Pace, kills: int, tally: Tally, chance: random.Random
) -> list[str]:
    """Kill and resume until the kills are spent or the run is done; then let it finish. What was unreadable."""
    problems: list[str] = []
    while tally.kills < kills:
        process = Victim(arguments, run, resume=True)
        starting = chance.random() < START_SHARE
        if starting:
            time.sleep(chance.uniform(0, pace.start))
        elif process.saves_within(10 * pace.start + 60):
            # On average the kills of one run are spent as it ends.
            time.sleep(chance.uniform(0, 2 * pace.rest / kills))
        if process.finished():
            return problems
        process.kill()
        process.wait()
        tally.kills += 1
        tally.in_start += starting
        tally.checked += len(published(run))
        tally.unfinished_files += len(list(run.rglob(".*.tmp*")))
        print(
            f"  kill {tally.kills} of {kills}",
            end="\r" if tally.kills < kills else "\n",
            file=sys.stderr,
            flush=True,
        )
        problems += (f"after kill {tally.kills}: {problem}" for problem in unreadable(run))
    process = Victim(arguments, run, resume=True)
    process.wait()
    assert process.finished()
    return problems


def checkpoints(run: Path) -> set[str]:
    return {str(path.relative_to(run)) for path in run.rglob("step-*.npz")}


def published(run: Path) -> list[Path]:
    """Every archive under its final name: checkpoints, networks and policies."""
    archives = (*run.rglob("*.npz"), *run.rglob("*.keras"))
    return sorted(path for path in archives if not path.name.startswith("."))


def unreadable(run: Path) -> Iterator[str]:
    """Archives that are cut short or whose checksums fail."""
    for path in published(run):
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        except zipfile.BadZipFile as error:
            damaged = str(error)
        if damaged:
            yield f"{path.relative_to(run)} cannot be read: {damaged}"


def differences(reference: Path, run: Path) -> Iterator[str]:
    """Arrays of the last checkpoint, and weights of the networks, that are not bitwise equal."""
    last = max(Path(name).name for name in checkpoints(reference))
    names = sorted(
        str(path.relative_to(reference))
        for path in published(reference)
        if path.suffix == ".keras" or path.name == last
    )
    for name in names:
        if not (run / name).is_file():
            yield f"{name} is missing"
            continue
        wanted, found = arrays(reference / name), arrays(run / name)
        for key in sorted({*wanted, *found}):
            if key not in wanted or key not in found or not same(wanted[key], found[key]):
                yield f"{name}: {key} differs"


def arrays(path: Path) -> dict[str, np.ndarray]:
    """A checkpoint's arrays, or a Keras model's weights."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    found: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(path) as archive:
        weights = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights, "r") as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
        )
    return found


def same(a: np.ndarray, b: np.ndarray) -> bool:
    """Bitwise, so that equal NaNs are equal and zeros of two signs are not."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


if __name__ == "__main__":
    main()
