"""Datasets that others wrote; tests that need them are skipped where the folder is absent."""

import os
from pathlib import Path

import pytest

FOLDER = (
    Path(os.environ.get("VINCI_REAL", Path(__file__).resolve().parents[3] / "shared" / "real")) / "datasets"
)


def real(name):
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{name} is not here")
    return path
