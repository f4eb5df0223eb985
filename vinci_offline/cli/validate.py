"""``vinci-offline validate``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vinci_offline.cli import completion
from vinci_offline.cli.console import print_json, say, tell
from vinci_offline.cli.options import with_options
from vinci_offline.envs.options import json_object
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.options import option

if TYPE_CHECKING:
    from vinci_offline.envs.replay_check import Replay
    from vinci_offline.quality.repairs.account import Repair
    from vinci_offline.quality.validation import Report
    from vinci_offline.spec import EnvironmentSpec

_REPAIR = "Repair"
_REPLAY = "Replay"


@dataclass(frozen=True)
class RepairOptions:
    """Options of the repaired copy."""

    repair: Path | None = option(
        None,
        "Write a copy without the faults that can be repaired without guessing, and check the copy.",
        panel=_REPAIR,
        metavar="OUT.h5",
    )
    drop_duplicates: bool = option(False, "Leave out exact copies of earlier transitions.", panel=_REPAIR)
    overwrite: bool = option(False, "Replace the file that is there.", panel=_REPAIR)

    def __post_init__(self) -> None:
        if self.repair is None and (self.drop_duplicates or self.overwrite):
            flag = "drop-duplicates" if self.drop_duplicates else "overwrite"
            raise UsageError(f"--{flag} needs --repair OUT.h5")


@dataclass(frozen=True)
class ReplayOptions:
    """Options of the replay in the environment."""

    env: str | None = option(
        None,
        "Replay a sample of rows in this environment. It also gives the spaces of a file that lacks them.",
        panel=_REPLAY,
        metavar="ENV",
    )
    env_kwargs: dict[str, Any] | None = option(
        None,
        """The environment's arguments, as '{"g": 9.81}', in place of the file's.""",
        panel=_REPLAY,
        metavar="JSON",
        parse=json_object,
    )
    replay: int | None = option(
        None,
        "Rows to replay (1000), by default in the registered environment that the file names; 0 replays none.",
        panel=_REPLAY,
        metavar="N",
    )
    tolerance: float | None = option(
        None,
        "Largest difference of a replay; by default that of true recordings of the environment.",
        panel=_REPLAY,
        metavar="T",
    )

    @property
    def asked(self) -> bool:
        """True if rows are to be replayed."""
        given = (self.env, self.env_kwargs, self.replay, self.tolerance)
        return self.replay != 0 and any(each is not None for each in given)


@with_options
def validate(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE.h5",
            help="A dataset file, or a shipped dataset's name.",
            show_default=False,
            autocompletion=completion.datasets,
        ),
    ],
    repairing: RepairOptions,
    replaying: ReplayOptions,
    json_: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Check a dataset: exit 0 if it is sound, otherwise exit 1 and list each problem with its place."""
    spec = None if replaying.env is None else _spec(file, replaying.env, replaying.env_kwargs)
    report, repairs, content = _check(file, spec, repairing)
    replayed = _replay(report.path, spec, replaying) if replaying.asked else None
    if replayed is not None:
        report = dataclasses.replace(report, problems=(*report.problems, *replayed.problems))
        content |= {key: value for key, value in report.to_json().items() if key != "file"}
        content["replay"] = replayed.to_json()
    _show(report, repairs, replayed, content if json_ else None)
    _conclude(file, repairing.repair, report)


def _check(
    file: str, spec: EnvironmentSpec | None, options: RepairOptions
) -> tuple[Report, Sequence[Repair], dict[str, Any]]:
    """Check the file, or write and check its repaired copy; return the report, the repairs and their JSON."""
    if options.repair is None:
        from vinci_offline.quality.validation import check

        report = check(file, spec)
        return report, (), report.to_json()
    from vinci_offline.quality.repair import repair

    repaired = repair(
        file,
        options.repair,
        spec,
        drop_duplicates=options.drop_duplicates,
        overwrite=options.overwrite,
    )
    return repaired.report, repaired.repairs, repaired.to_json()


def _spec(file: str, env: str, kwargs: dict[str, Any] | None) -> EnvironmentSpec | None:
    """Return the environment's spaces for a file that lacks them, otherwise None."""
    from vinci_offline.data.hdf5.inspect import inspect
    from vinci_offline.data.shipped import resolve

    if inspect(resolve(file)).spec is not None:
        return None
    from vinci_offline.envs.making import make_env
    from vinci_offline.spec import environment_spec

    made = make_env(env, kwargs)
    try:
        return environment_spec(made, env if ":" in env else None)
    finally:
        made.close()


def _replay(path: Path, spec: EnvironmentSpec | None, options: ReplayOptions) -> Replay | None:
    """Replay rows; return None where the file does not open, since the report says so already."""
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.envs.replay_check import ROWS, replay

    try:
        dataset = Dataset.open(path, spec)
    except DatasetError:
        return None
    rows = ROWS if options.replay is None else options.replay
    return replay(dataset, options.env, env_kwargs=options.env_kwargs, rows=rows, tolerance=options.tolerance)


def _show(
    report: Report, repairs: Sequence[Repair], replayed: Replay | None, content: dict[str, Any] | None
) -> None:
    if content is not None:
        print_json(content)
        return
    for repair in repairs:
        say(f"repaired: {repair}")
    for problem in report.problems:
        say(problem)
    for note in report.notes:
        say(f"note: {note}")
    if replayed is not None:
        say(f"replay: {replayed}")


def _conclude(file: str, output: Path | None, report: Report) -> None:
    # A file beyond repair has no copy: the report is about the file itself.
    checked = str(output) if output == report.path else file
    if report.sound:
        tell(f"{checked} is sound")
        return
    problems, mended = len(report.problems), sum(problem.repairable for problem in report.problems)
    count = "1 problem" if problems == 1 else f"{problems} problems"
    hint = ""
    if output is None and mended:
        these = f"{mended} of them" if mended < problems else "it" if problems == 1 else "them"
        hint = f"; --repair OUT.h5 writes a file without {these}"
    tell(f"{checked}: {count}{hint}")
    raise typer.Exit(1)
