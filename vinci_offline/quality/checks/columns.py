"""Check each column by itself in one read: finite, inside its space, not constant; and the hash of all columns."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.columns import non_finite_rows
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.digest import ColumnDigest, content_hash
from vinci_offline.data.layout import Slot
from vinci_offline.data.problem import Finding, Note, Problem
from vinci_offline.errors import DatasetError
from vinci_offline.quality.checks.bounds import NEAR, Bounds
from vinci_offline.quality.checks.marks import Marks
from vinci_offline.spec import DiscreteSpace, MultiDiscreteSpace
from vinci_offline.text import counted
from vinci_offline.types import Array

_MAY_BE_CONSTANT = (layout.NEXT_OBSERVATIONS, layout.TERMINALS, layout.TIMEOUTS, layout.INFOS)
"""Columns that may be constant: next observations repeat observations, flags are often false, infos may be settings."""


def column_findings(dataset: Dataset, stored_hash: str | None) -> Iterator[Finding]:
    """Find faults of the columns one by one. Each column is read once, in blocks.

    A column that cannot be read is a problem of its own, and leaves the hash unknown.

    Args:
        dataset: the rows to check.
        stored_hash: the hash stored in the file; None if there is none.
    """
    slots = layout.spec_slots(dataset.spec)
    scans: list[_Scan] = []
    damage: list[Problem] = []
    for path in dataset.columns:
        scan = _Scan(dataset, path, slots.get(path))
        try:
            scan.run()
        except DatasetError as error:
            damage.append(Problem("file", str(error), "restore the file from a copy"))
        else:
            scans.append(scan)
    # All findings of a kind together: values that are not finite explain other findings.
    for scan in scans:
        yield from scan.non_finite()
    for scan in scans:
        yield from scan.outside()
    for scan in scans:
        yield from scan.constant()
    yield from damage
    if stored_hash is None or damage:
        return
    if content_hash({scan.path: scan.fingerprint() for scan in scans}) != stored_hash:
        what = "the columns were changed after they were written"
        advice = "restore the file from a copy, or save it anew if you know what changed it"
        yield Problem(f"attribute '{layout.ATTRIBUTE_HASH}'", what, advice, repairable=True)


class _Scan:
    """Findings in one column, read block by block."""

    def __init__(self, dataset: Dataset, path: str, slot: Slot | None) -> None:
        self.path = path
        self._columns = dataset.columns
        self._space = space = None if slot is None else slot.space
        self._bounds = None if space is None else Bounds(space)
        self._near = None if space is None else Bounds(space, NEAR)
        if self._bounds is not None and self._bounds.cover(dataset.columns.dtype(path)):
            self._bounds = None
        # Bounds of Box observations are often nominal; bounds of actions and choices are meant.
        self._strict = path == layout.ACTIONS or isinstance(space, DiscreteSpace)
        self._non_finite, self._outside, self._far = Marks(), Marks(), Marks()
        self._digest = ColumnDigest()
        self._first: Array | None = None
        self._same: Array | None = None

    def run(self) -> None:
        for start, block in self._columns.blocks(self.path):
            self._digest.update(block)
            self._non_finite.add(start, non_finite_rows(block))
            if self._bounds is not None and self._near is not None:
                outside = self._bounds.outside(block)
                self._outside.add(start, outside)
                self._far.add(start, outside & self._near.outside(block) if outside.any() else outside)
            self._compare(block.reshape(len(block), -1))

    def fingerprint(self) -> tuple[np.dtype[np.generic], tuple[int, ...], str]:
        return self._columns.dtype(self.path), self._columns.shape(self.path), self._digest.hexdigest()

    def non_finite(self) -> Iterator[Finding]:
        if self._non_finite.count:
            what = f"{self._non_finite} with NaN or infinite values"
            advice = "record the data again, or leave these rows out (Dataset.rows)"
            yield Problem(f"{self.path} row {self._non_finite.first}", what, advice, repairable=True)

    def outside(self) -> Iterator[Finding]:
        if not self._outside.count:
            return
        first = self._outside.first
        value = self._columns.read(self.path, slice(first, first + 1))[0]
        what = f"{self._outside} outside the space, here {np.array2string(value, precision=4, threshold=8)}"
        where = f"{self.path} row {first}"
        if self._strict:
            advice = (
                "correct the spec: choices may count from another number, and clipping would merge two of them"
                if isinstance(self._space, DiscreteSpace | MultiDiscreteSpace)
                else "clip them as the environment did, or correct the spec"
            )
            yield Problem(where, what, advice, repairable=self.path == layout.ACTIONS and not self._far.count)
        else:
            yield Note(where, what, "the bounds may be nominal: correct the spec if they are meant")

    def constant(self) -> Iterator[Finding]:
        if self._same is None or not self._same.any() or self._columns.shape(self.path)[0] < 2:
            return
        advice = "check the recording if it should change"
        if self._same.all():
            yield Note(self.path, "the same in every row", advice)
        else:
            names = f"{counted(int(self._same.sum()), 'dimension')} of {len(self._same)}"
            what = f"{names} the same in every row, first dimension {int(np.argmax(self._same))}"
            yield Note(self.path, what, advice)

    def _compare(self, block: Array) -> None:
        """Track the entries that equal those of the first row in all rows; ``block`` is ``[B, D]``."""
        if self.path.partition("/")[0] in _MAY_BE_CONSTANT:
            return
        if self._first is None or self._same is None:
            self._first, self._same = block[0].copy(), np.ones(block.shape[1], np.bool_)
        if (still := np.flatnonzero(self._same)).size:
            self._same[still] = (block[:, still] == self._first[still]).all(axis=0)
