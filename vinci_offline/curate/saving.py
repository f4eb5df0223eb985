"""Save several datasets so that their files appear together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from vinci_offline.data.dataset import Dataset
from vinci_offline.data.hdf5.filters import Compression
from vinci_offline.data.hdf5.writer import DatasetWriter


def save_together(
    parts: Sequence[tuple[Path, Dataset]], *, compress: Compression = "auto", overwrite: bool = False
) -> list[Dataset]:
    """Save several datasets in blocks. Their files appear when all of them are complete.

    Raises:
        UsageError: a file exists and ``overwrite`` is not set.
        VinciError: the disk is full or fails.
    """
    with contextlib.ExitStack() as stack:
        for path, dataset in parts:
            writer = DatasetWriter(
                path,
                dataset.spec,
                attributes=dataset.attributes,
                compress=compress,
                float64=True,
                overwrite=overwrite,
            )
            stack.enter_context(writer).append_all(dataset.columns, dataset.episode_columns)
    return [Dataset.open(path, spec=dataset.spec) for path, dataset in parts]
