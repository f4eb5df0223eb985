"""`vinci-offline validate`: whether a dataset is sound."""

from __future__ import annotations

from typing import Annotated

import typer

from vinci_offline.cli.console import err, print_json


def validate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.h5", help="A dataset file, or a shipped dataset's name.", show_default=False
        ),
    ],
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Check a dataset: exit 0 where it is sound, 1 with each problem: where and what."""
    from vinci_offline.data.validation import check

    report = check(file)
    if json_:
        print_json(report.to_json())
    else:
        for problem in report.problems:
            print(problem)
        for note in report.notes:
            print(f"note: {note}")
    if report.sound:
        err.print(f"{file} is sound", markup=False, soft_wrap=True)
        return
    count = "1 problem" if len(report.problems) == 1 else f"{len(report.problems)} problems"
    err.print(f"{file}: {count}", markup=False, soft_wrap=True)
    raise typer.Exit(1)
