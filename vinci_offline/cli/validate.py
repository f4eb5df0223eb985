"""`vinci-offline validate`: whether a dataset is sound."""

from __future__ import annotations

from typing import Annotated

import typer

from vinci_offline.cli.console import err


def validate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.h5", help="A dataset file, or a shipped dataset's name.", show_default=False
        ),
    ],
) -> None:
    """Check a dataset: exit 0 where it is sound, 1 with each problem: where and what."""
    from vinci_offline.data.validation import validate as find_problems

    problems = find_problems(file)
    for problem in problems:
        print(problem)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        err.print(f"{file}: {count}", markup=False, soft_wrap=True)
        raise typer.Exit(1)
    err.print(f"{file} is sound", markup=False, soft_wrap=True)
