"""Figures and their files. They do not use pyplot, so any thread may draw them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vinci_offline.errors import UsageError
from vinci_offline.files import make_folder, published

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = ("#8c8c8c", "#4c78a8", "#e45756", "#54a24b", "#b279a2", "#f58518")
"""Colours of groups and runs in order."""


def new_figure(width: float, height: float = 4.5) -> Figure:
    """Return an empty figure of this size in inches; its parts make room for each other."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def check_picture(path: Path) -> None:
    """Refuse a file whose name does not end as a picture's.

    Raises:
        UsageError: it does not.
    """
    if path.suffix[1:].lower() not in new_figure(1.0, 1.0).canvas.get_supported_filetypes():
        raise UsageError(f"{path} does not name a picture: end the name in .png, .svg or .pdf")


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write the figure to a file; the suffix chooses the format.

    Raises:
        UsageError: the suffix is not that of a picture.
    """
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    path = Path(path)
    check_picture(path)
    make_folder(path.parent)
    with published(path) as temporary:
        figure.savefig(temporary)
