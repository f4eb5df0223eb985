"""Kill a training run at random moments, resume it each time, and compare it with an uninterrupted one.

    python scripts/faults/kill_training.py pendulum-mixed --kills 50 -- --agent iql --phases critic:1500,actor:1500

Arguments after ``--`` go to ``vinci-offline train``. Three in four kills fall into training and saving, the others
into starting and resuming. After each kill every published file must be whole. At the end every array of the last
checkpoint and every weight of the networks must equal the uninterrupted run's bit for bit. A run that finishes early is
compared, and a new one takes the remaining kills. The exit code is 1 if anything differs.
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
"""Share of the kills that fall into the start of a process; the others wait for a checkpoint."""


@dataclass(frozen=True)
class Pace:
    """Seconds of an uninterrupted run: until its first checkpoint, and after it."""

    start: float
    rest: float


@dataclass
class Tally:
    """Counts of the kills and of the files that they left."""

    kills: int = 0
    in_start: int = 0
    unfinished_files: int = 0
    checked: int = 0


class Victim(subprocess.Popen[bytes]):
    """``train`` process; its output is shown if it fails by itself."""

    def __init__(self, arguments: list[str], run: Path, *, resume: bool) -> None:
        self.run, self.log = run, tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [*TRAIN, *arguments, "-o", str(run), *(["--resume"] if resume else [])]
        super().__init__(command, stdout=self.log, stderr=subprocess.STDOUT)

    def saves_within(self, seconds: float) -> bool:
        """Wait for a new checkpoint; return False if the process or the time ends first."""
        before, deadline = checkpoints(self.run), time.monotonic() + seconds
        while checkpoints(self.run) <= before:
            if self.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def finished(self) -> bool:
        """Return True if it has reached its end.

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
            problems += kill_and_resume(arguments, victim, pace, options.kills, tally, chance)
            problems += differences(reference, victim)
            shutil.rmtree(victim)
    print(
        f"{tally.kills} kills of {runs} run{'s' * (runs > 1)}, {tally.in_start} of them at the start; "
        f"{tally.checked} published files read, {tally.unfinished_files} unpublished files lay beside them"
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
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    # argparse would read arguments after -- as its own positional ones.
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    return parser.parse_args(words[:cut], argparse.Namespace(train=words[cut + 1 :]))


def uninterrupted(arguments: list[str], run: Path) -> Pace:
    """Run without a kill and return the times."""
    began = time.monotonic()
    process = Victim(arguments, run, resume=False)
    process.saves_within(float("inf"))
    saved = time.monotonic()
    process.wait()
    assert process.finished()
    return Pace(saved - began, time.monotonic() - saved)


def kill_and_resume(
    arguments: list[str], run: Path, pace: Pace, kills: int, tally: Tally, chance: random.Random
) -> list[str]:
    """Kill and resume a run until the kills are used up or it is done, let it finish, and return the problems."""
    problems: list[str] = []
    while tally.kills < kills:
        process = Victim(arguments, run, resume=True)
        starting = chance.random() < START_SHARE
        if starting:
            time.sleep(chance.uniform(0, pace.start))
        elif process.saves_within(10 * pace.start + 60):
            # The kills spread over the run: on average the last one falls at its end.
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
    """Return every archive under its final name: checkpoints, networks and policies."""
    archives = (*run.rglob("*.npz"), *run.rglob("*.keras"))
    return sorted(path for path in archives if not path.name.startswith("."))


def unreadable(run: Path) -> Iterator[str]:
    """Yield a problem for each archive that is cut short or has a wrong checksum."""
    for path in published(run):
        try:
            with zipfile.ZipFile(path) as archive:
                damaged = archive.testzip()
        except zipfile.BadZipFile as error:
            damaged = str(error)
        if damaged:
            yield f"{path.relative_to(run)} cannot be read: {damaged}"


def differences(reference: Path, run: Path) -> Iterator[str]:
    """Yield the arrays of the last checkpoint and the weights of networks that are not bitwise equal."""
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
    """Read the arrays of a checkpoint, or the weights of a Keras model."""
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
    """Compare bitwise: NaNs of the same bits are equal, zeros of two signs are not."""
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


if __name__ == "__main__":
    main()
