"""``vinci-offline report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vinci_offline.cli.console import print_json, say
from vinci_offline.text import counted


def report(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN_DIR|SWEEP_DIR|FILE.h5...",
            help="Runs, directories of several seeds or of sweeps, and dataset files or names of shipped ones.",
            show_default=False,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.html", help="The page.")] = Path(
        "report.html"
    ),
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the page that is there.")] = False,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Write one page on runs and datasets: tables, verdicts, curves, episodes. It opens without a network."""
    from vinci_offline.page.report import report as write_report

    written = write_report(paths, output, overwrite=overwrite)
    if json_:
        print_json(written.to_json())
        return
    for name, verdict in written.verdicts.items():
        say(f"{name}: {verdict}")
    kinds = {"run": written.runs, "dataset": written.datasets}
    told = " and ".join(counted(number, kind) for kind, number in kinds.items() if number)
    say(f"{written.path}: {told}, {written.path.stat().st_size / 1000:,.0f} kB")
