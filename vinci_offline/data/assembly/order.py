"""The order of a table's rows: by episode and step, and where an episode begins.

Rows that are in order are looked at in blocks. Otherwise the keys of all rows lie in memory: 24 bytes a row.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import as_dtype, blocks, gathered, held, read, whole
from vinci_offline.data.assembly.steps import MISSING, Begins, Steps, differences, gaps, steps_of
from vinci_offline.data.assembly.texts import NO_LABEL, Texts
from vinci_offline.data.columns import Column, non_finite_rows
from vinci_offline.errors import DatasetError
from vinci_offline.text import printable
from vinci_offline.types import Array


def row_order(
    table: Mapping[str, Column | Texts], context: ImportContext
) -> tuple[Array | None, Begins | None]:
    """Tell how to sort the rows, and which of them then begin an episode; None where there is nothing to do or to tell.

    Args:
        table: ``episode`` and ``step``, ``[N]``, as far as there are such columns.
        context: the import.

    Raises:
        DatasetError: an episode or a step is missing in a row, or a step comes twice in an episode.
        UsageError: the steps are not consecutive, and the settings must say what they mean.
    """
    found = table.get("step")
    if isinstance(found, Texts):
        raise DatasetError(f"{context.where}: the steps are texts, not numbers: map another column to step")
    steps = None if found is None else steps_of(found, context)
    if "episode" not in table:
        if steps is None:
            return None, None
        none = np.zeros(steps.numbers.shape[0], np.bool_)
        return None, gaps(steps.numbers, steps.meaning, none, context, is_alone=True)
    _check_labels(table["episode"], context)
    episode = labels_of(table["episode"])
    order = sorting(episode, None if steps is None else steps.numbers)
    if order is not None:
        episode = held(whole(episode)[order])
        context.decide(
            "rows of one episode were put together, in the order of the file"
            if steps is None
            else "rows were sorted by episode and step"
        )
    begins = begins_of(episode)
    if steps is None:
        return order, Begins(begins, np.zeros_like(begins))
    numbers = steps.numbers if order is None else held(whole(steps.numbers)[order])
    _refuse_repeated(table["episode"], steps, numbers, begins, order, context)
    return order, gaps(numbers, steps.meaning, begins, context, is_alone=False)


def _check_labels(episode: Column | Texts, context: ImportContext) -> None:
    """Check that each row tells its episode.

    Raises:
        DatasetError: one does not.
    """
    row = None
    if isinstance(episode, Texts):
        row = episode.first_row(NO_LABEL)
    else:
        for first, block in blocks(episode):
            if (wrong := non_finite_rows(block)).any():
                row = first + int(np.argmax(wrong))
                break
    if row is not None:
        raise DatasetError(f"{context.where}: {context.place(row)}: nothing tells its episode: {MISSING}")


def sorting(episode: Column, step: Column | None) -> Array | None:
    """Return row numbers in the order of episode and step; None where the rows are in order already.

    They are if the rows of each episode follow each other, with ascending steps. Without steps, episodes and their rows
    keep the order in which they come.
    """
    if _in_order(episode, step):
        return None
    if step is None:
        _, first, places = np.unique(whole(episode), return_index=True, return_inverse=True)
        return np.argsort(first[places.reshape(-1)], kind="stable")
    return np.lexsort([whole(step), whole(episode)])


def _in_order(episode: Column, step: Column | None) -> bool:
    begins = begins_of(episode)
    labels = gathered(episode, np.flatnonzero(begins))
    if len(np.unique(labels)) < len(labels):
        return False
    return step is None or all(
        (begins[first : first + len(difference)] | (difference > 0)).all()
        for first, difference in differences(step)
    )


def begins_of(episode: Column) -> Array:
    """Return ``[N]`` marks of rows whose episode is another than that of the row before."""
    begins = np.ones(episode.shape[0], np.bool_)
    for first, difference in differences(episode):
        begins[first : first + len(difference)] = difference != 0
    return begins


def _refuse_repeated(
    episode: Column | Texts,
    steps: Steps,
    numbers: Column,
    begins: Array,
    order: Array | None,
    context: ImportContext,
) -> None:
    """Refuse a step that comes twice in an episode; ``numbers`` and ``begins`` are in the order of ``order``."""
    for first, difference in differences(numbers):
        twice = ~begins[first : first + len(difference)] & (difference == 0)
        if twice.any():
            last = first + int(np.argmax(twice))
            rows = [last - 1, last] if order is None else sorted(order[[last - 1, last]].tolist())
            places = " and ".join(context.place(row) for row in rows)
            raise DatasetError(
                f"{context.where}: episode {_name(episode, rows[0])}: step {steps.show(rows[0])} comes twice in one "
                f"episode, in {places}: leave one of them out, or map another column to step"
            )


def _name(episode: Column | Texts, row: int) -> str:
    """Return the source's name of the episode of a row."""
    column = episode.numbers if isinstance(episode, Texts) else episode
    found = read(column, slice(row, row + 1))[0]
    return printable(episode.texts[int(found)])[:40] if isinstance(episode, Texts) else str(found)


def labels_of(episode: Column | Texts) -> Column:
    """Return whole numbers that tell episodes apart, in the order of their numbers or names."""
    if isinstance(episode, Texts):
        return episode.labels()
    if episode.dtype.kind in "biu":
        return as_dtype(episode, np.dtype(np.int64)) if episode.dtype.kind in "bu" else episode
    return Texts.of(whole(episode)).labels()
