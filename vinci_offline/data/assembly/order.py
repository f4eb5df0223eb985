"""The order of a table's rows: by episode and step, and where an episode begins.

Rows that are in order are looked at in blocks. Otherwise the keys of all rows lie in memory: 24 bytes a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import as_dtype, blocks, gathered, held, mapped, whole
from vinci_offline.data.columns import Column
from vinci_offline.data.episodes import are_whole_numbers as whole_numbers
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array


@dataclass(frozen=True)
class Texts:
    """A column of texts, each once, and the number of its text in every row.

    Attributes:
        numbers: ``[N]`` places in ``texts``.
        texts: in any order, each once.
    """

    numbers: Column
    texts: list[str]

    @classmethod
    def of(cls, values: Array) -> Texts:
        """Number the texts of an array."""
        texts, numbers = np.unique(values.astype(np.str_), return_inverse=True)
        return cls(held(numbers.reshape(-1)), texts.tolist())

    def ranks(self) -> Column:
        """Return the place of each row's text among the sorted ones."""
        places = np.empty(len(self.texts), np.int64)
        places[np.argsort(np.array(self.texts, np.str_))] = np.arange(len(self.texts))
        return mapped(self.numbers, places.__getitem__, dtype=places.dtype)

    def labels(self) -> Column:
        """Return whole numbers in the order of the texts: as numbers if all are, else as words."""
        if all(text.isdecimal() and len(text) < 19 for text in self.texts):
            values = np.array([int(text) for text in self.texts], np.int64)
            return mapped(self.numbers, values.__getitem__, dtype=values.dtype)
        return self.ranks()


class Begins(NamedTuple):
    """Marks of the rows that begin an episode.

    Attributes:
        rows: ``[N]`` whether the row begins an episode, or a piece of one.
        torn: ``[N]`` whether the steps just before it are missing, so that pieces of one episode meet here.
    """

    rows: Array
    torn: Array


def row_order(
    table: Mapping[str, Column | Texts], context: ImportContext
) -> tuple[Array | None, Begins | None]:
    """Tell how to sort the rows, and which of them then begin an episode; None where there is nothing to do or to tell.

    Args:
        table: ``episode`` and ``step``, ``[N]``, as far as there are such columns.
        context: the import.

    Raises:
        DatasetError: a step comes twice in an episode.
    """
    found = table.get("step")
    if isinstance(found, Texts):
        raise DatasetError(f"{context.where}: the steps are texts, not numbers: map another column to step")
    step = None if found is None else _signed(found)
    if "episode" not in table:
        return None, None if step is None else _jumps(step, np.zeros(step.shape[0], np.bool_), context)
    episode = _labels(table["episode"])
    order = sorting(episode, step)
    if order is not None:
        episode = held(whole(episode)[order])
        step = None if step is None else held(whole(step)[order])
        context.decide("rows were sorted by episode" + ("" if step is None else " and step"))
    begins = begins_of(episode)
    if step is None:
        return order, Begins(begins, np.zeros_like(begins))
    for first, difference in _differences(step):
        twice = ~begins[first : first + len(difference)] & (difference == 0)
        if twice.any():
            row = first + int(np.argmax(twice)) - 1
            value = whole(step)[row]
            raise DatasetError(
                f"{context.where}: step {value} comes twice in one episode (row {row} in sorted order)"
            )
    return order, _jumps(step, begins, context)


def sorting(episode: Column, step: Column | None) -> Array | None:
    """Return row numbers in the order of episode and step; None where the rows are in order already.

    They are if the rows of each episode follow each other, with ascending steps.
    """
    if _in_order(episode, step):
        return None
    # The sort is stable: without steps, rows of an episode keep their order.
    return np.lexsort([whole(episode)] if step is None else [whole(step), whole(episode)])


def begins_of(episode: Column) -> Array:
    """Return ``[N]`` marks of rows whose episode is another than that of the row before."""
    begins = np.ones(episode.shape[0], np.bool_)
    for first, difference in _differences(episode):
        begins[first : first + len(difference)] = difference != 0
    return begins


def _in_order(episode: Column, step: Column | None) -> bool:
    begins = begins_of(episode)
    labels = gathered(episode, np.flatnonzero(begins))
    if len(np.unique(labels)) < len(labels):
        return False
    return step is None or all(
        (begins[first : first + len(difference)] | (difference > 0)).all()
        for first, difference in _differences(step)
    )


def _jumps(step: Column, begins: Array, context: ImportContext) -> Begins:
    """Return begins of episodes: those that there are, and rows before which steps are missing or start again."""
    torn = np.zeros_like(begins)
    if not all(whole_numbers(block) for _, block in blocks(step)):
        return Begins(begins, torn)
    least = None
    for first, difference in _differences(step):
        within = difference[~begins[first : first + len(difference)] & (difference > 0)]
        if len(within):
            least = within.min() if least is None else min(least, within.min())
    if least is None:
        return Begins(begins, torn)
    cut = begins.copy()
    for first, difference in _differences(step):
        rows = slice(first, first + len(difference))
        jumps = ~begins[rows] & (difference != least)
        torn[rows] = jumps & (difference > 0)
        cut[rows] |= jumps
    if torn.any():
        context.decide(f"{int(torn.sum())} episodes are cut where steps are missing")
    return Begins(cut, torn)


def _differences(column: Column) -> Iterator[tuple[int, Array]]:
    """Yield blocks of ``row t - row t - 1``, each with its first row t."""
    last: Array | None = None
    for first, block in blocks(column):
        joined = block if last is None else np.concatenate([last, block])
        if len(joined) > 1:
            yield (1 if last is None else first), np.diff(joined)
        last = block[-1:]


def _labels(episode: Column | Texts) -> Column:
    """Return whole numbers that tell episodes apart, in the order of their numbers or names."""
    if isinstance(episode, Texts):
        return episode.labels()
    return _signed(episode) if episode.dtype.kind in "biu" else Texts.of(whole(episode)).labels()


def _signed(column: Column) -> Column:
    """Return whole numbers whose differences can be negative."""
    return as_dtype(column, np.dtype(np.int64)) if column.dtype.kind in "bu" else column
