"""``vinci-offline agents``: the agents and their settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say
from vinci_offline.cli.tables import show_table
from vinci_offline.text import command, text_of

if TYPE_CHECKING:
    from rich.console import RenderableType


def agents(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="One agent whole, or your own as file.py:Class. Without it, a list of all.",
            autocompletion=completion.agents,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object to standard output.")
    ] = False,
) -> None:
    """List the agents; with a NAME show its networks, updates and hyperparameters (train --set key=value)."""
    from vinci_offline.agents.outline import outline
    from vinci_offline.agents.registry import agent_class
    from vinci_offline.agents.registry import agents as registered

    classes = registered() if name is None else {name: agent_class(name)}
    outlines = {key: {**outline(cls), "presets": _presets(key)} for key, cls in classes.items()}
    if as_json:
        print_json(outlines)
        return
    if name is None:
        _show_list(outlines)
        return
    from rich.console import Console

    out = Console(highlight=False)
    for part in _table(name, outlines[name]):
        out.print(part)


_GROUPS = {"continuous": "continuous actions", "discrete": "Discrete actions", "both": "both kinds of action"}


def _show_list(outlines: Mapping[str, dict[str, Any]]) -> None:
    """Print a table for each kind of action: what the agents train, and when to choose which."""
    groups: dict[str, list[str]] = {kind: [] for kind in _GROUPS}
    for name, content in outlines.items():
        kinds = content["action_kinds"]
        groups["both" if len(kinds) > 1 else kinds[0]].append(name)
    for kind, names in groups.items():
        rows = [(name, *_cells(outlines[name])) for name in names]
        if rows:
            say(f"{_GROUPS[kind]}:")
            show_table(rows, header=("agent", "trains", "actor later", "choose it when"))
            say()
    say("trains: the roles of --only and --phases, and the networks of each.")
    say("actor later: the critics never ask the actor, so it can be trained after them:")
    say("--only critic, then --init RUN --only actor.")
    say(f"one agent whole: {command('agents', next(iter(outlines)))}")


def _cells(content: Mapping[str, Any]) -> tuple[str, str, str]:
    """Return what an agent trains, whether its actor can be trained later, and when to choose it."""
    trains = "; ".join(
        role if networks == [role] else f"{role}: {', '.join(networks)}"
        for role, networks in content["roles"].items()
    )
    later = {True: "yes", False: "no", None: "-"}[content["actor_later"]]
    return trains, later, content["choose_when"] or _first_sentence(content["doc"])


def _first_sentence(doc: str) -> str:
    """Return the first sentence of a description, without its links."""
    first = re.sub(r",? ?(https?://|doi\.org/)[^\s)]+", "", doc.partition("\n")[0])
    return re.split(r"(?<=\.) (?=[A-Z])", first)[0].rstrip(".")


def _table(name: str, content: dict[str, Any]) -> list[RenderableType]:
    from rich.table import Table
    from rich.text import Text

    title = Text(name, style="bold") + Text(f"   {', '.join(content['action_kinds'])} actions", style="dim")
    parts: list[RenderableType] = ["", title, Text(content["doc"])]
    networks = Table("network", "is", box=None, pad_edge=False, header_style="dim")
    for network, kind in content["networks"].items():
        networks.add_row(Text(network), Text(kind))
    updates = Table("update", "role", "runs", "target", box=None, pad_edge=False, header_style="dim")
    for update in content["updates"]:
        updates.add_row(*(Text(update[column]) for column in ("trains", "role", "runs", "target")))
    settings = Table("--set", "default", "what it is", box=None, pad_edge=False, header_style="dim")
    for key, setting in content["hyperparameters"].items():
        # Text, not markup: a description may hold brackets.
        settings.add_row(Text(key), Text(text_of(setting["default"])), Text(setting["doc"]))
    for table in (networks, updates, settings):
        parts += ["", table]
    return [*parts, *_preset_parts(content["presets"])]


def _presets(agent: str) -> dict[str, dict[str, Any]]:
    """Return the presets of an agent as JSON values."""
    from vinci_offline.presets.library import presets

    return {
        name: {"options": dict(each.options), "settings": dict(each.settings), "source": each.source}
        for name, each in presets(agent).items()
    }


def _preset_parts(presets: Mapping[str, dict[str, Any]]) -> list[RenderableType]:
    """Return a table of what sets each preset apart, and below it each source with what all of its presets share."""
    from rich.table import Table
    from rich.text import Text

    table = Table("--preset", "sets", box=None, pad_edge=False, header_style="dim")
    sources: dict[str, dict[str, list[str]]] = {}
    for name, each in presets.items():
        sources.setdefault(each["source"], {})[name] = _words(each)
    told: list[RenderableType] = []
    for source, words in sources.items():
        first, *others = words.values()
        shared = [word for word in first if others and all(word in each for each in others)]
        for name, own in words.items():
            table.add_row(
                Text(name), Text(" ".join(word for word in own if word not in shared) or "what all set")
            )
        told.append(Text(f"{source}{': all set ' if shared else ''}{' '.join(shared)}"))
    return ["", table, *told] if presets else []


def _words(preset: Mapping[str, Any]) -> list[str]:
    """Return the words of the command line that a preset stands for, without ``--set``."""
    options = [f"--{key.replace('_', '-')} {text_of(value)}" for key, value in preset["options"].items()]
    return [*options, *(f"{key}={text_of(value)}" for key, value in preset["settings"].items())]
