"""Measure how the cost of a gradient step grows with rows, batch and width: our engines and the plain PyTorch loop.

Each table varies one of the three; the others stay at 100,000 rows, batch 256 and width 256. Run:

    python scripts/bench/growth.py --markdown docs/performance.md
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from contenders.race import ENGINES, LABELS, PRODUCTS, product_rates, race, step_flop
from contenders.task import LOOPED, Task
from tables import keep, made_by, table
from training import words

AXES = {
    "rows": (100_000, 1_000_000, 10_000_000),
    "batch_size": (32, 64, 128, 256, 512, 1024, 2048, 4096),
    "width": (64, 128, 256, 512, 1024),
}
LOOPS = ("pytorch", "pytorch-compiled")


def main() -> None:
    options = parse()
    sections: list[str] = []
    for axis in options.axes:
        sections.append(axis_table(axis, options))
        print(sections[-1], end="\n\n", flush=True)
        if options.markdown:
            keep(options.markdown, options.name, "\n\n".join([made_by(), *sections]))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--axes", type=words(tuple(AXES)), default=list(AXES), metavar=",".join(AXES))
    parser.add_argument("--agent", choices=LOOPED, default="td3bc")
    parser.add_argument(
        "--engines", type=words(ENGINES), default=["tensorflow", "jax"], metavar=",".join(ENGINES)
    )
    parser.add_argument(
        "--peers",
        type=words(LOOPS),
        default=["pytorch"],
        metavar=",".join(LOOPS),
        help="tools to compare with, or none",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="seconds of each contender in each round")
    parser.add_argument("--most", type=int, default=10_000_000, help="leave out larger settings")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the tables to this page")
    parser.add_argument("--name", default="growth", help="name of the comments around the tables")
    return parser.parse_args()


def axis_table(axis: str, options: argparse.Namespace) -> str:
    """Return the table of one axis: steps a second, peak memory, and the first engine's share of the product."""
    base = Task(options.agent)
    names = [*options.engines, *options.peers]
    rows = []
    for setting in AXES[axis]:
        if setting > options.most:
            continue
        values: dict[str, Any] = {axis: setting}
        task = replace(base, **values)
        results = race([*names, *PRODUCTS], task, rounds=options.rounds, seconds=options.seconds)
        first, share = results[names[0]], step_flop(task)
        cells = [
            f"{results[n].rate:,.0f} ({results[n].peak_bytes / 2**20:,.0f} MiB)" if n in results else ""
            for n in names
        ]
        ratios = [f"{first.over(results[n]):.2f}" if n in results else "" for n in names[1:]]
        rows.append((f"{setting:,}", *cells, *ratios, f"{share * first.over(product_rates(results)):.2f}"))
    header = [axis.replace("_", " "), *(LABELS[n] for n in names)]
    header += [f"first / {LABELS[n]}" for n in names[1:]]
    return (
        f"**{options.agent} by {axis.replace('_', ' ')}**, steps a second (peak memory), the rest as in {base}\n\n"
        + table([*header, "first, of the product"], rows)
    )


if __name__ == "__main__":
    main()
