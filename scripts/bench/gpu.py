"""Compare gradient steps a second on a GPU: the JAX engine with one seed and with many, PyTorch, and d3rlpy.

The contenders are built first and then take turns, as in `training.py`. TensorFlow is not needed. Run with a CUDA build
of JAX and of PyTorch:

    python scripts/bench/gpu.py --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import subprocess
from collections.abc import Mapping
from pathlib import Path

from contenders.race import LABELS, Result, race
from contenders.task import LOOPED, Task
from tables import keep, made_by, table
from training import words

CONTENDERS = ("jax", "jax-seeds", "pytorch", "pytorch-compiled", "pytorch-captured", "d3rlpy")
HEADER = ("", "steps a second", "range", "times eager", "times compiled", "times captured", "times d3rlpy")


def main() -> None:
    options = parse()
    sections: list[str] = []
    for agent in options.agents:
        task = Task(agent, options.rows, options.batch_size, options.width, "gpu", options.seeds)
        results = race(options.contenders, task, rounds=options.rounds, seconds=options.seconds)
        sections.append(section(task, results))
        print(sections[-1], end="\n\n", flush=True)
        if options.markdown:
            keep(options.markdown, "gpu", "\n\n".join([made_by(), device(), *sections]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=words(LOOPED), default=["td3bc", "iql"], metavar=",".join(LOOPED))
    parser.add_argument(
        "--contenders", type=words(CONTENDERS), default=list(CONTENDERS), metavar=",".join(CONTENDERS)
    )
    parser.add_argument(
        "--seeds", type=int, default=16, help="runs that the second contender trains side by side"
    )
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--width", type=int, default=256, help="units of both hidden layers")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="seconds of each contender in each round")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the tables to this page")
    return parser.parse_args()


def section(task: Task, results: Mapping[str, Result]) -> str:
    """Return one agent's table; the steps of many seeds are added up."""
    rows = []
    for name, result in results.items():
        times = task.seeds if name == "jax-seeds" else 1
        label = LABELS[name].replace("many seeds", f"{task.seeds} seeds together")
        ratios = [
            f"{times * result.over(results[peer]):.2f}" if peer in results else ""
            for peer in ("pytorch", "pytorch-compiled", "pytorch-captured", "d3rlpy")
        ]
        low, high = times * min(result.rates), times * max(result.rates)
        rows.append((label, f"{times * result.rate:,.0f}", f"{low:,.0f} to {high:,.0f}", *ratios))
    return f"**{task}**\n\n{table(HEADER, rows)}"


def device() -> str:
    """Return the GPU's name and driver."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    name, driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split(",")
    return f"GPU: {name.strip()}, driver {driver.strip()}."


if __name__ == "__main__":
    main()
