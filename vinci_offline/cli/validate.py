"""`vinci-offline validate`: whether a dataset is sound, and a repaired one where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli.console import err, print_json
from vinci_offline.errors import UsageError

if TYPE_CHECKING:
    from vinci_offline.data.repairs.account import Repair
    from vinci_offline.data.validation import Report

_REPAIR = "Repair"


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
            help="Write a file without the faults that can be put right without guessing, and check that one.",
            rich_help_panel=_REPAIR,
        ),
    ] = None,
    drop_duplicates: Annotated[
        bool,
        typer.Option(
            "--drop-duplicates",
            help="Leave out transitions that repeat an earlier one exactly.",
            rich_help_panel=_REPAIR,
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file that is there.", rich_help_panel=_REPAIR)
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Check a dataset: exit 0 where it is sound, 1 with each problem: where and what."""
    if repair is None and (drop_duplicates or overwrite):
        raise UsageError(f"--{'drop-duplicates' if drop_duplicates else 'overwrite'} needs --repair OUT.h5")
    repairs: Sequence[Repair] = ()
    if repair is None:
        from vinci_offline.data.validation import check

        report = check(file)
        content = report.to_json()
    else:
        from vinci_offline.data.repair import repair as write_repaired

        repaired = write_repaired(file, repair, drop_duplicates=drop_duplicates, overwrite=overwrite)
        report, repairs, content = repaired.report, repaired.repairs, repaired.to_json()
    _show(report, repairs, content if json_ else None)
    _conclude(file, repair, report)


def _show(report: Report, repairs: Sequence[Repair], content: dict[str, Any] | None) -> None:
    if content is not None:
        print_json(content)
        return
    for repair in repairs:
        print(f"repaired: {repair}")
    for problem in report.problems:
        print(problem)
    for note in report.notes:
        print(f"note: {note}")


def _conclude(file: str, output: Path | None, report: Report) -> None:
    checked = str(output) if output is not None and output.exists() else file
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
