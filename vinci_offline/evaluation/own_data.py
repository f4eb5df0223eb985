"""The data that a run learned from, if they are still there."""

from __future__ import annotations

from pathlib import Path

from vinci_offline.data.dataset import Dataset
from vinci_offline.data.digest import joint_hash
from vinci_offline.errors import UsageError
from vinci_offline.runs.run_directory import RunDirectory


def own_data(run: RunDirectory, advice: str = "") -> Dataset:
    """Open the data that a run learned from.

    Args:
        run: the run.
        advice: the end of the message where they cannot be opened.

    Raises:
        UsageError: a file is gone, or has changed.
        VinciError: a file of the run, or of the data, is damaged.
    """
    content = run.dataset()
    with run.explained("dataset.json"):
        files, known = [Path(str(name)) for name in content["files"]], str(content["hash"])
    if missing := [file for file in files if not file.exists()]:
        raise UsageError(f"{missing[0]}, which {run.path} learned from, is gone{advice}")
    datasets = [Dataset.open(file) for file in files]
    if joint_hash([dataset.hash for dataset in datasets]) != known:
        raise UsageError(f"{files[0]} is not what {run.path} learned from{advice}")
    return datasets[0] if len(datasets) == 1 else Dataset.concatenate(datasets)
