"""``vinci-offline report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinci_offline.cli.console import print_json, say
from vinci_offline.text import counted


def report(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_DIR|SWEEP_DIR...",
            help="Run directories, or directories of several seeds or of sweeps.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.html", help="The page.")] = Path(
        "report.html"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page that is there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Write one page on runs: tables, verdicts, curves, and how to repeat them. It opens without a network."""
    from vinci_offline.page.report import report as write_report

    written = write_report(paths, output, overwrite=overwrite)
    if json_:
        print_json(written.to_json())
        return
    for task, verdict in written.verdicts.items():
        say(f"{task}: {verdict}")
    say(f"{written.path}: {counted(written.runs, 'run')}, {written.path.stat().st_size / 1000:,.0f} kB")
