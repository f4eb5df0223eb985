"""Compare ways to train many learners: one with all cores, one of one thread on each core, and many in one call of JAX.

Steps a second of learners that run at the same time are added up. Beside them stands the share of the machine's float32
matrix product. All contenders are built first; then they take turns. Run on an idle machine:

    python scripts/bench/sweep.py --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from contenders.race import PRODUCT_FLOP, REST, Contender, ContenderError, step_flop
from contenders.task import Task
from tables import keep, made_by, table

GOAL = 1.25
HEADER = ("", "steps a second", "range", "times the first", "of the product")


class Team:
    """Contenders that run at the same time.

    Args:
        label: what the table calls them.
        contenders: their processes.
        learners: learners of each process.
    """

    def __init__(self, label: str, contenders: Sequence[Contender], learners: int = 1) -> None:
        self.label, self._contenders, self._learners = label, contenders, learners
        self.rates: list[float] = []

    def build(self) -> None:
        """Wait until all are built."""
        for contender in self._contenders:
            contender.built()

    def run(self, seconds: float) -> None:
        """Let all take steps for some seconds, and note their steps a second, added up."""
        with ThreadPoolExecutor(len(self._contenders)) as pool:
            rates = list(pool.map(lambda each: each.run(seconds)[0], self._contenders))
        self.rates.append(self._learners * sum(rates))


def main() -> None:
    options = parse()
    cores = options.cores
    task = Task(options.agent, batch_size=options.batch_size, width=options.width, threads=cores)
    one = replace(task, threads=1)
    flop = step_flop(task)
    with ExitStack() as stack:

        def started(name: str, of: Task, count: int = 1) -> list[Contender]:
            return [stack.enter_context(Contender(name, of)) for _ in range(count)]

        teams = [
            Team(f"one learner with {cores} threads", started("tensorflow", task)),
            Team(f"{cores} learners of one thread", started("tensorflow", one, cores)),
        ]
        if options.members:
            many = replace(task, seeds=options.members)
            crowd = started("tensorflow", one, options.members)
            teams.append(Team(f"{options.members} learners of one thread", crowd))
            label = f"{options.members} learners in one call (JAX, vmap over alpha and seeds)"
            teams.append(Team(label, started("jax-settings", many), options.members))
        product = Team("product", started("product-tensorflow", task))
        for team in [*teams, product]:
            team.build()
        for _ in range(options.rounds):
            for team in [*teams, product]:
                time.sleep(REST)
                team.run(options.seconds)
    text = section(task, flop, teams, product)
    print(text)
    if options.markdown:
        keep(options.markdown, "sweep", f"{made_by()}\n\n{text}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agent", default="td3bc", help="the setting that varies is its alpha")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--width", type=int, default=256, help="units of both hidden layers")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--members", type=int, default=16, help="learners of the last two rows; 0 leaves them out"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of each row in each round")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table to this page")
    return parser.parse_args()


def section(task: Task, flop: float, teams: Sequence[Team], product: Team) -> str:
    """Return the table, and whether the goal is met."""
    first = teams[0].rates
    rows = [
        (
            team.label,
            f"{statistics.median(team.rates):,.0f}",
            f"{min(team.rates):,.0f} to {max(team.rates):,.0f}",
            f"{over(team.rates, first):.2f}",
            f"{flop / PRODUCT_FLOP * over(team.rates, product.rates):.2f}",
        )
        for team in teams
    ]
    gain = over(teams[1].rates, first)
    verdict = f"A learner on each core over one with all: {gain:.2f} (goal: at least {GOAL})."
    return f"**{task}**\n\n{table(HEADER, rows)}\n\n{verdict}"


def over(rates: Sequence[float], others: Sequence[float]) -> float:
    """Return the median of the rounds' ratios; the machine's drift cancels in each."""
    return statistics.median(a / b for a, b in zip(rates, others, strict=True))


if __name__ == "__main__":
    try:
        main()
    except ContenderError as error:
        raise SystemExit(f"a contender cannot run: {error}") from error
