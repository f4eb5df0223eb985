"""Measure the time from `train` to its first gradient step on a file of a million rows.

It is compared with a sum of unavoidable parts: a bare h5py read of the columns, an import of TensorFlow in a new
interpreter, and the compilation of the training loop. All take turns with a warm page cache; medians count. Run:

    python scripts/bench/startup.py --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from contenders.race import environment
from contenders.task import Task
from tables import keep, made_by, table

from datasets import read_bare, read_dataset, seconds, write
from vinci_offline import Dataset

GOALS = {"first step": 1.5, "reading": 1.2}
COMPILE = """
import sys, time
from contenders.ours import *
task = Task(sys.argv[1], rows=2048)
columns = task.columns()
learner = make_learner(task, columns["observations"])
names = "observations", "actions", "rewards", "terminals", "next_observations"
transitions = Transitions(*(columns[name] for name in names))
engine = make_engine(learner, transitions, batch_size=task.batch_size, seed=0)
began = time.perf_counter()
engine.run(learner.select(None), 0, 0)
print(time.perf_counter() - began)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--agent", default="td3bc")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table to this page")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = measure(Path(folder), options)
    print(text)
    if options.markdown:
        keep(options.markdown, "startup", f"{made_by()}\n\n{text}")


def measure(folder: Path, options: argparse.Namespace) -> str:
    """Write the file, time the parts in turns, and return the table."""
    file = folder / "bench.h5"
    write(file, options.rows)
    columns = list(Dataset.open(file).columns)
    parts: dict[str, Callable[[], float]] = {
        "bare h5py read of all columns": lambda: seconds(lambda: read_bare(file, columns)),
        "the same columns through `Dataset`": lambda: seconds(lambda: read_dataset(file)),
        "`import tensorflow` in a new interpreter": import_tensorflow,
        "compilation of the loop": lambda: compilation(options.agent),
        "`vinci-offline train` to the first step": lambda: first_step(file, folder / "run", options.agent),
    }
    times: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(options.rounds):
        for name, part in parts.items():
            times[name].append(part())
    bare, ours, imported, compiled, first = times.values()
    ratio = statistics.median(
        f / (b + i + c) for f, b, i, c in zip(first, bare, imported, compiled, strict=True)
    )
    reading = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    rows = [
        (name, f"{statistics.median(each):.3f}", f"{min(each):.3f} to {max(each):.3f}")
        for name, each in times.items()
    ]
    return (
        f"{options.rows:,} rows, 17 + 6 dimensions, {file.stat().st_size / 1e6:.0f} MB, {options.agent}: seconds\n\n"
        f"{table(('', 'median', 'range'), rows)}\n\n"
        f"First step over read + import + compilation: {ratio:.2f} (goal: at most {GOALS['first step']}). "
        f"`Dataset` over bare h5py: {reading:.2f} (goal: at most {GOALS['reading']})."
    )


def import_tensorflow() -> float:
    """Return the seconds from the start of the interpreter to the end of the import."""
    began = time.time()
    return float(python("-c", "import tensorflow, time; print(time.time())")) - began


def compilation(agent: str) -> float:
    """Return the seconds of tracing and XLA for the shapes of a default run."""
    return float(python("-c", COMPILE, agent))


def first_step(file: Path, run: Path, agent: str) -> float:
    """Return the seconds from the command to the row of its first step in ``metrics.csv``."""
    options = ["--agent", agent, "-o", str(run), "--steps", "1", "--log-every", "1", "--overwrite"]
    metrics = run / "metrics.csv"
    metrics.unlink(missing_ok=True)
    began = time.perf_counter()
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from vinci_offline.cli.app import main; main()",
            "train",
            str(file),
            *options,
        ],
        env=environment("tensorflow", Task()),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while not metrics.exists():
        if process.poll() is not None:
            raise SystemExit(f"`train` ended before its first step, with exit code {process.returncode}")
        time.sleep(0.002)
    elapsed = time.perf_counter() - began
    process.wait()
    return elapsed


def python(*arguments: str) -> str:
    """Return the last line that a new interpreter prints."""
    result = subprocess.run(
        [sys.executable, *arguments],
        env=environment("tensorflow", Task()),
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout.splitlines()[-1]


if __name__ == "__main__":
    main()
