"""``vinci-offline datasets``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.tables import show_table
from vinci_offline.data.episode_columns import LENGTH
from vinci_offline.text import command


def datasets(
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object, by name.")] = False,
) -> None:
    """List the shipped datasets. Every command takes their names in place of files."""
    from vinci_offline.data.shipped import shipped_datasets

    found = {name: _describe(name) for name in shipped_datasets()}
    if json_:
        print_json(found)
        return
    if not found:
        say("this installation has no datasets")
        return
    rows = [
        (name, str(about["env"]), f"{about['rows']:,}", about["actions"], f"{about['return_mean']:.1f}")
        for name, about in found.items()
    ]
    show_table(rows, header=("name", "environment", "rows", "actions", "mean return"))
    say(f"more about one: {command('info', next(iter(found)))}")


def _describe(name: str) -> dict[str, Any]:
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.data.episodes import whole_returns
    from vinci_offline.data.shipped import summary_line
    from vinci_offline.spec import describe_space

    dataset = Dataset.open(name)
    return {
        "path": str(dataset.path),
        "env": dataset.spec.id,
        "actions": describe_space(dataset.spec.action_space),
        "rows": len(dataset),
        "episodes": len(dataset.episode_columns[LENGTH]),
        "return_mean": float(whole_returns(dataset.episode_columns).mean()),
        "about": summary_line(name),
    }
