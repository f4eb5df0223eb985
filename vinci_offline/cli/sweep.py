"""``vinci-offline sweep``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vinci_offline.cli.compare import show_groups
from vinci_offline.cli.console import print_json, say, tell
from vinci_offline.cli.options import with_options
from vinci_offline.cli.signals import resumable
from vinci_offline.cli.tables import show_table
from vinci_offline.options import option
from vinci_offline.progress import duration
from vinci_offline.text import counted, text_of

if TYPE_CHECKING:
    from vinci_offline.sweeps.sweep import SweepResult


@dataclass(frozen=True)
class Sweeping:
    """Options that say how a sweep runs, and where."""

    output: Path | None = option(None, "The sweep's folder.", flags=("-o", "--output"), metavar="DIR")
    engine: str = option(
        "local", "Processes of this machine, or the workers of a Ray cluster.", choices=("local", "ray")
    )
    workers: int | None = option(
        None, "Processes of one thread each; one for each core unless given.", metavar="N", low=1
    )
    parallel: str = option(
        "auto",
        "Processes, or on JAX one compiled call for seeds and numbers of an agent; auto takes vmap on a GPU.",
        choices=("auto", "processes", "vmap"),
    )
    resume: bool = option(False, "Go on with the sweep; SPEC may have more cells and more steps.")
    overwrite: bool = option(False, "Replace the sweep that is there.")
    dry_run: bool = option(False, "Show the cells and what they will cost; train nothing.")


@with_options
def sweep(
    spec: Annotated[
        Path,
        typer.Argument(
            metavar="SPEC.yaml|SPEC.toml", help="Agents, datasets, seeds, steps and settings to try."
        ),
    ],
    *,
    options: Sweeping,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Train agents x datasets x seeds x settings, a learner on each core, and compare them.

    A sweep that was killed goes on with --resume and ends with the same table.
    """
    from vinci_offline.sweeps.sweep import sweep as run_sweep

    if not options.dry_run:
        resumable()
    result = run_sweep(spec, **vars(options))
    if json_:
        print_json(result.to_json())
    elif options.dry_run:
        _show_plan(result, options.workers)
    else:
        _show_result(result)
    for name, reason in result.failures.items():
        tell(f"error: {name}: {reason}")
    if result.failures:
        raise typer.Exit(1)


def _show_plan(result: SweepResult, workers: int | None) -> None:
    keys = list(dict.fromkeys(key for cell in result.cells for key in cell.settings))
    several = [
        key
        for key in dict.fromkeys(key for cell in result.cells for key in cell.options)
        if key != "steps" and len({text_of(cell.options.get(key)) for cell in result.cells}) > 1
    ]
    rows = [
        [
            Path(cell.dataset).stem,
            cell.agent,
            *(text_of(cell.settings[key]) if key in cell.settings else "" for key in keys),
            *(text_of(cell.options.get(key)) for key in several),
            str(cell.seed),
            f"{cell.steps:,}",
            *(["finished" if cell.name in result.results else ""] if result.results else []),
        ]
        for cell in result.cells
    ]
    state = ["state"] if result.results else []
    show_table(rows, ["dataset", "agent", *keys, *several, "seed", "steps", *state], numbers_from=2)
    for line in _cost(result, workers):
        say(line)


def _cost(result: SweepResult, workers: int | None) -> Iterator[str]:
    """Say how many steps are left, and how long they take where finished cells tell it."""
    from vinci_offline.sweeps.machine import default_workers

    left = [cell for cell in result.cells if cell.name not in result.results]
    more, more_steps = result.to_come
    at_once = min(workers or default_workers(len(left)), max(1, len(left)))
    done = f", {len(result.results)} of them finished" if result.results else ""
    yield (
        f"{counted(len(result.cells) + more, 'cell')}{done}: {counted(result.steps_left, 'step')} to take, "
        f"{counted(at_once, 'cell')} at a time"
    )
    if more:
        yield (
            f"{more:,} of them, with {counted(more_steps, 'step')}, are still to be drawn: each round learns "
            "from the returns of the rounds before"
        )
    if left and not any(cell.options.get("eval_every") for cell in left):
        yield "no cell is evaluated, so the sweep compares no returns: give eval_every for that"
    if not left:
        return
    seconds = [_seconds(result, cell.agent, cell.steps) for cell in left]
    known = [each for each in seconds if each is not None]
    if len(known) == len(left):
        whole = sum(known) * (1 + more_steps / sum(cell.steps for cell in left))
        yield f"about {duration(whole / at_once)}, as finished cells of the same agents took (without evaluations)"
    else:
        yield "no estimate of time: no cell of every agent has finished here yet"


def _seconds(result: SweepResult, agent: str, steps: int) -> float | None:
    """Return the time of a cell by the finished cells of its agent; None if there is none."""
    found = [
        steps / rate + (each.get("compile_seconds") or 0.0)
        for cell in result.cells
        if cell.agent == agent
        and (each := result.results.get(cell.name))
        and (rate := each.get("steps_per_second"))
    ]
    return sum(found) / len(found) if found else None


def _show_result(result: SweepResult) -> None:
    if result.groups:
        show_groups(result.groups, result.duels)
    elif result.results:
        _show_losses(result)
    noted = Counter(note for each in result.results.values() for note in each.get("notes", ()))
    for note, cells in noted.items():
        say(f"note: {note} ({counted(cells, 'cell')})")
    say(f"{result.path}: {counted(len(result.cells), 'cell')}, {len(result.results)} finished")


def _show_losses(result: SweepResult) -> None:
    """Print the last losses of each cell, for a sweep without evaluations."""
    metrics = {name: each["final_metrics"] for name, each in result.results.items()}
    names = _measures(list(metrics.values()))
    rows = [
        [
            cell.name,
            *("" if (value := metrics[cell.name].get(name)) is None else f"{value:.4g}" for name in names),
        ]
        for cell in result.cells
        if cell.name in metrics
    ]
    show_table(rows, ["", *names], numbers_from=1)
    say("no cell was evaluated, so there are no returns to compare: give eval_every in SPEC")


def _measures(metrics: Sequence[dict[str, float]]) -> list[str]:
    names = sorted({name for each in metrics for name in each})
    return [name for name in names if name == "value/initial" or name.startswith("loss/")]
