"""A report: runs, sweeps and datasets on one page that opens without a network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.calls import from_python
from vinci_offline.data.shipped import shipped_datasets
from vinci_offline.errors import UsageError
from vinci_offline.evaluation.comparison import compare_members
from vinci_offline.evaluation.members import members
from vinci_offline.evaluation.overall import summarize
from vinci_offline.files import make_folder, publish_text, refuse_existing
from vinci_offline.page.datasets import dataset_section
from vinci_offline.page.rendering import render
from vinci_offline.page.sections import overall, section, title_of
from vinci_offline.runs.sweep_directory import SweepDirectory
from vinci_offline.text import command

_PORTRAITS = 2**21
"""Bytes of all portraits: a page stays below 5 MB."""


@dataclass(frozen=True)
class Report:
    """A page that was written.

    Attributes:
        path: the page.
        runs: the number of its runs.
        datasets: the number of its datasets.
        verdicts: what it says of each task and each dataset, by its name.
    """

    path: Path
    runs: int
    datasets: int
    verdicts: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return the report's JSON object."""
        return {
            "report": str(self.path),
            "bytes": self.path.stat().st_size,
            "runs": self.runs,
            "datasets": self.datasets,
            "verdicts": self.verdicts,
        }


@from_python
def report(
    paths: str | Path | Sequence[str | Path], output: str | Path = "report.html", *, overwrite: bool = False
) -> Report:
    """Write a page on runs: tables with intervals over seeds, verdicts, curves, and the commands that repeat them.

    Of a dataset the page has the card, the episodes, what they cover, and what `validate` found.

    Args:
        paths: run directories, directories of several seeds, and directories of sweeps, whose finished cells count;
            datasets, as files or names of shipped ones. One of these, or several.
        output: the page, ``.html``.
        overwrite: replace a page that is there.

    Raises:
        UsageError: there is no run, two runs have the same seed, or the page exists.
        VinciError: a run is damaged, or a file is no HDF5.

    Example:
        ::

            report(["runs/sweep", "pendulum-mixed"], "page.html")
    """
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    page = Path(output)
    if page.suffix not in {".html", ".htm"}:
        raise UsageError(f"{page} is no page: name it with .html")
    refuse_existing(page, overwrite=overwrite)
    if not paths:
        raise UsageError("there is nothing to report on: name a run directory, a sweep or a dataset")
    files = [path for path in paths if _is_dataset(path)]
    others = [path for path in paths if not _is_dataset(path)]
    found = members(others)
    groups, duels = compare_members([member for member in found if member.last is not None])
    sections: list[dict[str, Any]] = []
    charts: dict[str, Any] = {}
    tasks = dict.fromkeys(member.task for member in found)
    places: dict[str, int] = {}
    for place, task in enumerate(tasks):
        told, of_task = section(
            task,
            [member for member in found if member.task == task],
            [group for group in groups if group.task == task],
            next((duel for duel in duels if duel.task == task), None),
            place,
            _PORTRAITS // len(tasks),
            places,
        )
        sections.append(told)
        charts |= of_task
    datasets = []
    for place, file in enumerate(files):
        told, of_data = dataset_section(file, place)
        datasets.append(told)
        charts |= of_data
    text = render(
        title_of(others, len(found), [told["name"] for told in datasets]),
        sections,
        charts,
        datasets=datasets,
        overall=overall(summarize(groups)),
        sweeps=[each for path in others if (each := _sweep(Path(path))) is not None],
        again=command("report", *paths, "-o", page),
    )
    make_folder(page.parent)
    publish_text(page, text)
    verdicts = {told["task"]: told["verdict"] for told in sections}
    verdicts |= {told["name"]: told["verdict"] for told in datasets}
    return Report(page, len(found), len(files), verdicts)


def _is_dataset(path: str | Path) -> bool:
    """Return True for a file, for what is named like one, and for a shipped dataset's name."""
    place = Path(path)
    if place.exists():
        return not place.is_dir()
    return place.suffix in {".h5", ".hdf5"} or str(path) in shipped_datasets()


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
            json.loads(json.dumps(content.get("spec"))), sort_keys=False, width=100, default_flow_style=None
        ).splitlines(),
        "command": command("sweep", "spec.yaml", "-o", path),
        "finished": len(finished),
        "others": others,
        "failures": [{"name": name, "reason": str(why)} for name, why in dict(content["failures"]).items()],
    }
