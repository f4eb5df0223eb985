"""The directory of a sweep: ``sweep.json``, and a run directory with its result for each cell."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.files import clear_folder, make_folder, publish_text
from vinci_offline.locks import LOCK
from vinci_offline.runs.run_directory import RunDirectory

_NAME = re.compile(r"[\w=][\w.=,+-]{0,199}")
_MOST_BYTES = 2**26
_RESULT = "result.json"


@dataclass(frozen=True)
class SweepDirectory:
    """``sweep.json`` and ``cells/NAME/`` under ``path``. A finished cell has ``cells/NAME/result.json``."""

    path: Path

    def exists(self) -> bool:
        """Return True where a sweep was started here."""
        return (self.path / "sweep.json").is_file()

    def cell(self, name: str) -> RunDirectory:
        """Return the run directory of a cell."""
        return RunDirectory(self.path / "cells" / name)

    def check_claim(self, *, resume: bool, overwrite: bool) -> None:
        """Refuse what `claim` may not take. Change nothing.

        Raises:
            UsageError: the directory is not empty and neither flag is set, or it is no sweep.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file, and a sweep is a folder: choose another with -o")
        if not self.path.exists() or all(each.name == LOCK for each in self.path.iterdir()):
            return
        if not self.exists():
            # Delete sweeps only: other folders are not ours.
            raise UsageError(f"{self.path} exists and is no sweep: choose another with -o")
        if not (resume or overwrite):
            raise UsageError(
                f"{self.path} exists, a sweep: --resume goes on with it, --overwrite replaces it, or choose another "
                "with -o"
            )

    def claim(self, content: Mapping[str, Any], *, resume: bool, overwrite: bool) -> None:
        """Take the directory for a sweep, and write ``sweep.json``.

        Raises:
            UsageError: as `check_claim`.
        """
        self.check_claim(resume=resume, overwrite=overwrite)
        if self.exists() and not resume:
            clear_folder(self.path, keep=LOCK)
        make_folder(self.path / "cells")
        self.save(content)

    def save(self, content: Mapping[str, Any]) -> None:
        """Write ``sweep.json``.

        Args:
            content: ``spec``, ``cells``, ``failures``, and perhaps ``draws``, as JSON values.
        """
        marked = {"format": "vinci-offline-sweep", "version": 1, **content}
        publish_text(self.path / "sweep.json", json.dumps(marked, indent=2, allow_nan=False))

    def read(self) -> dict[str, Any]:
        """Read ``sweep.json``.

        Raises:
            VinciError: it is missing or damaged.
        """
        content = _read(self.path / "sweep.json")
        try:
            names = [str(cell["name"]) for cell in content["cells"]]
            dict(content["failures"])
        except (KeyError, TypeError, ValueError) as error:
            raise _damaged(self.path / "sweep.json") from error
        if not all(map(_NAME.fullmatch, names)):  # a path would lead elsewhere
            raise _damaged(self.path / "sweep.json")
        return content

    def damaged(self) -> VinciError:
        """Return the error of a ``sweep.json`` that says nothing valid."""
        return _damaged(self.path / "sweep.json")

    def finish(self, name: str, result: Mapping[str, Any]) -> None:
        """Write a finished cell's result: ``steps``, ``steps_per_second``, ``final_metrics`` and others."""
        path = self.cell(name).path / _RESULT
        make_folder(path.parent)
        publish_text(path, json.dumps(result, indent=2, allow_nan=False))

    def result(self, name: str, steps: int | None = None) -> dict[str, Any] | None:
        """Return a finished cell's result; None if the cell is not finished.

        Args:
            name: the cell.
            steps: the steps that the cell is to have; None takes those it was finished with.
        """
        path = self.cell(name).path / _RESULT
        if not path.is_file():
            return None
        content = _read(path)
        return content if steps in (None, content.get("planned")) else None

    def runs(self) -> tuple[list[Path], int]:
        """Return the run directories of the finished cells, and the number of the others."""
        names = [cell["name"] for cell in self.read()["cells"]]
        finished = [self.cell(name).path for name in names if self.result(name) is not None]
        return finished, len(names) - len(finished)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.stat().st_size <= _MOST_BYTES else None
    except Exception as error:  # damage raises errors of any kind
        raise _damaged(path) from error
    if not isinstance(content, dict):
        raise _damaged(path)
    return content


def _damaged(path: Path) -> VinciError:
    advice = "delete it, and go on with --resume" if path.name == _RESULT else "restore it, or sweep again"
    return VinciError(f"{path} is damaged: {advice}")
