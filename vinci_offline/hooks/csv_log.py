"""``metrics.csv`` and ``evaluations.csv``: one row a report, readable while the run trains."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vinci_offline.deviation import finite
from vinci_offline.errors import VinciError
from vinci_offline.files import disk_errors, publish_text
from vinci_offline.hooks.hook import Hook, RunInfo

if TYPE_CHECKING:
    from vinci_offline.envs.evaluator import Evaluation


_DIGITS = 18
"""The most digits of a step."""


class CsvLog(Hook):
    """Writer of two tables in the run directory.

    ``metrics.csv`` has ``step`` and a column for every metric seen so far; ``evaluations.csv`` has ``step``,
    ``return_mean``, ``return_std``, ``return_min``, ``return_max``, ``length_mean``, ``episodes`` and
    ``normalized_mean``. Numbers are written in full, so that pandas reads back what was reported. Each row is
    in the file when the call returns.
    """

    def start(self, run: RunInfo) -> None:
        """Open the tables; drop the rows of steps that will be taken again."""
        self._metrics = CsvTable(run.directory / "metrics.csv", run.start_step)
        self._evaluations = CsvTable(run.directory / "evaluations.csv", run.start_step - run.evaluation_due)

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append a row to ``metrics.csv``."""
        self._metrics.append(step, metrics)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Append a row to ``evaluations.csv``."""
        row = {
            "return_mean": evaluation.return_mean,
            "return_std": finite(evaluation.return_std),
            "return_min": min(evaluation.returns),
            "return_max": max(evaluation.returns),
            "length_mean": evaluation.length_mean,
            "episodes": evaluation.episodes,
            "normalized_mean": evaluation.normalized_mean,
        }
        self._evaluations.append(step, row)


class CsvTable:
    """Table of numbers on disk: one row for each step, and columns that may grow in number.

    Args:
        path: the CSV file.
        start_step: rows past it are dropped, and so is a row cut short by a crash; 0 starts an empty table.
    """

    def __init__(self, path: Path, start_step: int = 0) -> None:
        self._path = path
        self._columns: list[str] = ["step"]
        if start_step == 0:
            path.unlink(missing_ok=True)
        elif path.exists():
            self._columns, rows = _read(path)
            self._write([row for row in rows if int(row["step"]) <= start_step])

    def append(self, step: int, values: Mapping[str, float | None]) -> None:
        """Add a row. A value of None, or a column missing from the row, leaves the cell empty."""
        row = {"step": str(step)} | {name: _text(value) for name, value in values.items()}
        new = [name for name in row if name not in self._columns]
        if new or not self._path.exists():
            rows = _read(self._path)[1] if self._path.exists() else []
            self._columns += new
            self._write([*rows, row])
        else:
            # Opened anew each time: a run that is killed leaves no open handle.
            with disk_errors(self._path), self._path.open("a", encoding="utf-8", newline="") as file:
                file.write(_lines(self._columns, [row]))

    def _write(self, rows: Iterable[Mapping[str, str]]) -> None:
        header = {name: name for name in self._columns}
        publish_text(self._path, _lines(self._columns, [header, *rows]))


def numbers(path: Path) -> list[dict[str, float]]:
    """Return the rows of a `CsvTable` without their empty cells; nothing without a table.

    Raises:
        VinciError: this is no table.
    """
    rows = _read(path)[1] if path.exists() else []
    return [{name: float(text) for name, text in row.items() if text} for row in rows]


def last_row(path: Path) -> dict[str, float]:
    """Return the last row of a `CsvTable`, without its empty cells; nothing without a table."""
    rows = numbers(path)
    return rows[-1] if rows else {}


def last_values(path: Path) -> dict[str, float]:
    """Return the last value of each column of a `CsvTable` but ``step``; nothing without a table."""
    if not path.exists():
        return {}
    rows = _read(path)[1]
    found = {name: float(text) for row in rows for name, text in row.items() if text}
    found.pop("step", None)
    return found


def _read(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the complete rows; a row is complete when its line end was written.

    Raises:
        VinciError: this is no table.
    """
    text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]
    try:
        header, *rows = [*csv.reader(io.StringIO(whole))] or [["step"]]
    except csv.Error as error:
        raise VinciError(f"{path} is damaged ({error}): delete it, and go on without its rows") from error
    return header, [dict(zip(header, row, strict=True)) for row in rows if _sound(header, row)]


def _sound(header: list[str], row: list[str]) -> bool:
    if "step" not in header or len(row) != len(header):
        return False
    step = row[header.index("step")]
    return step.isascii() and step.isdecimal() and len(step) <= _DIGITS and all(map(_is_number, row))


def _is_number(text: str) -> bool:
    try:
        float(text or "0")
    except ValueError:
        return False
    return True


def _lines(columns: list[str], rows: Iterable[Mapping[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writerows(rows)
    return text.getvalue()


def _text(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else repr(float(value))
