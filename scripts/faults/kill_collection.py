"""Kill collections at random moments, resume each, and compare what they record with one that nobody touched.

    python scripts/faults/kill_collection.py --kills 200
    python scripts/faults/kill_collection.py CartPole-v1 --kills 50 -- --steps 60000 --record-infos x

What follows ``--`` goes to ``vinci-offline collect`` as it is. The victim of a kill is a worker, the parent, or both,
in turn. Most moments are uniform over the time that recording, joining and publishing take, every fourth falls anywhere
from a process's start on; a collection that finishes before its kill is compared and another one takes the rest. After
each kill every published file must be whole; at the end every column, the episode table and the hash must be those of
the collection that nobody touched, and nothing may lie beside the file. Exits 1 where anything differs. Needs /proc.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from vinci_offline import Dataset
from vinci_offline.quality.validation import validate

COLLECT = [sys.executable, "-c", "from vinci_offline.cli.app import main; main()", "collect"]
TARGETS = ("worker", "parent", "both")
START_SHARE = 0.25
DEFAULT = ["--steps", "300000", "--workers", "2", "--seed", "3"]


class Victim(subprocess.Popen[bytes]):
    """A ``collect`` process; what it says is shown if it fails by itself."""

    def __init__(self, arguments: list[str], output: Path) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [*COLLECT, *arguments, "-o", str(output), "--resume"]
        super().__init__(command, stdout=self.log, stderr=subprocess.STDOUT)

    def workers(self) -> list[int]:
        """The process numbers of its workers; multiprocessing's own helper is none."""
        found: list[int] = []
        with suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
            found += (int(child) for child in children if _is_worker(child))
        return found

    def starts_recording(self) -> None:
        """Wait for its workers, or for its end."""
        while not self.workers() and self.poll() is None:
            time.sleep(0.005)

    def strike(self, target: str, chance: random.Random) -> str:
        """Kill it, or one of its workers, or both. Who was hit: the parent where there is no worker yet."""
        workers = self.workers()
        pids = [chance.choice(workers)] if workers and target != "parent" else []
        if target != "worker" or not workers:
            pids.append(self.pid)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        code = self.wait()
        if self.pid not in pids and code not in (0, 1):
            self.fail(code)
        return target if workers else "parent, still alone"

    def fail(self, code: int) -> None:
        """Show what it said.

        Raises:
            SystemExit: always.
        """
        self.log.seek(0)
        raise SystemExit(f"collect failed with exit code {code}:\n{self.log.read()}")


def main() -> None:
    options = parse()
    arguments = [options.env, *(options.collect or DEFAULT)]
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.monotonic()
        finish(Victim(arguments, folder / "reference.h5"))
        seconds = time.monotonic() - began
        print(
            f"uninterrupted: {seconds:.1f} s, {len(Dataset.open(folder / 'reference.h5')):,} rows", flush=True
        )
        hits: Counter[str] = Counter()
        problems, runs = [], 0
        while sum(hits.values()) < options.kills:
            runs += 1
            output = folder / f"victim-{runs}.h5"
            problems += torment(arguments, output, seconds, options.kills, hits, chance)
            problems += differences(folder / "reference.h5", output)
            output.unlink(missing_ok=True)
    print(
        f"{sum(hits.values())} kills of {runs} collections: "
        + ", ".join(f"{n} {who}" for who, n in hits.items())
    )
    for problem in problems:
        print(problem)
    if problems:
        raise SystemExit(1)
    print("every column, the episode table and the hash are those of the uninterrupted collection")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("env", nargs="?", default="Pendulum-v1")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    # argparse would take arguments after -- for positional ones of its own.
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    return parser.parse_args(words[:cut], argparse.Namespace(collect=words[cut + 1 :]))


def torment(
    arguments: list[str],
    output: Path,
    seconds: float,
    kills: int,
    hits: Counter[str],
    chance: random.Random,
) -> list[str]:
    """Kill and resume until the kills are spent or the collection is done; then let it finish. What was wrong."""
    problems: list[str] = []
    while (done := sum(hits.values())) < kills:
        process = Victim(arguments, output)
        if chance.random() > START_SHARE:
            process.starts_recording()
        time.sleep(chance.uniform(0, seconds))
        if process.poll() is not None:
            finish(process)
            return problems
        hits[process.strike(TARGETS[done % len(TARGETS)], chance)] += 1
        print(f"  kill {done + 1} of {kills}", end="\r", file=sys.stderr, flush=True)
        problems += (f"after kill {done + 1}: {problem}" for problem in unsound(output))
    finish(Victim(arguments, output))
    return problems


def _is_worker(pid: str) -> bool:
    with suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def finish(process: Victim) -> None:
    if (code := process.wait()) != 0:
        process.fail(code)


def unsound(output: Path) -> Iterator[str]:
    """Files under their final names that are not whole."""
    if output.exists():
        yield from (f"{output.name}: {problem}" for problem in validate(output))
    for shard in output.parent.glob(f"{output.name}.shards/shard-*.npz"):
        # A worker whose parent was killed may still be at work, but it publishes whole files or none.
        with suppress(FileNotFoundError):
            try:
                with zipfile.ZipFile(shard) as archive:
                    damaged = archive.testzip()
            except zipfile.BadZipFile as error:
                damaged = str(error)
            if damaged:
                yield f"{shard.name} cannot be read: {damaged}"


def differences(reference: Path, output: Path) -> Iterator[str]:
    """What distinguishes a resumed collection from the uninterrupted one."""
    wanted, found = Dataset.open(reference), Dataset.open(output)
    if found.hash != wanted.hash or found.compute_hash() != wanted.hash:
        yield f"{output.name}: another hash"
    for path in sorted({*wanted.columns, *found.columns}):
        if path not in found.columns or path not in wanted.columns:
            yield f"{output.name}: {path} is in one of the two only"
        elif not np.array_equal(wanted.columns[path], found.columns[path], equal_nan=True):
            yield f"{output.name}: {path} differs"
    if not wanted.episodes.equals(found.episodes):
        yield f"{output.name}: another episode table"
    left = [path.name for path in output.parent.iterdir() if output.name in path.name and path != output]
    if left:
        yield f"{output.name}: {', '.join(left)} lies beside it"


if __name__ == "__main__":
    main()
