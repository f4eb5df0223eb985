"""Send SIGINT, SIGTERM and SIGHUP to commands at random moments, and see that each ends as it should.

    python scripts/faults/signals.py --signals 100
    python scripts/faults/signals.py --signals 20 --only train

The commands are ``collect`` and ``evaluate`` with two workers, ``train`` and ``convert``, in turns. The moments spread
over the time of an undisturbed command, its start included. A signal goes to the command alone, as from a scheduler, or
to all its processes, as from a terminal. In one case of four a second signal follows.

The exit code must be 128 plus the signal's number, with one line on standard error and no traceback. No process may
stay. ``collect`` and ``train`` go on with the very command that the line names, and their results must equal those of
undisturbed commands: columns, episode table and hash; every array of the checkpoint. No temporary file may be left. The
exit code is 1 if a promise does not hold. Before the program's first line runs, Python itself shows a traceback of
Ctrl-C; such cases are counted apart. Needs /proc.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from progress_lines import without_progress

from vinci_offline import Dataset

RUN = [sys.executable, "-m", "vinci_offline"]
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
AT_ONCE = 3.0
"""Seconds within which a second signal must end a command, on a busy machine."""
PATIENCE = 180.0


@dataclass(frozen=True)
class Job:
    """A command to disturb.

    Attributes:
        words: its words; OUT stands for the folder of its results.
        result: reads its results from the folder and its standard output.
        resumes: it goes on where it was; otherwise it leaves nothing.
    """

    words: tuple[str, ...]
    result: Callable[[Path, str], object]
    resumes: bool

    def start(self, folder: Path, words: list[str] | None = None) -> subprocess.Popen[str]:
        """Start it, or another command, in a session of its own."""
        given = [word.replace("OUT", str(folder)) for word in self.words] if words is None else words
        return subprocess.Popen(
            [*RUN, *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )


def data_of(folder: Path, shown: str) -> object:
    dataset = Dataset.open(folder / "my data.h5")
    columns = {path: np.asarray(values).tobytes() for path, values in dataset.columns.items()}
    return columns, dataset.episodes.to_csv(), dataset.hash


def state_of(folder: Path, shown: str) -> object:
    newest = max((folder / "my run" / "checkpoints").glob("step-*.npz"))
    with np.load(newest) as archive:
        return newest.name, {name: archive[name].tobytes() for name in archive.files}


def file_of(folder: Path, shown: str) -> object:
    return (folder / "my table.csv").read_bytes()


def text_of(folder: Path, shown: str) -> object:
    return shown


JOBS = {
    "collect": Job(
        ("collect", "Pendulum-v1", "-o", "OUT/my data.h5", "--steps", "100000", "--workers", "2", "--seed", "3"),
        data_of,
        resumes=True,
    ),
    "train": Job(
        ("train", "pendulum-mixed", "--agent", "bc", "--set", "hidden=8,8", "--jit", "off", "--batch-size", "16",
         "--steps", "2000", "--log-every", "50", "--checkpoint-every", "250", "-o", "OUT/my run"),
        state_of,
        resumes=True,
    ),
    "convert": Job(("convert", "pendulum-mixed", "OUT/my table.csv"), file_of, resumes=False),
    "evaluate": Job(
        ("evaluate", "random", "--env", "Pendulum-v1", "--episodes", "400", "--workers", "2", "--json"),
        text_of,
        resumes=False,
    ),
}  # fmt: skip


class Attack:
    """A signal, perhaps a second one, and what came of them.

    Attributes:
        problems: the promises that did not hold.
        outcome: ``interrupted``, ``finished before``, or ``in Python's own start``.
    """

    def __init__(self, job: Job, folder: Path, chance: random.Random, seconds: float, *, twice: bool) -> None:
        self.problems: list[str] = []
        self.outcome = "interrupted"
        self._job, self._folder = job, folder
        first, delay = chance.choice(SIGNALS), chance.uniform(0, seconds)
        second = chance.choice((signal.SIGINT, first)) if twice else None
        pause = chance.uniform(0.15, 0.6) if second == signal.SIGINT else 2.2
        group = chance.random() < 0.5
        self._told = f"{first.name} {'to all' if group else 'to it'} after {delay:.2f} s"
        process = job.start(folder)
        time.sleep(delay)
        sent = [first] if self._send(process, first, group) else []
        late = 0.0
        if second is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(pause)
            if self._send(process, second, group):
                self._told += f", then {second.name}"
                sent.append(second)
                began = time.monotonic()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(AT_ONCE)
                late = time.monotonic() - began
        self._shown, said = self._finish(process)
        self._said = without_progress(said)
        if late >= AT_ONCE:
            self._fault(f"went on for {late:.1f} s after the second signal")
        self._check_end(process.returncode, sent)
        self._check_processes(process.pid)

    def go_on(self, wanted: object) -> None:
        """Run what the line says, and compare the results with those of an undisturbed command."""
        left = sorted(path.name for path in self._folder.rglob(".*"))
        if not self._job.resumes:
            if left:
                self._fault(f"left {', '.join(left)}")
            if self.outcome != "finished before" and not any(self._folder.iterdir()):
                return
        elif self.outcome != "finished before":
            process = self._job.start(self._folder, self._advice())
            self._shown, said = self._finish(process)
            if process.returncode:
                self._fault(f"going on ended with {process.returncode}: {said.strip()}")
                return
        if self._job.result(self._folder, self._shown) != wanted:
            self._fault("another result than that of an undisturbed command")
        left = sorted(
            path.name
            for path in self._folder.rglob("*")
            if path.name.startswith(".") or path.suffix == ".shards"
        )
        if left:
            self._fault(f"left {', '.join(left)} at the end")

    def _advice(self) -> list[str] | None:
        """Return the words that the line names; None where the command had not begun."""
        _, mark, command = self._said.strip().partition("interrupted: go on with: ")
        if not mark:
            if self.outcome == "interrupted" and any(self._folder.iterdir()):
                self._fault(f"no command to go on with in {self._said!r}")
            return None
        return shlex.split(command)[1:]

    def _check_end(self, code: int, sent: list[signal.Signals]) -> None:
        lines = self._said.strip().splitlines()
        early = code < 0 and -code in sent and not lines
        if "Traceback" in self._said and "vinci_offline" not in self._said:
            early = True  # Python's own start: not a line of the program has run
        if early and not self._shown:
            self.outcome = "in Python's own start"
        elif not sent or (code == 0 and "Traceback" not in self._said) or (early and self._shown):
            self.outcome = "finished before"
        elif code not in [128 + each for each in sent] and not (lines and -code in sent[1:]):
            # A shell shows 128 plus the number too where a second signal meets Python's own end.
            self._fault(f"exit code {code}: {self._said[-2000:]!r}")
        elif len(lines) != 1 or not lines[0].startswith("interrupted"):
            self._fault(f"not one line: {self._said[-2000:]!r}")

    def _check_processes(self, session: int) -> None:
        deadline = time.monotonic() + 5
        while left := list(members(session)):
            if time.monotonic() > deadline:
                self._fault(f"{len(left)} processes stayed")
                for pid in left:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.05)

    def _finish(self, process: subprocess.Popen[str]) -> tuple[str, str]:
        try:
            return process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self._fault(f"hung for {PATIENCE:.0f} s")
            os.killpg(process.pid, signal.SIGKILL)
            return process.communicate()

    def _send(self, process: subprocess.Popen[str], signum: int, group: bool) -> bool:
        if process.poll() is not None:
            return False
        (os.killpg if group else os.kill)(process.pid, signum)
        return True

    def _fault(self, text: str) -> None:
        self.problems.append(f"{self._job.words[0]}, {self._told}: {text}")


def members(session: int) -> Iterator[int]:
    """Yield the processes of a session that have not ended."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
                if int(fields[3]) == session and fields[0] not in "ZX":
                    yield int(entry.name)


