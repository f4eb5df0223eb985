"""Kill collections at random moments, resume each, and compare them with an uninterrupted one.

    python scripts/faults/kill_collection.py --kills 200
    python scripts/faults/kill_collection.py CartPole-v1 --kills 50 -- --steps 60000 --record-infos x

Arguments after ``--`` go to ``vinci-offline collect``. Kills hit a worker, the parent, or both, in turns. Three in four
of them fall into recording, joining and publishing, the others at any time after the start. A collection that finishes
early is compared, and a new one takes the remaining kills. After each kill every published file must be whole. At the
end every column, the episode table and the hash must equal those of the uninterrupted collection, and no temporary file
may remain. The exit code is 1 if anything differs. Needs /proc.
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
    """``collect`` process; its output is shown if it fails by itself."""

    def __init__(self, arguments: list[str], output: Path) -> None:
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [*COLLECT, *arguments, "-o", str(output), "--resume"]
        super().__init__(command, stdout=self.log, stderr=subprocess.STDOUT)

    def workers(self) -> list[int]:
        """Return the process numbers of its workers, without multiprocessing's own helper."""
        found: list[int] = []
        with suppress(OSError):
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
            found += (int(child) for child in children if _is_worker(child))
        return found

    def wait_for_workers(self) -> None:
        """Wait until it has workers, or has ended."""
        while not self.workers() and self.poll() is None:
            time.sleep(0.005)

    def kill_target(self, target: str, chance: random.Random) -> str:
        """Kill it, one of its workers, or both, and return the target: the parent if no worker runs yet."""
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
        return target if workers else "parent without workers"

    def fail(self, code: int) -> None:
        """Show its output.

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
            problems += kill_and_resume(arguments, output, seconds, options.kills, hits, chance)
            problems += differences(folder / "reference.h5", output)
            output.unlink(missing_ok=True)
    print(
        f"{sum(hits.values())} kills of {runs} collections: "
        + ", ".join(f"{n} {target}" for target, n in hits.items())
    )
    for problem in problems:
        print(problem)
    if problems:
        raise SystemExit(1)
    print("every column, the episode table and the hash equal those of the uninterrupted collection")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("env", nargs="?", default="Pendulum-v1")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    # argparse would read arguments after -- as its own positional ones.
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    return parser.parse_args(words[:cut], argparse.Namespace(collect=words[cut + 1 :]))


def kill_and_resume(
    arguments: list[str],
    output: Path,
    seconds: float,
    kills: int,
    hits: Counter[str],
    chance: random.Random,
) -> list[str]:
    """Kill and resume a collection until kills are used up or it is done; let it finish and return the problems."""
    problems: list[str] = []
    while (done := sum(hits.values())) < kills:
        process = Victim(arguments, output)
        if chance.random() > START_SHARE:
            process.wait_for_workers()
        time.sleep(chance.uniform(0, seconds))
        if process.poll() is not None:
            finish(process)
            return problems
        hits[process.kill_target(TARGETS[done % len(TARGETS)], chance)] += 1
        print(f"  kill {done + 1} of {kills}", end="\r", file=sys.stderr, flush=True)
        problems += (f"after kill {done + 1}: {problem}" for problem in damaged_files(output))
    finish(Victim(arguments, output))
    return problems


def _is_worker(pid: str) -> bool:
    with suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def finish(process: Victim) -> None:
    if (code := process.wait()) != 0:
        process.fail(code)


def damaged_files(output: Path) -> Iterator[str]:
    """Yield a problem for each published file that is not whole."""
    if output.exists():
        yield from (f"{output.name}: {problem}" for problem in validate(output))
    for shard in output.parent.glob(f"{output.name}.shards/shard-*.npz"):
        # A worker may outlive its parent for a while, but it publishes whole files only.
        with suppress(FileNotFoundError):
            try:
                with zipfile.ZipFile(shard) as archive:
                    damaged = archive.testzip()
            except zipfile.BadZipFile as error:
                damaged = str(error)
            if damaged:
                yield f"{shard.name} cannot be read: {damaged}"


def differences(reference: Path, output: Path) -> Iterator[str]:
    """Yield the differences of a resumed collection from the uninterrupted one."""
    wanted, found = Dataset.open(reference), Dataset.open(output)
    if found.hash != wanted.hash or found.compute_hash() != wanted.hash:
        yield f"{output.name}: the hash differs"
    for path in sorted({*wanted.columns, *found.columns}):
        if path not in found.columns or path not in wanted.columns:
            yield f"{output.name}: only one of the two has {path}"
        elif not np.array_equal(wanted.columns[path], found.columns[path], equal_nan=True):
            yield f"{output.name}: {path} differs"
    if not wanted.episodes.equals(found.episodes):
        yield f"{output.name}: the episode table differs"
    left = [path.name for path in output.parent.iterdir() if output.name in path.name and path != output]
    if left:
        yield f"{output.name}: {', '.join(left)} remains beside it"


if __name__ == "__main__":
    main()
