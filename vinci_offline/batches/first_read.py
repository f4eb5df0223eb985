"""The one read of a dataset before the first step: moments, finite values, a sample, runs, and the columns to keep."""

from __future__ import annotations

from collections.abc import Sequence

from vinci_offline.batches.names import TRANSITION, ColumnWish
from vinci_offline.batches.reader import ColumnReader, by_key
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.indexing import spaced_rows
from vinci_offline.data.layout import ACTIONS
from vinci_offline.quality.survey import Survey, survey
from vinci_offline.types import Array


def first_read(
    dataset: Dataset,
    columns: Sequence[ColumnWish] = TRANSITION,
    *,
    memory: str = "device",
    trajectories: bool = False,
    samples: int = 4096,
) -> Survey:
    """Read every column of a dataset once, and tell what training needs to know of it.

    Give the result to `batches.opening.open_source`, `sampled_observations` and `quality.statistics.summarize`: they
    then read nothing again. A column that the pool is made of stays in memory, unless the rows are streamed.

    Args:
        dataset: N rows.
        columns: the columns that the agent asks for.
        memory: ``stream`` keeps no column in memory; anything else keeps those of the pool.
        trajectories: True where the agent looks at other rows of a run.
        samples: the rows whose observations and actions to keep as a sample, at most.

    Raises:
        DatasetError: the dataset lacks a column.
        UsageError: a column does not exist.
    """
    reader = ColumnReader(dataset, columns, trajectories=trajectories)
    return survey(
        dataset,
        keep=() if memory == "stream" else reader.paths,
        sample_rows=spaced_rows(len(dataset), samples),
        runs=reader.needs_runs,
    )


def sampled_observations(known: Survey) -> Array | dict[str, Array]:
    """Return the observations of the sample of `first_read`; by key where they are a Dict."""
    return by_key({path: values for path, values in known.sample.items() if path != ACTIONS})


def sampled_actions(known: Survey) -> Array:
    """Return the actions of the same rows."""
    return known.sample[ACTIONS]
