"""Join finished shards to one dataset file."""

from __future__ import annotations

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.episode_columns import LENGTH, POLICY, SEED
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.envs.collect.job import Job
from vinci_offline.envs.collect.shards import ShardFolder
from vinci_offline.envs.seeding import CollectionSeeds
from vinci_offline.errors import DatasetError
from vinci_offline.types import Array, Columns


def join(job: Job, folder: ShardFolder, writer: DatasetWriter) -> None:
    """Write the shards in order to the dataset, cut at the number of steps asked for.

    An episode that was cut ends in a row without a flag. The writer makes that row a timeout, and the episode a
    fragment.
    """
    kept = _kept_rows(job, folder)
    # A policy without a density leaves NaN. Keep the column only if every row has a density.
    known = all(
        not np.isnan(folder.read_one(index, layout.ACTION_LOG_PROBS)[:rows]).any()
        for index, rows in kept.items()
    )
    with writer:
        first = 0
        for index, rows in kept.items():
            columns = {path: values[:rows] for path, values in folder.read(index).items()}
            if not known:
                del columns[layout.ACTION_LOG_PROBS]
            # Shards of earlier versions may have rows with both flags.
            columns[layout.TIMEOUTS] &= ~columns[layout.TERMINALS]
            episodes = None if job.random_states else _episodes(job, first, folder.lengths(index), rows)
            _append(writer, columns, episodes)
            first += 0 if episodes is None else len(episodes[LENGTH])


def _append(writer: DatasetWriter, columns: Columns, episodes: Columns | None) -> None:
    try:
        writer.append(columns, episodes)
    except DatasetError as error:
        raise DatasetError(f"what the environment gave cannot be stored: {error}") from error


def _kept_rows(job: Job, folder: ShardFolder) -> dict[int, int]:
    """Return the number of rows that the dataset takes of each shard, in order."""
    kept: dict[int, int] = {}
    left = job.plan.steps
    while job.plan.shard(len(kept)) is not None and left != 0:
        index = len(kept)
        rows = len(folder.read_one(index, layout.REWARDS))
        kept[index] = rows if left is None else min(left, rows)
        left = None if left is None else left - kept[index]
    return kept


def _episodes(job: Job, first: int, lengths: list[int], rows: int) -> dict[str, Array]:
    """Return the episode table of a shard whose first ``rows`` rows are kept. The last episode may be cut."""
    ends = np.minimum(np.cumsum(lengths), rows)
    starts = np.concatenate([[0], ends[:-1]])
    kept = np.flatnonzero(starts < rows)
    numbers = first + kept
    seeds = CollectionSeeds(job.seed)
    return {
        LENGTH: (ends - starts)[kept],
        SEED: np.array([seeds.start(int(number)) for number in numbers], np.int64),
        POLICY: numbers % len(job.policies),
    }
