"""``vinci-offline compare``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer

from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.tables import show_table


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR...",
            help="Run directories, or directories of several seeds.",
            show_default=False,
        ),
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Compare runs over their seeds by their last evaluations; say when the seeds are too few to tell."""
    from vinci_offline.evaluation.comparison import compare as run_comparison

    groups, duels = run_comparison(runs)
    if json_:
        print_json(
            {"groups": [each.to_json() for each in groups], "duels": [each.to_json() for each in duels]}
        )
        return
    for task in dict.fromkeys(group.task for group in groups):
        say(task)
        rows = [
            (
                group.name,
                f"{group.mean:.2f}",
                *("" if math.isnan(end) else f"{end:.2f}" for end in group.interval),
                f"{group.interquartile_mean:.2f}",
                str(len(group.scores)),
                str(group.episodes),
                ", ".join(f"{step:,}" for step in group.steps),
            )
            for group in groups
            if group.task == task
        ]
        header = ("agent", "return", "95% from", "to", "middle half", "seeds", "episodes", "at step")
        show_table(rows, header=header, numbers_from=1)
        for duel in duels:
            if duel.task == task:
                say(duel.verdict)
        say()