def main() -> None:
    options = parse()
    for (
        each
    ) in SIGNALS:  # those that a shell ignores in its background jobs would be ignored by the commands too
        signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)
    chance = random.Random(options.seed)
    names = options.only or list(JOBS)
    outcomes: Counter[str] = Counter()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as root:
        wanted, seconds = {}, {}
        for name in names:
            folder = Path(root) / name
            folder.mkdir()
            began = time.monotonic()
            process = JOBS[name].start(folder)
            shown, said = process.communicate()
            if process.returncode:
                raise SystemExit(f"{name} failed: {said}")
            wanted[name], seconds[name] = JOBS[name].result(folder, shown), time.monotonic() - began
        print(
            "undisturbed: " + ", ".join(f"{name} {taken:.1f} s" for name, taken in seconds.items()),
            flush=True,
        )
        for number in range(options.signals):
            name = names[number % len(names)]
            twice = number // len(names) % 4 == 3
            with tempfile.TemporaryDirectory(dir=root, prefix="a b ") as folder_name:
                attack = Attack(JOBS[name], Path(folder_name), chance, seconds[name], twice=twice)
                if not attack.problems:
                    attack.go_on(wanted[name])
            outcomes[attack.outcome] += 1
            for problem in attack.problems:
                print(problem, flush=True)
            problems += attack.problems
            print(f"  {number + 1} of {options.signals}", end="\r", file=sys.stderr, flush=True)
    print(
        f"{options.signals} signals: "
        + ", ".join(f"{count} {what}" for what, count in outcomes.most_common())
    )
    if problems:
        raise SystemExit(1)
    print(
        "each ended with one line and 128 + n; no process and no temporary file stayed; all results are equal"
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--signals", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments and signals")
    parser.add_argument("--only", action="append", choices=list(JOBS), help="disturb this command alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
