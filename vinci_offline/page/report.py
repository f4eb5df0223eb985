"""A report: runs and sweeps on one page that opens without a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.errors import UsageError
from vinci_offline.evaluation.comparison import compare_members
from vinci_offline.evaluation.members import members
from vinci_offline.evaluation.overall import summarize
from vinci_offline.files import make_folder, publish_text, refuse_existing
from vinci_offline.page.rendering import render
from vinci_offline.page.sections import overall, section, title_of
from vinci_offline.runs.sweep_directory import SweepDirectory
from vinci_offline.text import command


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        path: the page.
        runs: the number of its runs.
        verdicts: what it says of each task, by the task.
    """

    path: Path
    runs: int
    verdicts: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the report's JSON object."""
        return {
            "report": str(self.path),
            "bytes": self.path.stat().st_size,
            "runs": self.runs,
            "verdicts": self.verdicts,
        }


def report(paths: Sequence[str | Path], output: str | Path, *, overwrite: bool = False) -> Report:
    """Write a page on runs: tables with intervals over seeds, verdicts, curves, and the commands that repeat them.

    Args:
        paths: run directories, directories of several seeds, and directories of sweeps, whose finished cells count.
        output: the page, ``.html``.
        overwrite: replace a page that is there.

    Raises:
        UsageError: there is no run, two runs have the same seed, or the page exists.
        VinciError: a run is damaged.
    """
    page = Path(output)
    if page.suffix not in {".html", ".htm"}:
        raise UsageError(f"{page} is no page: name it with .html")
    refuse_existing(page, overwrite=overwrite)
    if not paths:
        raise UsageError("there is nothing to report on: name a run directory or a sweep")
    found = members(paths)
    groups, duels = compare_members([member for member in found if member.last is not None])
    sections: list[dict[str, Any]] = []
    charts: dict[str, Any] = {}
    for place, task in enumerate(dict.fromkeys(member.task for member in found)):
        told, of_task = section(
            task,
            [member for member in found if member.task == task],
            [group for group in groups if group.task == task],
            next((duel for duel in duels if duel.task == task), None),
            place,
        )
        sections.append(told)
        charts |= of_task
    text = render(
        title_of(paths, len(found)),
        sections,
        charts,
        overall=overall(summarize(groups)),
        sweeps=[each for path in paths if (each := _sweep(Path(path))) is not None],
        again=command("report", *paths, "-o", page),
    )
    make_folder(page.parent)
    publish_text(page, text)
    return Report(page, len(found), {told["task"]: told["verdict"] for told in sections})


def _sweep(path: Path) -> dict[str, Any] | None:
    """Return what the page says of a sweep: its spec, how to run it again, and what failed; None for another path."""
    sweep = SweepDirectory(path)
    if not sweep.exists():
        return None
    import yaml

    content = sweep.read()
    finished, others = sweep.runs()
    return {
        "path": str(path),
        "spec": yaml.safe_dump(
            json.loads(json.dumps(content.get("spec"))), sort_keys=False, width=100
        ).splitlines(),
        "command": command("sweep", "spec.yaml", "-o", path),
        "finished": len(finished),
        "others": others,
        "failures": [{"name": name, "reason": str(why)} for name, why in dict(content["failures"]).items()],
    }
