"""``vinci-offline convert``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from vinci_offline.cli.console import print_json
from vinci_offline.cli.tables import show_table
from vinci_offline.data.episode_columns import START
from vinci_offline.errors import UsageError

if TYPE_CHECKING:
    from vinci_offline.convert.format import Exported, Imported
    from vinci_offline.data.assembly.options import Ends
    from vinci_offline.spec import EnvironmentSpec

_FORMATS = "Formats"
_AMBIGUOUS = "Facts that the source does not tell"
_OUTPUT = "Output"


def convert(
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="A file or folder of any format, or a shipped dataset's name."),
    ],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The file or folder to write.")],
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="F",
            help="The source's format; by default its content tells it.",
            rich_help_panel=_FORMATS,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="F",
            help="The target's format; by default its ending tells it.",
            rich_help_panel=_FORMATS,
        ),
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(
            metavar="ENV",
            help="The environment; its spaces and time limit are those of the data.",
            rich_help_panel=_AMBIGUOUS,
        ),
    ] = None,
    ends: Annotated[
        str | None,
        typer.Option(
            metavar="terminal|timeout|limit",
            help="The end of every episode. limit: one of --time-limit steps timed out, a shorter one terminated.",
            rich_help_panel=_AMBIGUOUS,
        ),
    ] = None,
    time_limit: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Steps; by default ENV's own limit.", rich_help_panel=_AMBIGUOUS
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="COLUMN=NAME",
            help="A table's column: observation_0=speed, reward=click, propensity=pscore. Repeat it.",
            rich_help_panel=_AMBIGUOUS,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of a format; to.KEY is one of the target's. Repeat it.",
            rich_help_panel=_AMBIGUOUS,
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing target.", rich_help_panel=_OUTPUT)
    ] = False,
    json_: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.", rich_help_panel=_OUTPUT)
    ] = False,
) -> None:
    """Convert datasets of other tools to one of ours, and back.

    Lists the decisions (such as terminals against timeouts), dropped rows, and facts that the target cannot hold.
    Ambiguous facts are not guessed: the command asks for an option.
    """
    from vinci_offline.convert import conversion
    from vinci_offline.convert.registry import find_format, format_for
    from vinci_offline.data.assembly.options import ImportOptions
    from vinci_offline.data.shipped import resolve

    # Before a long import: a target that is refused should not cost it.
    target = format_for(destination) if to is None else find_format(to)
    if destination.exists():
        if not overwrite:
            raise UsageError(f"{destination} exists already: choose another name or pass --overwrite")
        if resolve(source).exists() and destination.samefile(resolve(source)):
            raise UsageError(f"{destination} is the source itself: choose another name")
    settings = _pairs(set_, "--set")
    options = ImportOptions(
        _spec(env), _one_of(ends), time_limit, _pairs(map_, "--map"), _settings(settings, "to.", inside=False)
    )
    imported = conversion.read(source, kind=from_, options=options)
    exported = conversion.write(
        imported.dataset,
        destination,
        kind=target.name,
        settings=_settings(settings, "to.", inside=True),
        overwrite=overwrite,
    )
    _tell(imported, exported, as_json=json_)


def _tell(imported: Imported, exported: Exported, *, as_json: bool) -> None:
    rows, episodes = len(imported.dataset), len(imported.dataset.episode_columns[START])
    if as_json:
        print_json(
            {
                "file": str(exported.path),
                "rows": rows,
                "episodes": episodes,
                "decisions": [*imported.decisions, *exported.decisions],
                "dropped": dict(imported.dropped),
                "lost": list(exported.lost),
            }
        )
        return
    lines: list[Sequence[str]] = [
        ("file", str(exported.path)),
        ("rows", f"{rows:,} in {episodes:,} episodes"),
    ]
    lines += [("decided", text) for text in (*imported.decisions, *exported.decisions)]
    lines += [("dropped", f"{count:,} {reason}") for reason, count in imported.dropped.items()]
    lines += [("not held", text) for text in exported.lost]
    show_table(lines)


def _pairs(texts: list[str] | None, option: str) -> dict[str, str]:
    found = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{option} {text}: write it as {option} KEY=VALUE")
        found[key.strip()] = value.strip()
    return found


def _settings(settings: dict[str, str], prefix: str, *, inside: bool) -> dict[str, str]:
    """Return the settings of the target, which begin with ``to.``, or those of the source, which do not."""
    return {
        key.removeprefix(prefix): value for key, value in settings.items() if key.startswith(prefix) == inside
    }


def _one_of(ends: str | None) -> Ends | None:
    from vinci_offline.data.assembly.options import Ends

    if ends is not None and ends not in get_args(Ends):
        raise UsageError(f"--ends {ends}: there are {', '.join(get_args(Ends))}")
    return cast("Ends | None", ends)


def _spec(env: str | None) -> EnvironmentSpec | None:
    if env is None:
        return None
    from vinci_offline.envs.wrapper import EnvWrapper

    wrapper = EnvWrapper(env)
    try:
        return wrapper.environment_spec
    finally:
        wrapper.close()
