"""``vinci-offline convert``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from vinci_offline.budget import trusting
from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json
from vinci_offline.cli.options import with_options
from vinci_offline.cli.tables import show_table
from vinci_offline.data.episode_columns import START
from vinci_offline.errors import UsageError
from vinci_offline.options import check_options, option

if TYPE_CHECKING:
    from vinci_offline.convert.format import Exported, Format, Imported
    from vinci_offline.data.assembly.options import Ends, ImportOptions
    from vinci_offline.spec import EnvironmentSpec

_FORMATS = "Formats"
_AMBIGUOUS = "Facts that the source does not tell"
_OUTPUT = "Output"


def _pairs(texts: Sequence[str], flag: str) -> dict[str, str]:
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise UsageError(f"{flag} {text}: write it as {flag} KEY=VALUE")
        found[key.strip()] = value.strip()
    return found


def _map(texts: Sequence[str]) -> dict[str, str]:
    """Return a mapping. One text may hold several: ``observation=age,weight,action=dose``."""
    pairs: list[str] = []
    for text in texts:
        for number, part in enumerate(text.split(",")):
            if number and "=" not in part:
                pairs[-1] += f",{part}"
            else:
                pairs.append(part)
    return _pairs(pairs, "--map")


def _set(texts: Sequence[str]) -> dict[str, str]:
    return _pairs(texts, "--set")


@dataclass(frozen=True)
class Formats:
    """Options of the two formats."""

    from_: str | None = option(
        None,
        "The source's format; by default its content tells it.",
        panel=_FORMATS,
        flags=("--from",),
        metavar="F",
    )
    to: str | None = option(
        None,
        "The target's format; by default its ending tells it.",
        panel=_FORMATS,
        flags=("--to",),
        metavar="F",
    )


@dataclass(frozen=True)
class Facts:
    """Options of facts that the source does not tell."""

    env: str | None = option(
        None,
        "The environment; its spaces and time limit are those of the data.",
        panel=_AMBIGUOUS,
        metavar="ENV",
    )
    ends: str | None = option(
        None,
        "The end of every episode. limit: one of --time-limit steps timed out, a shorter one terminated.",
        panel=_AMBIGUOUS,
        choices=("terminal", "timeout", "limit"),
    )
    time_limit: int | None = option(
        None, "Steps; by default ENV's own limit.", panel=_AMBIGUOUS, metavar="N [x>=1]", low=1
    )
    columns: dict[str, str] = option(
        {},
        "A column of a table, or an array: observation=obs, or observation=age,weight. Repeat it.",
        panel=_AMBIGUOUS,
        flags=("--map",),
        metavar="COLUMN=NAME",
        parse=_map,
        repeat=True,
    )
    settings: dict[str, str] = option(
        {},
        "A setting of the source, such as action_low=0; to.KEY is one of the target's. Repeat it.",
        panel=_AMBIGUOUS,
        flags=("--set",),
        metavar="KEY=VALUE",
        parse=_set,
        repeat=True,
    )

    skip_bad: bool = option(
        False,
        "Leave out a bad episode and count it; otherwise it refuses the source.",
        panel=_AMBIGUOUS,
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True)
class Output:
    """Options of the output."""

    float64: bool = option(False, "Keep float64 values; otherwise they become float32.", panel=_OUTPUT)
    trust: bool = option(False, "Read what takes far more memory than the source's bytes.", panel=_OUTPUT)
    overwrite: bool = option(False, "Replace an existing target.", panel=_OUTPUT)
    json: bool = option(False, "Print one JSON object.", panel=_OUTPUT)


@with_options
def convert(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="A file or folder of any format, or a shipped dataset's name.",
            autocompletion=completion.datasets,
        ),
    ],
    destination: Annotated[Path, typer.Argument(metavar="DST", help="The file or folder to write.")],
    formats: Formats,
    facts: Facts,
    output: Output,
) -> None:
    """Convert datasets of other tools to one of ours, and back.

    Lists the decisions (such as terminals against timeouts), dropped rows, and facts that the target cannot hold.
    Ambiguous facts are not guessed: the command asks for an option.
    """
    from vinci_offline.convert import conversion

    # Before a long import: a target that is refused should not cost it.
    target = _target(source, destination, formats.to, overwrite=output.overwrite)
    with trusting(output.trust):
        imported = conversion.read(
            source, kind=formats.from_, options=_import_options(facts, float64=output.float64)
        )
        exported = conversion.write(
            imported.dataset,
            destination,
            kind=target.name,
            settings=_settings(facts.settings, "to.", inside=True),
            overwrite=output.overwrite,
        )
    _tell(imported, exported, as_json=output.json)


def _target(source: str, destination: Path, name: str | None, *, overwrite: bool) -> Format:
    """Return the format to write; refuse a destination that may not be replaced."""
    from vinci_offline.convert.registry import find_format, format_for
    from vinci_offline.data.shipped import resolve

    target = format_for(destination) if name is None else find_format(name)
    if destination.exists():
        if not overwrite:
            raise UsageError(f"{destination} exists already: choose another name or pass --overwrite")
        if resolve(source).exists() and destination.samefile(resolve(source)):
            raise UsageError(f"{destination} is the source itself: choose another name")
    return target


def _import_options(facts: Facts, *, float64: bool) -> ImportOptions:
    from vinci_offline.data.assembly.options import ImportOptions

    settings = _settings(facts.settings, "to.", inside=False)
    return ImportOptions(
        _spec(facts.env),
        cast("Ends | None", facts.ends),
        facts.time_limit,
        facts.columns,
        settings,
        float64,
        facts.skip_bad,
    )


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


def _settings(settings: dict[str, str], prefix: str, *, inside: bool) -> dict[str, str]:
    """Return the settings of the target, which begin with ``to.``, or those of the source: ``from.``, or nothing."""
    return {
        key.removeprefix(prefix).removeprefix("from."): value
        for key, value in settings.items()
        if key.startswith(prefix) == inside
    }


def _spec(env: str | None) -> EnvironmentSpec | None:
    if env is None:
        return None
    from vinci_offline.envs.wrapper import EnvWrapper

    wrapper = EnvWrapper(env)
    try:
        return wrapper.environment_spec
    finally:
        wrapper.close()
