"""The numbers of a portrait on disk, from which `animate` draws it anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vinci_offline.errors import VinciError
from vinci_offline.files import published
from vinci_offline.hooks.phase_plane import PhasePlane
from vinci_offline.runs.archive import Archive, open_archive
from vinci_offline.types import Array, FloatArray

_PREFIX, _SUFFIX = "step-", ".npz"
_DIGITS = 18
"""The most digits of a step."""
_MOST_BYTES = 2**24
_MOST_POINTS = 1024
"""The most points of a grid along an axis."""


@dataclass(frozen=True)
class Snapshot:
    """Actor and critic at a step.

    Attributes:
        step: the gradient step.
        plane: their values over the plane of observations.
        return_mean: the mean return of that step's evaluation; None without one.
        path: ``[T, 2]`` the observations of its first episode; None without one.
    """

    step: int
    plane: PhasePlane
    return_mean: float | None = None
    path: FloatArray | None = None

    def write(self, folder: Path) -> None:
        """Write ``step-STEP.npz``.

        Raises:
            VinciError: the disk is full.
        """
        arrays = {
            "x": self.plane.x,
            "y": self.plane.y,
            "action": self.plane.action,
            "value": self.plane.value,
            "return_mean": None if self.return_mean is None else np.float64(self.return_mean),
            "path": self.path,
        }
        known = {name: np.asarray(values) for name, values in arrays.items() if values is not None}
        with published(folder / f"{_PREFIX}{self.step:08d}{_SUFFIX}") as temporary:
            np.savez(temporary, allow_pickle=False, **known)


def stored_snapshots(folder: Path) -> dict[int, Path]:
    """Return the files of a folder's snapshots by their steps, in the order of steps."""
    found: dict[int, Path] = {}
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        digits = path.stem.removeprefix(_PREFIX)
        if digits.isascii() and digits.isdecimal() and len(digits) <= _DIGITS:
            found[int(digits)] = path
    return dict(sorted(found.items()))


def read_snapshot(path: Path, step: int) -> Snapshot:
    """Read a file that `Snapshot.write` wrote. It may come from anyone.

    Raises:
        VinciError: it is damaged, or no such file.
    """
    try:
        with open_archive(path) as archive:
            return _snapshot(archive, step)
    except Exception as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise VinciError(f"{path} is no portrait's numbers ({reason}): delete it, or train again") from error


def _snapshot(archive: Archive, step: int) -> Snapshot:
    size = sum(math.prod(shape) * dtype.itemsize for dtype, shape in archive.layouts.values())
    if size > _MOST_BYTES:
        raise ValueError(f"it has more than {_MOST_BYTES:,} bytes")
    x, y = (_numbers(archive, name) for name in ("x", "y"))
    shape = (len(y), len(x))
    if x.ndim != 1 or y.ndim != 1 or not 2 <= min(shape) <= max(shape) <= _MOST_POINTS:
        raise ValueError("its axes are no lines of points")
    if (np.diff(x) <= 0).any() or (np.diff(y) <= 0).any():
        raise ValueError("its axes do not rise")
    names = archive.layouts
    action = _numbers(archive, "action")
    value = _numbers(archive, "value") if "value" in names else None
    if action.shape != shape or (value is not None and value.shape != shape):
        raise ValueError(f"its panels are not {shape[0]} by {shape[1]} numbers")
    path = _numbers(archive, "path") if "path" in names else None
    if path is not None and (path.ndim != 2 or path.shape[1] != 2):
        raise ValueError("its path has not two numbers a step")
    mean = float(_numbers(archive, "return_mean").reshape(())) if "return_mean" in names else None
    return Snapshot(step, PhasePlane(x, y, action, value), mean, path)


def _numbers(archive: Archive, name: str) -> Array:
    found = archive.read(name)
    if (
        found.dtype.kind not in "iuf"
        or not found.size
        or not all(map(math.isfinite, (found.min(), found.max())))
    ):
        raise ValueError(f"its {name} is not all finite numbers")
    return found
