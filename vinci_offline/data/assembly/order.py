"""The order of a table's rows: by episode and step, and where an episode begins."""

from __future__ import annotations

import numpy as np

from vinci_offline.data.episodes import whole
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array, Columns


def row_order(table: Columns, decisions: list[str], where: str) -> tuple[Array | None, Array | None]:
    """How to sort the rows, and which of them then begin an episode; None where nothing is to do, or to tell.

    Args:
        table: ``episode`` and ``step``, ``[N]``, as far as there are such columns.
        decisions: what is decided goes here.
        where: the source, for messages.

    Raises:
        DatasetError: a step comes twice in an episode.
    """
    episode, step = table.get("episode"), table.get("step")
    if episode is None:
        return None, None if step is None else _jumps(step, np.zeros(len(step), np.bool_), decisions)
    numbers = _labels(episode)
    places = np.arange(len(numbers)) if step is None else step
    order: Array | None = None
    changes = np.diff(numbers) != 0
    gathered = int(changes.sum()) + 1 == len(np.unique(numbers))
    if not (gathered and (changes | (np.diff(places) > 0)).all()):
        order = np.lexsort((places, numbers))
        numbers, places = numbers[order], places[order]
        changes = np.diff(numbers) != 0
        decisions.append("rows were sorted by episode" + ("" if step is None else " and step"))
    twice = ~changes & (np.diff(places) == 0)
    if twice.any():
        row = int(np.argmax(twice))
        raise DatasetError(
            f"{where}: step {places[row]} comes twice in one episode (row {row} in sorted order)"
        )
    return order, _jumps(places, np.append(True, changes), decisions)


def _jumps(step: Array, begins: Array, decisions: list[str]) -> Array:
    """``[N]`` begins of episodes: those that there are, and rows before which steps are missing or start again."""
    differences = np.diff(step)
    within = differences[~begins[1:] & (differences > 0)]
    if not whole(step) or not len(within):
        return begins
    jumps = ~begins[1:] & (differences != within.min())
    if skipped := int((jumps & (differences > 0)).sum()):
        decisions.append(f"{skipped} episodes are cut where steps are missing")
    cut: Array = begins | np.append(False, jumps)
    return cut


def _labels(episode: Array) -> Array:
    """Whole numbers that tell episodes apart, in the order of their numbers or names."""
    if episode.dtype.kind in "biu":
        return episode
    texts = episode.astype(np.str_)
    if np.char.isdecimal(texts).all() and np.char.str_len(texts).max() < 19:
        labels: Array = texts.astype(np.int64)
    else:
        labels = np.unique(texts, return_inverse=True)[1]
    return labels
