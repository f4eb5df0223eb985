"""The parts of a dataset, checked and ready to be put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.casting import cast, storage_dtype
from vinci_offline.data.columns import LazyColumns, in_memory
from vinci_offline.data.episodes import complete
from vinci_offline.data.schema import check_arrays
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array, Columns


@dataclass(frozen=True)
class Parts:
    """Columns, environment and episodes of a dataset, and how they came to be.

    Attributes:
        columns: rows by path, as they are stored.
        spec: the environment.
        episodes: the episode table.
        attributes: where the data comes from.
        decisions: one line each: how terminals were told from timeouts, where next observations came from, what was
            converted.
        dropped: how many rows, or episodes, were left out, by the reason in words.
    """

    columns: LazyColumns
    spec: EnvironmentSpec
    episodes: Columns
    attributes: Mapping[str, Any] = field(default_factory=dict)
    decisions: tuple[str, ...] = ()
    dropped: Mapping[str, int] = field(default_factory=dict)


def checked_columns(columns: Mapping[str, Array], spec: EnvironmentSpec, *, float64: bool) -> LazyColumns:
    """Return the columns in the dtypes in which they are stored.

    Raises:
        DatasetError: columns are missing, unequal, empty, or not of the spaces' shapes.
    """
    arrays = {path: np.asarray(values) for path, values in columns.items()}
    check_arrays(arrays, spec)
    slots = layout.spec_slots(spec)
    return in_memory(
        {
            path: cast(values, storage_dtype(values, slots.get(path), float64), path)
            for path, values in arrays.items()
        }
    )


def episode_table(columns: LazyColumns, episodes: Mapping[str, Array]) -> Columns:
    """Return the whole table of consecutive episodes from their ``length`` and what else is known of them.

    Raises:
        DatasetError: the entries do not describe these rows.
    """
    return complete(columns, {str(name): np.asarray(values) for name, values in episodes.items()})
