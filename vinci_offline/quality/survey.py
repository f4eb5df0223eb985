"""One read of a dataset for everything that training needs to know before its first step."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.columns import non_finite_error, non_finite_rows
from vinci_offline.data.continuity import continues, runs_of
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import last_rows
from vinci_offline.quality.checks.marks import Marks
from vinci_offline.quality.coverage import every_row, measured_paths, row_step
from vinci_offline.quality.moments import Moments, MomentSums, merged_moments
from vinci_offline.types import Array, Columns

_MEASURED = (layout.OBSERVATIONS, layout.ACTIONS, layout.REWARDS)


@dataclass(frozen=True)
class Survey:
    """Result of one read of a dataset.

    Attributes:
        moments: moments of observations, actions and rewards, by column path.
        non_finite: for each column with NaN or infinite values, the first such row and the number of such rows.
        sample: the observations and actions of the rows asked for, by column path.
        spaced: the rows for `vinci_offline.quality.coverage.coverage`, by column path.
        runs: first rows and lengths of the runs of rows that continue each other, as
            `vinci_offline.data.continuity.runs` returns them; None if they were not asked for.
        where: the file, for messages.
        rows: the number of rows.
    """

    moments: Mapping[str, Moments]
    non_finite: Mapping[str, tuple[int, int]]
    sample: Mapping[str, Array]
    spaced: Mapping[str, Array]
    runs: tuple[Array, Array] | None
    where: str
    rows: int

    def check_finite(self, paths: Collection[str] | None = None) -> None:
        """Make sure that no column holds NaN or an infinite value, as `Dataset.check_finite` does, without a read.

        Args:
            paths: the columns to look at; None for all.

        Raises:
            DatasetError: it names the column, the first such row, and how many there are.
        """
        for path, (first, count) in self.non_finite.items():
            if paths is None or path in paths:
                raise non_finite_error(self.where, path, first, count)

    def joined(self, other: Survey) -> Survey:
        """Return the survey of the rows of both, for `vinci_offline.quality.statistics.summarize`.

        It has no runs. The rows for `coverage` are those of both, which are more of large datasets than one read of all
        would take.

        Args:
            other: the survey of other rows with the same columns, such as held-out episodes.
        """
        rows = self.rows, other.rows
        later = {path: (first + self.rows, count) for path, (first, count) in other.non_finite.items()}
        both = {
            path: (first, count + later.get(path, (0, 0))[1])
            for path, (first, count) in self.non_finite.items()
        }
        return Survey(
            moments={
                path: merged_moments(mine, other.moments[path], rows) for path, mine in self.moments.items()
            },
            non_finite=dict(sorted({**later, **both}.items(), key=lambda item: layout.column_order(item[0]))),
            sample=_concatenated(self.sample, other.sample),
            spaced=_concatenated(self.spaced, other.spaced),
            runs=None,
            where=self.where,
            rows=sum(rows),
        )


def _concatenated(one: Mapping[str, Array], other: Mapping[str, Array]) -> Columns:
    return {path: np.concatenate([values, other[path]]) for path, values in one.items()}


def survey(
    dataset: Dataset,
    *,
    keep: Collection[str] = (),
    sample_rows: Array | None = None,
    runs: bool = False,
) -> Survey:
    """Read every column of a dataset once, in blocks of about 4 MiB.

    A column in ``keep`` is loaded whole in one read and stays in memory, so later accesses read nothing. Of the other
    columns only the rows asked for stay, and the rows for `coverage`, at most 100,000. The moments have the same bits
    as those of `column_moments`.

    Args:
        dataset: N rows.
        keep: paths of the columns that will be needed whole.
        sample_rows: ascending row numbers; their observations and actions are kept.
        runs: find the runs of rows that continue each other.
    """
    for path in keep:
        _ = dataset.columns[path]
    reading = _Reading(dataset, np.empty(0, np.int64) if sample_rows is None else sample_rows, runs=runs)
    following = [f"next_{path}" for path in dataset.columns if path.startswith(layout.OBSERVATIONS)]
    for path in dataset.columns:
        if path not in following:
            reading.read(path)
    return reading.result()


class _Reading:
    """Results of the columns read so far."""

    def __init__(self, dataset: Dataset, sample_rows: Array, *, runs: bool) -> None:
        self._dataset, self._columns = dataset, dataset.columns
        self._sample_rows = sample_rows
        self._spaced = set(measured_paths(dataset))
        self._step = row_step(dataset)
        self._moments: dict[str, Moments] = {}
        self._non_finite = {path: Marks() for path in dataset.columns}
        self._kept: dict[str, list[Array]] = {}
        self._sampled: dict[str, list[Array]] = {}
        self._continues = np.ones(len(dataset), np.bool_) if runs else None

    def read(self, path: str) -> None:
        """Read a column; with a column of observations, its next observations too."""
        root = path.partition("/")[0]
        sums = MomentSums(self._columns.shape(path)[1:]) if root in _MEASURED else None
        blocks = self._pairs(path) if root == layout.OBSERVATIONS else self._columns.blocks(path)
        for start, block in blocks:
            self._non_finite[path].add(start, non_finite_rows(block))
            if sums is not None:
                sums.add(block)
            if self._continues is not None and path in {layout.TERMINALS, layout.TIMEOUTS}:
                self._continues[start : start + len(block)] &= ~block
            if path in self._spaced:
                # Copies: a part of a block would keep all of it.
                self._kept.setdefault(path, []).append(every_row(block, start, self._step).copy())
            if root in {layout.OBSERVATIONS, layout.ACTIONS}:
                first, beyond = np.searchsorted(self._sample_rows, (start, start + len(block)))
                rows = self._sample_rows[first:beyond] - start
                self._sampled.setdefault(path, []).append(block[rows])
        if sums is not None:
            self._moments[path] = sums.result()

    def result(self) -> Survey:
        """Return everything found."""
        return Survey(
            moments=self._moments,
            non_finite={
                path: (marks.first, marks.count) for path, marks in self._non_finite.items() if marks.count
            },
            sample={path: np.concatenate(parts) for path, parts in self._sampled.items()},
            spaced={path: np.concatenate(parts) for path, parts in self._kept.items()},
            runs=None if self._continues is None else self._runs(self._continues),
            where=str(self._dataset.path or "the dataset"),
            rows=len(self._dataset),
        )

    def _pairs(self, path: str) -> Iterator[tuple[int, Array]]:
        """Yield blocks of observations, and look at the next observations of the same rows."""
        leads_to: Array | None = None
        for start, observed in self._columns.blocks(path):
            following = self._columns.read(f"next_{path}", slice(start, start + len(observed)))
            self._non_finite[f"next_{path}"].add(start, non_finite_rows(following))
            if self._continues is not None:
                if leads_to is not None:
                    self._continues[start - 1] &= continues(leads_to, observed[:1])[0]
                rows = slice(start, start + len(observed) - 1)
                self._continues[rows] &= continues(following[:-1], observed[1:])
                leads_to = following[-1:].copy()
            yield start, observed

    def _runs(self, going: Array) -> tuple[Array, Array]:
        going[last_rows(self._dataset.episode_columns)] = False
        return runs_of(going)
