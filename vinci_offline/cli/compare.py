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
    from vinci_offline.evaluation.overall import Summary
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
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw the share of runs above each score."),
    ] = None,
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
        if plot is not None:
            raise UsageError("--plot shows evaluations: leave out --by")
        _rank(runs, by, data, steps, gamma, seed, json_=json_)
    elif data is not None:
        raise UsageError("--data belongs to a ranking: add --by fqe")
    else:
        _compare(runs, plot, json_=json_)


def _compare(runs: list[Path], plot: Path | None, *, json_: bool) -> None:
    from vinci_offline.evaluation.comparison import compare as run_comparison
    from vinci_offline.evaluation.overall import Summary, summarize

    groups, duels = run_comparison(runs)
    summary = summarize(groups)
    if plot is not None:
        _plot(plot, groups, summary)
    if json_:
        print_json(
            {
                "groups": [each.to_json() for each in groups],
                "duels": [each.to_json() for each in duels],
                "overall": summary.to_json() if isinstance(summary, Summary) else None,
            }
        )
        return
    show_groups(groups, duels)


def show_groups(groups: Sequence[Group], duels: Sequence[Duel]) -> None:
    """Print a table for each task, a sentence on its two best groups, and a summary over several tasks."""
    from vinci_offline.evaluation.overall import Summary, summarize

    for task in dict.fromkeys(group.task for group in groups):
        _show_task(task, [group for group in groups if group.task == task])
        for duel in duels:
            if duel.task == task:
                say(duel.verdict)
        say()
    summary = summarize(groups)
    if isinstance(summary, Summary):
        _show_summary(summary)
    elif summary is not None:
        say(summary)


def _show_task(task: str, groups: Sequence[Group]) -> None:
    say(task)
    reference = next((group.reference for group in groups if group.reference is not None), None)
    rows = [
        (
            group.name,
            f"{group.mean:.2f}",
            *("" if math.isnan(end) else f"{end:.2f}" for end in group.interval),
            f"{group.interquartile_mean:.2f}",
            *([] if reference is None else [f"{reference.score(group.mean):.1f}"]),
            str(len(group.scores)),
            str(group.episodes),
            ", ".join(f"{step:,}" for step in group.steps),
        )
        for group in groups
    ]
    scored = [] if reference is None else ["score"]
    header = ("agent", "return", "95% from", "to", "middle half", *scored, "seeds", "episodes", "at step")
    show_table(rows, header=header, numbers_from=1)
    if reference is not None:
        about = ", of another version" if reference.approximate else ""
        say(f"score: 0 is {reference.random:.4g}, 100 is {reference.expert:.4g} ({reference.source}{about})")


def _show_summary(summary: Summary) -> None:
    say(f"{len(summary.tasks)} tasks, in scores")
    rows = []
    for each in summary.agents:
        cells = [each.name]
        for value, (low, high) in (each.interquartile_mean, each.optimality_gap):
            cells += [f"{value:.1f}", f"{low:.1f} to {high:.1f}"]
        rows.append((*cells, str(len(each.scores)), str(each.episodes)))
    header = ("agent", "middle half", "95%", "gap to expert", "95%", "seeds", "episodes")
    show_table(rows, header=header, numbers_from=1)
    if summary.verdict is not None:
        say(summary.verdict)


def _plot(path: Path, groups: Sequence[Group], summary: Summary | str | None) -> None:
    """Draw the share of runs above each score, or above each return of a single task."""
    import numpy as np

    from vinci_offline.evaluation.statistics import performance_profile
    from vinci_offline.plots.runs import plot_profiles

    if isinstance(summary, str):
        raise UsageError(f"--plot: {summary}")
    named = {group.name: group.scores for group in groups}
    if summary is not None:
        named = {each.name: each.scores for each in summary.agents}
    values = np.concatenate([each.ravel() for each in named.values()])
    room = 0.05 * float(np.ptp(values)) or 1.0
    thresholds = np.linspace(float(values.min()) - room, float(values.max()) + room, 400)
    profiles = {name: performance_profile(each, thresholds) for name, each in named.items()}
    plot_profiles(path, thresholds, profiles, "return" if summary is None else "score")


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
