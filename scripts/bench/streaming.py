"""Compare steps a second of a stream with the same rows in memory, in turns within one process.

TD3+BC, 17 + 6 dimensions, batch 256, widths 256, on a file several times the budget. The stream's turn uses whole
pools, so that its reads are counted in full. The other's turn has the same number of steps.

    python scripts/bench/streaming.py
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from contenders.ours import box, make_learner
from contenders.task import ACTIONS, OBSERVATIONS, Task
from tables import keep, made_by, table

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.batches.opening import open_source
from vinci_offline.batches.stream import Stream
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.training.engines import make_engine
from vinci_offline.training.engines.engine import Engine
from vinci_offline.training.learner import Learner
from vinci_offline.training.sizes import parse_bytes

PART = 250_000


def main() -> None:
    options = parse()
    budget = parse_bytes(options.budget, "--budget")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path, task = Path(folder) / "rows.h5", Task(rows=options.rows)
        write(path, task)
        learners, engines = {}, {}
        for memory in ("device", "stream"):
            source = open_source(
                Dataset.open(path), gamma=0.99, memory=memory, budget=budget, batch_size=task.batch_size
            )
            learners[memory] = make_learner(task, np.asarray(source.example(10_000)["observation"]))
            engines[memory] = make_engine(
                learners[memory], source, batch_size=task.batch_size, seed=0, jit="on"
            )
        assert isinstance(source, Stream)
        if source.span is None:
            raise SystemExit("the budget holds the whole file: give --rows more or --budget less")
        steps = source.span * options.pools
        rates, waits = race(learners, engines, steps, options.rounds)
        size = path.stat().st_size
        source.close()
    ratio = statistics.median(rates["stream"]) / statistics.median(rates["device"])
    rows = [
        (name, f"{statistics.median(values):,.0f}", f"{min(values):,.0f} to {max(values):,.0f}")
        for name, values in (("in memory", rates["device"]), ("streamed", rates["stream"]))
    ]
    text = (
        f"{task}; a file of {size / 2**20:,.0f} MiB, {size / budget:.1f} times the budget of "
        f"{budget / 2**20:,.0f} MiB, in the page cache; {options.rounds} turns of {steps:,} steps\n\n"
        + table(("", "steps a second", "range"), rows)
        + f"\n\nStreamed over in memory: {ratio:.2f}. Share of the time spent waiting for rows: "
        f"{statistics.median(waits):.4f} (at most {max(waits):.4f})."
    )
    print(text)
    if options.markdown:
        keep(options.markdown, "streaming", f"{made_by()}\n\n{text}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--budget", default="32MiB")
    parser.add_argument("--pools", type=int, default=1, help="pools of a turn")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="folder of the temporary file")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table to this page")
    return parser.parse_args()


def write(path: Path, task: Task) -> None:
    spec = EnvironmentSpec(box(OBSERVATIONS, np.inf), box(ACTIONS, 1))
    with DatasetWriter(path, spec) as writer:
        for first in range(0, task.rows, PART):
            columns = replace(task, rows=min(PART, task.rows - first)).columns()
            terminals = columns["terminals"].astype(bool)
            writer.append({**columns, "terminals": terminals, "timeouts": np.zeros_like(terminals)})


def race(
    learners: dict[str, Learner], engines: dict[str, Engine], steps: int, rounds: int
) -> tuple[dict[str, list[float]], list[float]]:
    """Return steps a second of each engine in each round, and the stream's shares of waiting."""
    rates: dict[str, list[float]] = {name: [] for name in engines}
    waits = []
    for name, engine in engines.items():
        engine.run(learners[name].select(None), 0, 20)  # compiles, warms up
    taken = dict.fromkeys(engines, 20)
    for turn in range(1, rounds + 1):
        for name, engine in engines.items():
            count = turn * steps - taken[name]
            began = time.perf_counter()
            metrics = engine.run(learners[name].select(None), taken[name], count)
            rates[name].append(count / (time.perf_counter() - began))
            taken[name] += count
            waits += [metrics["stream/wait"]] if "stream/wait" in metrics else []
    return rates, waits


if __name__ == "__main__":
    main()
