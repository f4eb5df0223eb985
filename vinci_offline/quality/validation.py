"""Validation of a file: its structure, its values, and whether they agree."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.calls import from_python
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.hdf5.inspect import Structure, inspect
from vinci_offline.data.hdf5.opening import files_kept_open
from vinci_offline.data.problem import Finding, Note, Problem
from vinci_offline.data.shipped import resolve
from vinci_offline.errors import DatasetError
from vinci_offline.quality.checks.columns import column_findings
from vinci_offline.quality.checks.continuity import continuity_findings
from vinci_offline.quality.checks.duplicates import duplicate_findings
from vinci_offline.quality.checks.ends import flag_findings, table_findings
from vinci_offline.spec import EnvironmentSpec

_Check = Callable[[Dataset, Structure], Iterator[Finding]]


@dataclass(frozen=True)
class Report:
    """All findings in a file.

    Attributes:
        path: the file.
        problems: the faults.
        notes: findings that are worth a look and may be right.
    """

    path: Path
    problems: tuple[Problem, ...]
    notes: tuple[Note, ...]

    @property
    def sound(self) -> bool:
        """True if there are no problems; notes do not count."""
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        """Return ``file, sound, problems, notes``."""
        return {
            "file": str(self.path),
            "sound": self.sound,
            "problems": [problem.to_json() for problem in self.problems],
            "notes": [note.to_json() for note in self.notes],
        }


@from_python
def check(path: str | os.PathLike[str], spec: EnvironmentSpec | None = None) -> Report:
    """Check a whole file in blocks; memory does not grow with its rows.

    Values are checked only if there are no structural problems.

    Args:
        path: the file, or a shipped dataset's name.
        spec: the environment, for a file that does not tell it.

    Raises:
        DatasetError: the file is missing or cannot be opened as HDF5.
        SpecError: the spaces of ``spec`` are not those of the file.
    """
    structure = inspect(resolve(path))
    findings: list[Finding] = list(structure.problems)
    if not findings:
        try:
            dataset = Dataset.open(structure.path, spec=spec)
        except DatasetError as error:
            findings.append(Problem("environment", str(error), "see docs/format.md"))
        else:
            with files_kept_open():
                findings = list(_value_findings(dataset, structure))
    # Damage that only reading finds ends each check that reads it; it is reported once.
    findings = list(dict.fromkeys(findings))
    return Report(
        path=structure.path,
        problems=tuple(finding for finding in findings if isinstance(finding, Problem)),
        notes=tuple(finding for finding in findings if isinstance(finding, Note)),
    )


@from_python
def validate(path: str | os.PathLike[str], spec: EnvironmentSpec | None = None) -> list[Problem]:
    """Return every problem of a file; an empty list means that it is sound. `check` returns notes as well.

    Args:
        path: the file, or a shipped dataset's name.
        spec: the environment, for a file that does not tell it.

    Raises:
        DatasetError: the file is missing or cannot be opened as HDF5.
        SpecError: the spaces of ``spec`` are not those of the file.
    """
    return list(check(path, spec).problems)


def _value_findings(dataset: Dataset, structure: Structure) -> Iterator[Finding]:
    yield from column_findings(dataset, structure.content_hash)
    checks: tuple[_Check, ...] = (flag_findings, table_findings, continuity_findings, duplicate_findings)
    for each in checks:
        # Each check reads the file anew: damage ends one check and not the others.
        try:
            yield from each(dataset, structure)
        except DatasetError as error:
            yield Problem("file", str(error), "restore the file from a copy")
