"""Check the name of a dataset that is about to be written."""

from __future__ import annotations

from pathlib import Path

from vinci_offline.errors import UsageError
from vinci_offline.files import refuse_existing
from vinci_offline.text import command

_CONVERTED = (
    ".csv",
    ".csv.gz",
    ".csv.bz2",
    ".jsonl",
    ".jsonl.gz",
    ".jsonl.bz2",
    ".ndjson",
    ".parquet",
    ".npz",
)
"""Endings of the formats that ``convert`` writes."""
_OTHERS = (
    ".tsv",
    ".json",
    ".npy",
    ".pkl",
    ".pickle",
    ".feather",
    ".arrow",
    ".xlsx",
    ".mat",
    ".zip",
    ".keras",
    ".txt",
)


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse a name under which no dataset may be written: it exists, or its ending is that of another format.

    Raises:
        UsageError: it is refused; the message says which name to give.
    """
    name = path.name.lower()
    ending = next((each for each in (*_CONVERTED, *_OTHERS) if name.endswith(each)), None)
    if ending is not None:
        ours = path.with_name(f"{path.name[: -len(ending)] or 'data'}.h5")
        advice = f", then convert that: {command('convert', ours, path)}" if ending in _CONVERTED else ""
        raise UsageError(f"{path}: a dataset is an HDF5 file: name it {ours}{advice}")
    if path.is_dir():
        raise UsageError(f"{path} is a folder: give the name of a file, such as {path / 'data.h5'}")
    refuse_existing(path, overwrite=overwrite)
