"""Keep the rows or the episodes that meet a condition."""

from __future__ import annotations

import numpy as np

from vinci_offline.curate.expression import Expression
from vinci_offline.curate.kept_rows import KeptRows
from vinci_offline.data.dataframe import frame_names
from vinci_offline.data.episode_columns import LENGTH, RETURN, START
from vinci_offline.data.episodes import known_returns
from vinci_offline.errors import UsageError
from vinci_offline.types import Array

_BLOCK_ROWS = 2**17


def rows_that_meet(kept: KeptRows, condition: Expression) -> KeptRows:
    """Return the rows that meet a condition; whole episodes where the condition is on episodes alone.

    The return of a fragment is NaN, which meets no comparison.

    Raises:
        UsageError: the condition names something that the source does not have, or cannot be computed.
    """
    stored = kept.source.episode_columns
    table = {name: values for name, values in stored.items() if name != START}
    table[RETURN] = known_returns(stored)
    columns = frame_names(kept.source.columns)
    known = {f"episode.{name}": values for name, values in table.items()}
    known |= {name: values for name, values in table.items() if name not in columns}
    unknown = condition.names - set(known) - set(columns) - {"step", "episode"}
    if unknown:
        there = ", ".join([*columns, "step", "episode", *known])
        raise UsageError(
            f"{kept.source.path or 'the dataset'} has no {', '.join(sorted(unknown))[:200]}: there are {there}"
        )
    if not condition.names - set(known) - {"episode"}:
        count = len(table[LENGTH])
        numbers = {**known, "episode": np.arange(count)}
        met = np.broadcast_to(condition.evaluate(numbers.__getitem__), count)
        return KeptRows(kept.source, kept.episodes[met[kept.episodes]])
    return KeptRows(kept.source, kept.episodes, _rows(kept, condition, known, columns))


def _rows(
    kept: KeptRows, condition: Expression, known: dict[str, Array], columns: dict[str, tuple[str, int | None]]
) -> Array:
    """Return the rows that meet a condition, in blocks: memory does not grow with the columns.

    Args:
        kept: the rows to look at.
        condition: the condition.
        known: values an episode, by name.
        columns: path and place of values a row, by name.
    """
    source, start = kept.source, kept.source.episode_columns[START]
    in_episodes = np.zeros(len(start), np.bool_)
    in_episodes[kept.episodes] = True
    found = []
    for first in range(0, len(source), _BLOCK_ROWS):
        rows = np.arange(first, min(first + _BLOCK_ROWS, len(source)))
        numbers = kept.episodes_of(rows)

        def lookup(name: str, rows: Array = rows, numbers: Array = numbers) -> Array:
            if name == "episode":
                return numbers
            if name == "step":
                return rows - start[numbers]
            if name in known:
                return known[name][numbers]
            path, index = columns[name]
            block = source.columns.read(path, slice(int(rows[0]), int(rows[-1]) + 1))
            return block if index is None else block[:, index]

        found.append(rows[np.broadcast_to(condition.evaluate(lookup), len(rows)) & in_episodes[numbers]])
    return np.concatenate(found)
