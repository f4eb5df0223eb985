"""The command line: one file for each command. Heavy libraries are imported only when a command runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from vinci_offline import __version__
from vinci_offline.cli.agents import agents
from vinci_offline.cli.animate import animate
from vinci_offline.cli.collect import collect
from vinci_offline.cli.compare import compare
from vinci_offline.cli.console import errors_as_exit_codes, say
from vinci_offline.cli.convert import convert
from vinci_offline.cli.datasets import datasets
from vinci_offline.cli.demo import demo
from vinci_offline.cli.estimate import estimate
from vinci_offline.cli.evaluate import evaluate
from vinci_offline.cli.info import info
from vinci_offline.cli.mistakes import Commands
from vinci_offline.cli.report import report
from vinci_offline.cli.select import select
from vinci_offline.cli.signals import listen
from vinci_offline.cli.sweep import sweep
from vinci_offline.cli.train import train
from vinci_offline.cli.validate import validate
from vinci_offline.inputs import refuse_irregular
from vinci_offline.progress import never_silent

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_show_locals=False,
)

_PANELS: dict[str, tuple[Callable[..., None], ...]] = {
    "The main job": (collect, train, sweep, evaluate, estimate, compare, report, animate, demo),
    "Datasets": (info, validate, select, convert, datasets),
    "Agents": (agents,),
}


def _at_home(value: Any) -> Any:
    """Expand ``~/`` at the beginning of a path or text, which a shell leaves as it is in ``--output=~/run``."""
    if isinstance(value, list):
        return [_at_home(each) for each in value]
    if isinstance(value, str | Path) and str(value).startswith("~/"):
        return type(value)(Path(value).expanduser())
    return value


def _command(function: Callable[..., None]) -> Callable[..., None]:
    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        with errors_as_exit_codes(), never_silent():
            given = {name: _at_home(value) for name, value in kwargs.items()}
            refuse_irregular([*args, *given.values()])
            function(*args, **given)

    return run


for _panel, _functions in _PANELS.items():
    for _function in _functions:
        app.command(rich_help_panel=_panel)(_command(_function))


def _version(asked: bool) -> None:
    if asked:
        say(f"vinci-offline {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Record transitions, train Keras agents from the file, evaluate them online."""


def main() -> None:
    """Run the command line."""
    listen(sys.argv[1:])
    app()
