"""Datasets from other projects. Tests that need one are skipped if its file is missing."""

import os
from pathlib import Path

import pytest

FOLDER = (
    Path(os.environ.get("VINCI_REAL", Path(__file__).resolve().parents[3] / "shared" / "real")) / "datasets"
)


def real(name):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"the dataset {name} is missing")
    return path
