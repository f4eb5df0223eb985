"""Compare the returns of agents on stored data with d3rlpy's: same file, steps, widths and batch, several seeds.

Each cell of the comparison (a task, an agent, a tool, a seed) is a process of its own and leaves a JSON file in the
results folder. A cell whose file is there is not run again, so the script goes on where it was stopped. The folder
holds the data too, `TASK.h5`; `scripts/learning/record_mixture.py` records them.

    python scripts/bench/learning.py runs/learning --markdown docs/results.md
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tables import keep, made_by, table

LEARNING = Path(__file__).resolve().parents[1] / "learning"
SIDES = {"ours": "vinci-offline", "peer": "d3rlpy"}
STUDENT = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 7: 2.447, 8: 2.365, 9: 2.306, 10: 2.262}
"""The 97.5 % quantile of Student's t for the mean of so many seeds."""
HEADER = ("agent", "tool", "return by seed", "mean, 95 % interval", "score", "seconds")


@dataclass(frozen=True)
class Setting:
    """Data and agents of a comparison.

    Attributes:
        low: return of the score 0.
        high: return of the score 100.
        agents: agents, the most valuable first.
        alone: agents without a counterpart in d3rlpy.
        settings: settings of all agents that have them.
    """

    low: float
    high: float
    agents: tuple[str, ...]
    alone: tuple[str, ...] = ()
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


CONTINUOUS = ("rebrac", "td3bc", "iql", "cql", "awac", "bc")
WIDTHS = {"hidden": "256,256"}
"""The same for all agents and both tools; some have three layers by default."""
# d3rlpy copies its targets of choices; 200 steps move as far as our default of 0.005 a step.
COPIES: dict[str, dict[str, Any]] = {name: {"target_update": 200} for name in ("dqn", "qrdqn")}
COPIES["qrdqn"]["quantiles"] = 32
"""d3rlpy's default. With the paper's 200 it takes 2 steps a second: 83 minutes for 10,000."""
TASKS = {
    # Returns of the scores are those of D4RL (Fu et al., 2020, arXiv 2004.07219) for Hopper.
    "hopper-mixture": Setting(-20.272305, 3234.3, CONTINUOUS),
    "hopper-medium": Setting(-20.272305, 3234.3, CONTINUOUS),
    # 0: the mean return of random actions over 100 episodes. 100: Gymnasium calls 200 a solution.
    "lander-mixture": Setting(
        -197.0,
        200.0,
        ("dqn", "cql", "bcq", "iql", "awac", "crr", "sac", "qrdqn", "nfq", "bc"),
        ("iql", "awac", "crr"),
        COPIES,
    ),
}


@dataclass(frozen=True)
class Cell:
    """One training run and its evaluation."""

    task: str
    agent: str
    side: str
    seed: int

    def result(self, folder: Path) -> Path:
        return folder / f"{self.task}-{self.agent}-{self.side}-{self.seed}.json"

    def run(self, folder: Path, options: argparse.Namespace) -> None:
        """Run the cell in a process, unless its result is there; report a failure and go on."""
        if self.result(folder).is_file():
            return
        command = [sys.executable, str(LEARNING / "cell.py"), str(folder / f"{self.task}.h5"), self.agent]
        command += [self.side, str(self.result(folder)), "--seed", str(self.seed)]
        command += ["--steps", str(options.steps), "--episodes", str(options.episodes)]
        command += ["--settings", json.dumps({**WIDTHS, **TASKS[self.task].settings.get(self.agent, {})})]
        variables = {**os.environ, "PYTHONPATH": f"{LEARNING.parents[1]}"}
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
        print(f"{self.task} {self.agent}: {lines[-1] if lines else 'no output'}", flush=True)


def main() -> None:
    options = parse()
    missing = [name for name in options.tasks if not (options.folder / f"{name}.h5").is_file()]
    if missing:
        raise SystemExit(
            f"{options.folder} has no {missing[0]}.h5: record it with scripts/learning/record_mixture.py"
        )
    with ThreadPoolExecutor(options.learners) as pool:
        for _ in pool.map(lambda cell: cell.run(options.folder, options), cells(options)):
            show(options)
    show(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder of the data and the results")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--agents", nargs="+", help="only these agents")
    parser.add_argument(
        "--sides", nargs="+", choices=list(SIDES), default=list(SIDES), help="only these tools"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--learners", type=int, default=2, help="learners at a time; 0: only make the table")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the tables to this page")
    options = parser.parse_args()
    if not options.learners:
        show(options)
        raise SystemExit
    return options


def cells(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells that are wished, by value."""
    return (cell for cell in by_value(options) if cell.side in options.sides)


def by_value(options: argparse.Namespace) -> Iterator[Cell]:
    """Yield all cells: ours with all seeds, d3rlpy's with one seed, then with the others."""
    for task in options.tasks:
        agents = chosen(task, options)
        both = [agent for agent in agents if agent not in TASKS[task].alone]
        for agent in agents:
            yield from (Cell(task, agent, "ours", seed) for seed in range(options.seeds))
        yield from (Cell(task, agent, "peer", 0) for agent in both)
        yield from (Cell(task, agent, "peer", seed) for seed in range(1, options.seeds) for agent in both)


def chosen(task: str, options: argparse.Namespace) -> list[str]:
    return [agent for agent in TASKS[task].agents if options.agents is None or agent in options.agents]


def show(options: argparse.Namespace) -> None:
    """Write the tables of what is done so far."""
    sections = [text for name in options.tasks if (text := section(name, options))]
    if options.markdown:
        keep(options.markdown, "learning", "\n\n".join([made_by(), *sections]))
    elif not options.learners:
        print("\n\n".join(sections))


def section(name: str, options: argparse.Namespace) -> str:
    """Return a task's table, or an empty text without results."""
    rows = [
        row(name, agent, side, found)
        for agent in chosen(name, options)
        for side in SIDES
        if (found := outcomes(name, agent, side, options))
    ]
    return f"**{name}**, {options.steps:,} steps:\n\n{table(HEADER, rows)}" if rows else ""


def outcomes(task: str, agent: str, side: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    paths = [Cell(task, agent, side, seed).result(options.folder) for seed in range(options.seeds)]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths if path.is_file()]


def row(task: str, agent: str, side: str, own: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return a line of the table."""
    setting = TASKS[task]
    means = [statistics.mean(outcome["returns"]) for outcome in own]
    mean, seconds = statistics.mean(means), statistics.mean(outcome["seconds"] for outcome in own)
    reach = interval(means)
    return (
        agent,
        SIDES[side],
        ", ".join(f"{each:.0f}" for each in means),
        f"{mean:.0f}" + (f" ± {reach:.0f}" if reach is not None else ""),
        f"{100 * (mean - setting.low) / (setting.high - setting.low):.1f}",
        f"{seconds:.0f}",
    )


def interval(means: Sequence[float]) -> float | None:
    """Return half the width of the 95 % interval of the mean over seeds by Student's t; None for one seed."""
    if len(means) not in STUDENT:
        return None
    return STUDENT[len(means)] * statistics.stdev(means) / math.sqrt(len(means))


if __name__ == "__main__":
    main()
