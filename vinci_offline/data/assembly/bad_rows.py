"""Rows of a table that cannot be read, and the episodes that are left out for them, as ``--skip-bad`` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.flat import one_number
from vinci_offline.data.assembly.lazy import permuted, whole
from vinci_offline.data.assembly.mapping import Choice
from vinci_offline.data.assembly.order import labels_of
from vinci_offline.data.assembly.steps import steps_of
from vinci_offline.data.assembly.texts import NO_LABEL, Texts
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array


class Converter(Protocol):
    """A converter of a column's cells that counts those it fills."""

    filled: int


class BadRows:
    """Collector of the rows that cannot be read. Without ``skip_bad``, or a column of episodes, the first is refused.

    Args:
        choice: the columns.
        context: the import.
    """

    def __init__(self, choice: Choice, context: ImportContext) -> None:
        self._episode = choice.sources.get("episode") if context.options.skip_bad else None
        self._context = context
        self._reasons: dict[int, str] = {}

    def read(
        self, converter: Converter, convert: Callable[[Array | None], Any], count: int, first: int
    ) -> Any:
        """Return the cells of a column in some rows; a bad row has a zero.

        Args:
            converter: counts what it fills.
            convert: returns the cells in the rows of these places; None for all rows.
            count: the number of the rows.
            first: the row of the first of them.

        Raises:
            DatasetError: a cell is bad, and no episode can be left out for it.
        """
        filled = converter.filled
        try:
            return convert(None)
        except DatasetError:
            if self._episode is None:
                raise
            bad: dict[int, str] = {}
            for place in range(count):
                try:
                    convert(np.array([place]))
                except DatasetError as error:
                    bad[place] = str(error)
            good = np.setdiff1d(np.arange(count), list(bad))
            if not bad:
                raise
        converter.filled = filled
        # Where no row tells the kind of number, zeros are flags: every kind of number holds them.
        values = np.asarray(convert(good)) if len(good) else np.zeros(0, np.bool_)
        result = np.zeros((count, *values.shape[1:]), values.dtype)
        result[good] = values
        for place, reason in bad.items():
            self._reasons.setdefault(first + place, reason)
        return result

    def dropped(self, columns: dict[str, Column | Texts]) -> dict[str, Column | Texts]:
        """Return the columns without the episodes of the bad rows, which are counted.

        Raises:
            DatasetError: a bad row does not tell its episode, or most episodes are bad.
        """
        if self._episode is None or not self._reasons:
            return columns
        return _without(columns, self._episode, self._reasons, self._context)


def without_repeated(
    source: Mapping[str, Column | Texts], choice: Choice, context: ImportContext
) -> Mapping[str, Column | Texts]:
    """Return a table without the episodes in which a step comes twice, if bad ones are left out.

    Raises:
        DatasetError: most episodes are bad, or a step is none.
    """
    if not context.options.skip_bad or not {"episode", "step"} <= choice.sources.keys():
        return source
    name = choice.sources["episode"]
    step, episode = source[choice.sources["step"]], source[name]
    if isinstance(step, Texts):
        return source
    numbers = whole(steps_of(one_number(step, f"{context.where}: step"), context).numbers)
    labels = whole(labels_of(episode))
    order = np.lexsort([numbers, labels])
    twice = (np.diff(labels[order]) == 0) & (np.diff(numbers[order]) == 0)
    reasons = {int(row): f"{context.place(int(row))}: a step comes twice" for row in order[1:][twice]}
    return _without(source, name, reasons, context) if reasons else source


def _without(
    columns: Mapping[str, Column | Texts], name: str, reasons: Mapping[int, str], context: ImportContext
) -> dict[str, Column | Texts]:
    episode = columns[name]
    labels = whole(episode.numbers if isinstance(episode, Texts) else episode)
    for row, reason in reasons.items():
        label = labels[row]
        if episode.texts[label].strip() in NO_LABEL if isinstance(episode, Texts) else not np.isfinite(label):
            raise DatasetError(f"{reason}; and nothing tells the episode of the row")
    bad = np.unique(labels[list(reasons)])
    context.skip(len(bad), reasons[min(reasons)])
    context.check_bad(len(np.unique(labels)) - len(bad))
    kept = np.flatnonzero(~np.isin(labels, bad))
    context.reorder(kept)
    return {
        key: Texts(permuted(column.numbers, kept), column.texts)
        if isinstance(column, Texts)
        else permuted(column, kept)
        for key, column in columns.items()
    }
