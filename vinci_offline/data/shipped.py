"""The small datasets that come with the package, each with a card."""

from __future__ import annotations

import os
from pathlib import Path

from vinci_offline.errors import DatasetError
from vinci_offline.inputs import check_local, meant_path
from vinci_offline.text import command, did_you_mean

_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "shipped_datasets", _PACKAGE.parent / "datasets")
"""Folders of datasets in the wheel and in a checkout."""
_MINARI = "minari:"


def shipped_datasets() -> dict[str, Path]:
    """Return the shipped datasets' files by name, sorted."""
    found: dict[str, Path] = {}
    for folder in _FOLDERS:
        for path in folder.glob("*.h5"):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items()))


def card(name: str) -> str:
    """Return a shipped dataset's card: how it was recorded, returns, licence; empty where there is none.

    Raises:
        DatasetError: no dataset of this name is shipped.
    """
    path = resolve(name).with_suffix(".md")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def summary_line(name: str) -> str:
    """Return the first line of a shipped dataset's card after its title."""
    lines = (line.strip() for line in card(name).splitlines())
    return next((line for line in lines if line and not line.startswith("#")), "")


def resolve(path_or_name: str | os.PathLike[str]) -> Path:
    """Return the file of a path or of a shipped dataset's name; an existing path wins.

    Raises:
        DatasetError: there is neither.
    """
    path = Path(path_or_name)
    if path.exists():
        return path
    check_local(path_or_name)
    shipped = shipped_datasets()
    name = os.fspath(path_or_name)
    if name in shipped:
        return shipped[name]
    if name.startswith(_MINARI):
        dataset = name.removeprefix(_MINARI)
        folder = Path.home() / ".minari" / "datasets" / dataset
        raise DatasetError(
            f"{name} names a dataset of Minari: fetch it with minari download {dataset}, then convert it with: "
            + command("convert", folder, f"{dataset.replace('/', '-')}.h5")
        )
    names = ", ".join(shipped) or "none in this installation"
    raise DatasetError(
        f"{path} does not exist, and is no shipped dataset ({names})"
        + (did_you_mean(name, shipped) or meant_path(path))
    )
