"""``vinci-offline validate``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli.console import err, print_json
from vinci_offline.errors import DatasetError, UsageError

if TYPE_CHECKING:
    from vinci_offline.envs.replay_check import Replay
    from vinci_offline.quality.repairs.account import Repair
    from vinci_offline.quality.validation import Report
    from vinci_offline.spec import EnvironmentSpec

_REPAIR = "Repair"
_REPLAY = "Replay"


def validate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.h5", help="A dataset file, or a shipped dataset's name.", show_default=False
        ),
    ],
    repair: Annotated[
        Path | None,
        typer.Option(
            metavar="OUT.h5",
            help="Write a copy without the faults that can be repaired without guessing, and check the copy.",
            rich_help_panel=_REPAIR,
        ),
    ] = None,
    drop_duplicates: Annotated[
        bool,
        typer.Option(
            "--drop-duplicates",
            help="Leave out exact copies of earlier transitions.",
            rich_help_panel=_REPAIR,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file that is there.", rich_help_panel=_REPAIR)
    ] = False,
    env: Annotated[
        str | None,
        typer.Option(
            metavar="ENV",
            help="Replay a sample of rows in this environment. It also gives the spaces of a file that lacks them.",
            rich_help_panel=_REPLAY,
        ),
    ] = None,
    replay: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Rows to replay (1000), by default in the environment that the file names; 0 replays none.",
            rich_help_panel=_REPLAY,
        ),
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            metavar="T",
            help="Largest difference of a replay; by default that of true recordings of the environment.",
            rich_help_panel=_REPLAY,
        ),
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Check a dataset: exit 0 if it is sound, otherwise exit 1 and list each problem with its place."""
    if repair is None and (drop_duplicates or overwrite):
        raise UsageError(f"--{'drop-duplicates' if drop_duplicates else 'overwrite'} needs --repair OUT.h5")
    spec = None if env is None else _spec(file, env)
    repairs: Sequence[Repair] = ()
    if repair is None:
        from vinci_offline.quality.validation import check

        report = check(file, spec)
        content = report.to_json()
    else:
        from vinci_offline.quality.repair import repair as write_repaired

        repaired = write_repaired(file, repair, spec, drop_duplicates=drop_duplicates, overwrite=overwrite)
        report, repairs, content = repaired.report, repaired.repairs, repaired.to_json()
    replayed = None
    if replay != 0 and any(option is not None for option in (env, replay, tolerance)):
        replayed = _replay(report.path, spec, env, replay, tolerance)
    if replayed is not None:
        report = dataclasses.replace(report, problems=(*report.problems, *replayed.problems))
        content |= {key: value for key, value in report.to_json().items() if key != "file"}
        content["replay"] = replayed.to_json()
    _show(report, repairs, replayed, content if json_ else None)
    _conclude(file, repair, report)


def _spec(file: str, env: str) -> EnvironmentSpec | None:
    """Return the environment's spaces for a file that lacks them, otherwise None."""
    from vinci_offline.data.hdf5.inspect import inspect
    from vinci_offline.data.shipped import resolve

    if inspect(resolve(file)).spec is not None:
        return None
    from vinci_offline.envs.making import make_env
    from vinci_offline.spec import environment_spec

    made = make_env(env)
    try:
        return environment_spec(made, env if ":" in env else None)
    finally:
        made.close()


def _replay(
    path: Path, spec: EnvironmentSpec | None, env: str | None, rows: int | None, tolerance: float | None
) -> Replay | None:
    """Replay rows; return None where the file does not open, since the report says so already."""
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.envs.replay_check import ROWS, replay

    try:
        dataset = Dataset.open(path, spec)
    except DatasetError:
        return None
    return replay(dataset, env, rows=ROWS if rows is None else rows, tolerance=tolerance)


def _show(
    report: Report, repairs: Sequence[Repair], replayed: Replay | None, content: dict[str, Any] | None
) -> None:
    if content is not None:
        print_json(content)
        return
    for repair in repairs:
        print(f"repaired: {repair}")
    for problem in report.problems:
        print(problem)
    for note in report.notes:
        print(f"note: {note}")
    if replayed is not None:
        print(f"replay: {replayed}")


def _conclude(file: str, output: Path | None, report: Report) -> None:
    checked = (
        str(output) if output == report.path else file
    )  # nothing was written where that is beyond repair
    if report.sound:
        err.print(f"{checked} is sound", markup=False, soft_wrap=True)
        return
    problems, mended = len(report.problems), sum(problem.repairable for problem in report.problems)
    count = "1 problem" if problems == 1 else f"{problems} problems"
    hint = ""
    if output is None and mended:
        these = f"{mended} of them" if mended < problems else "it" if problems == 1 else "them"
        hint = f"; --repair OUT.h5 writes a file without {these}"
    err.print(f"{checked}: {count}{hint}", markup=False, soft_wrap=True)
    raise typer.Exit(1)
