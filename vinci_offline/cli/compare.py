"""``vinci-offline compare``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.tables import show_table
from vinci_offline.errors import UsageError

if TYPE_CHECKING:
    from vinci_offline.evaluation.comparison import Duel, Group
    from vinci_offline.evaluation.ranking import Ranked

_RANKING = "Ranking without the environment"


def compare(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR...",
            help="Run directories, or directories of several seeds or of sweeps.",
            show_default=False,
        ),
    ],
    by: Annotated[
        str | None,
        typer.Option(
            metavar="fqe|COLUMN",
            help="Rank runs without their environment: by fitted Q evaluation of their policies, or by the last value "
            "of a column of metrics.csv.",
            rich_help_panel=_RANKING,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.h5",
            help="Episodes that judge all runs; otherwise those that the runs held out of their own data.",
            rich_help_panel=_RANKING,
            autocompletion=completion.datasets,
        ),
    ] = None,
    steps: Annotated[
        int, typer.Option(help="Gradient steps of each evaluation.", rich_help_panel=_RANKING)
    ] = 10_000,
    gamma: Annotated[float, typer.Option(help="Its discount.", rich_help_panel=_RANKING)] = 0.99,
    seed: Annotated[int, typer.Option(help="Its seed.", rich_help_panel=_RANKING)] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Compare runs over their seeds by their last evaluations; say when the seeds are too few to tell.

    With --by the runs are ranked without their environment. What the ranking is worth is told where they have
    evaluations.
    """
    if by is not None:
        _rank(runs, by, data, steps, gamma, seed, json_=json_)
        return
    if data is not None:
        raise UsageError("--data belongs to a ranking: add --by fqe")
    from vinci_offline.evaluation.comparison import compare as run_comparison

    groups, duels = run_comparison(runs)
    if json_:
        print_json(
            {"groups": [each.to_json() for each in groups], "duels": [each.to_json() for each in duels]}
        )
        return
    show_groups(groups, duels)


def show_groups(groups: Sequence[Group], duels: Sequence[Duel]) -> None:
    """Print a table for each task, and a sentence on its two best groups."""
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


def _rank(
    runs: list[Path], by: str, data: str | None, steps: int, gamma: float, seed: int, *, json_: bool
) -> None:
    from vinci_offline.evaluation.ranking import rank

    found = rank(runs, by, data, steps=steps, gamma=gamma, seed=seed)
    if json_:
        print_json({"rankings": [each.to_json() for each in found]})
        return
    for ranking in found:
        say(ranking.task)
        header = ("run", "agent", "seed", ranking.by, "±", "return", "episodes")
        show_table(map(_ranked, ranking.runs), header=header, numbers_from=2)
        for note in ranking.notes:
            say(f"note: {note}")
        say(ranking.verdict)
        say()
    if len(found) > 1 and by == "fqe":
        say("each dataset has a ranking of its own; --data FILE judges all runs on the same episodes")


def _ranked(run: Ranked) -> tuple[str, ...]:
    last = run.member.last
    return (
        str(run.member.path),
        run.name,
        str(run.member.seed),
        f"{run.value:.4g}",
        "" if run.standard_error is None else f"{run.standard_error:.2g}",
        "" if last is None else f"{last.mean:.4g}",
        "" if last is None else str(last.episodes),
    )
