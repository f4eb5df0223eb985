"""Repair of a file: write a new file without the faults that can be mended without guessing, and list the changes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.calls import from_python
from vinci_offline.data import layout
from vinci_offline.data.hdf5.inspect import inspect
from vinci_offline.data.hdf5.opening import files_kept_open
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.data.shipped import resolve
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.quality.checks.duplicates import duplicates
from vinci_offline.quality.repairs.account import Repair
from vinci_offline.quality.repairs.bitmap import Bitmap
from vinci_offline.quality.repairs.damaged_file import DamagedFile, open_damaged, unrepairable
from vinci_offline.quality.repairs.repaired_episodes import RepairedEpisodes
from vinci_offline.quality.repairs.rows import Mender
from vinci_offline.quality.validation import Report, check
from vinci_offline.spec import EnvironmentSpec


@dataclass(frozen=True)
class Repaired:
    """Result of a repair.

    Attributes:
        source: the damaged file, which is never changed.
        output: the repaired file; None if nothing could be written.
        repairs: the changes.
        report: the problems that are left in ``output``, or those that kept it from being written.
    """

    source: Path
    output: Path | None
    repairs: tuple[Repair, ...]
    report: Report

    def to_json(self) -> dict[str, Any]:
        """Return ``file, output, sound, problems, notes, repairs``."""
        return {
            **self.report.to_json(),
            "file": str(self.source),
            "output": None if self.output is None else str(self.output),
            "repairs": [repair.to_json() for repair in self.repairs],
        }


@from_python
def repair(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    spec: EnvironmentSpec | None = None,
    *,
    drop_duplicates: bool = False,
    overwrite: bool = False,
) -> Repaired:
    """Write a copy of a file without the faults that can be mended safely, and check it. Works in blocks.

    Columns of unequal length are cut to whole rows. Rows with values that are not finite are dropped. Actions
    beyond a bound by no more than rounding are clipped. A row that is terminal and timeout keeps the terminal: in
    Gymnasium nothing is bootstrapped past ``terminated``. An episode ends with a timeout where the following row was
    dropped or does not continue it. The episode table and its returns are computed again; a piece keeps the seed of its
    episode. Everything else stays as it is.

    The new file's attribute ``repairs`` lists the changes, ``parents`` the hashes of its sources.

    Args:
        path: the file, or a shipped dataset's name. It may be a file that `Dataset.open` refuses.
        output: the file to write.
        spec: the environment, for a file that does not tell it.
        drop_duplicates: leave out transitions that repeat an earlier transition exactly.
        overwrite: replace an existing ``output``.

    Raises:
        DatasetError: the file is missing or cannot be read, or no sound row is left.
        SpecError: the spaces of ``spec`` are not those of the file.
        UsageError: ``output`` exists, or is the file itself.
    """
    structure, target = inspect(resolve(path)), Path(output)
    if target.exists() and target.samefile(structure.path):
        raise UsageError(f"{target} is the file to repair, which is never changed: choose another name")
    if left := unrepairable(structure):
        return Repaired(structure.path, None, (), Report(structure.path, tuple(left), ()))
    source = open_damaged(structure, spec)
    with files_kept_open():
        repairs = _write(source, target, drop_duplicates=drop_duplicates, overwrite=overwrite)
    return Repaired(structure.path, target, repairs, check(target, source.spec))


def _write(
    source: DamagedFile, target: Path, *, drop_duplicates: bool, overwrite: bool
) -> tuple[Repair, ...]:
    stored = {
        name: value
        for name, value in source.structure.attributes.items()
        if name not in layout.RESERVED_ATTRIBUTES
    }
    with DatasetWriter(target, source.spec, attributes=stored, float64=True, overwrite=overwrite) as writer:
        parents, doubts = _lineage(source)
        mender = Mender(source, _repeated(source) if drop_duplicates else None)
        pieces = RepairedEpisodes(source)
        for block in mender.blocks():
            writer.append(block.columns)
            pieces.add(block)
        if not len(writer):
            raise DatasetError(f"{source.structure.path}: no sound row is left: record the data again")
        repairs = [*source.repairs, *mender.repairs()]
        if source.ordered:
            table = pieces.table()
            repairs += pieces.repairs(table)
            writer.describe_episodes(table)
        repairs += doubts
        earlier = stored.get("repairs")
        listed = [*(earlier if isinstance(earlier, list) else []), *(each.to_json() for each in repairs)]
        writer.describe(parents=parents, repairs=listed)
    return tuple(repairs)


def _lineage(source: DamagedFile) -> tuple[list[str], Iterator[Repair]]:
    """Return the hashes of the new file's sources, and a warning if the file does not match its own hash."""
    found, stored = source.compute_hash(), source.structure.content_hash
    if stored is None or stored == found:
        return [found], iter(())
    what = (
        f"the columns hash to {found}, not to the {stored} that was written with them: what changed them is not "
        "known, and the new hash certifies them as they are now"
    )
    return [stored, found], iter([Repair(f"attribute '{layout.ATTRIBUTE_HASH}'", what, 1)])


def _repeated(source: DamagedFile) -> Bitmap:
    marks = Bitmap(source.rows)
    for rows, _ in duplicates(source.columns):
        marks.set(rows)
    return marks
