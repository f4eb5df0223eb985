"""Compare gradient steps a second of `train`'s compiled loop and of peers, on the same data, batch and widths.

Each contender has a process of its own. They take turns, one at a time, so that ratios hold on a machine whose speed
drifts. The arithmetic of a step is counted from the networks and compared with the machine's float32 matrix product,
which takes its turn in the same rounds. Peers that are not installed are left out:

    pip install torch d3rlpy torchrl jax && python scripts/bench/training.py --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

from contenders.race import (
    ENGINES,
    LABELS,
    PEERS,
    PRODUCTS,
    Result,
    product_rates,
    race,
    step_flop,
)
from contenders.task import AGENTS, BY_CORL, BY_D3RLPY, LOOPED, Task
from tables import keep, made_by, table

BRIEF = ("agent", "GFLOP a step", "steps a second", "of the product", "peer", "ratio", "range of the ratio")
KNOWN = {"d3rlpy": BY_D3RLPY, "corl": BY_CORL}
"""Agents that peers have; others have those of `LOOPED`."""
HEADER = ("", "steps a second", "range", "first / this", "GFLOP/s", "of the product", "peak memory")


def main() -> None:
    options = parse()
    sections: list[str] = []
    lines: list[tuple[str, ...]] = []
    for agent in options.agents:
        peers = [name for name in options.peers if agent in KNOWN.get(name, LOOPED)]
        names = [*options.engines, *peers, *PRODUCTS]
        task = Task(
            agent,
            options.rows,
            options.batch_size,
            options.width,
            layers=options.layers,
            threads=options.threads,
            cpu_time=options.cpu_time,
        )
        flop = step_flop(task)
        results = race(names, task, rounds=options.rounds, seconds=options.seconds)
        if options.brief:
            lines.append(brief(task, flop, results))
            known = LABELS[options.peers[0]] if options.peers else "peer"
            header = [known if name == "peer" else name for name in BRIEF]
            sizes = f"Batch {task.batch_size}, {task.layers} x {task.width}"
            sections = [f"{sizes}:\n\n{table(header, lines)}"]
            print(*lines[-1], sep=" | ", flush=True)
        else:
            sections.append(section(task, flop, results))
            print(sections[-1], end="\n\n", flush=True)
        if options.markdown:
            # Write after every agent: a run that is cut short keeps its tables.
            keep(options.markdown, options.name, "\n\n".join([made_by(), *sections]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=words(AGENTS), default=list(LOOPED), metavar=",".join(AGENTS))
    parser.add_argument(
        "--engines", type=words(ENGINES), default=["tensorflow", "jax"], metavar=",".join(ENGINES)
    )
    parser.add_argument(
        "--peers",
        type=words(PEERS),
        default=list(PEERS),
        metavar=",".join(PEERS),
        help="tools to compare with, or none",
    )
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--width", type=int, default=256, help="units of each hidden layer")
    parser.add_argument("--layers", type=int, default=2, help="hidden layers")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=0, help="threads of each contender; 0: the libraries'")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="steps a second of processor time, for a busy machine; give --threads 1 too",
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3.0, help="seconds of each contender in each round")
    parser.add_argument(
        "--brief",
        action="store_true",
        help="one line an agent: the first engine beside the first of the peers",
    )
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the tables to this page")
    parser.add_argument("--name", default="training", help="name of the comments around the tables")
    return parser.parse_args()


def words(known: tuple[str, ...]) -> Callable[[str], list[str]]:
    """Return a parser of comma-separated names, or of ``none``."""

    def parse(text: str) -> list[str]:
        chosen = [] if text == "none" else text.split(",")
        if unknown := [name for name in chosen if name not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return chosen

    return parse


def section(task: Task, flop: float, results: Mapping[str, Result]) -> str:
    """Return one agent's table, below its setting."""
    product = product_rates(results)
    shown = {name: result for name, result in results.items() if name in LABELS}
    first = next(iter(shown.values()))
    rows = [
        (
            LABELS[name],
            f"{result.rate:,.0f}",
            f"{min(result.rates):,.0f} to {max(result.rates):,.0f}",
            f"{first.over(result):.2f}",
            f"{result.rate * flop / 1e9:.1f}",
            f"{flop * result.over(product):.2f}",
            f"{result.peak_bytes / 2**20:,.0f} MiB",
        )
        for name, result in shown.items()
    ]
    low, high = min(product.rates) / 1e9, max(product.rates) / 1e9
    return (
        f"**{task}**: {flop / 1e9:.4f} GFLOP a step; the machine's float32 product gave "
        f"{statistics.median(product.rates) / 1e9:.0f} GFLOP/s ({low:.0f} to {high:.0f}).\n\n{table(HEADER, rows)}"
    )


def brief(task: Task, flop: float, results: Mapping[str, Result]) -> tuple[str, ...]:
    """Return one agent's line: the first engine, its share of the float32 product, and the first peer's rate."""
    first = next(iter(results.values()))
    peer = next((results[name] for name in PEERS if name in results), None)
    ours = (f"{flop / 1e9:.3f}", f"{first.rate:,.0f}", f"{flop * first.over(product_rates(results)):.2f}")
    if peer is None:
        return (task.agent, *ours, "", "", "")
    ratios = [a / b for a, b in zip(first.rates, peer.rates, strict=True)]
    return (
        task.agent,
        *ours,
        f"{peer.rate:,.0f}",
        f"{first.over(peer):.1f}",
        f"{min(ratios):.1f} to {max(ratios):.1f}",
    )


if __name__ == "__main__":
    main()
