"""An animated GIF of a run: its actor and critic over the plane of observations, step after step."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.errors import UsageError
from vinci_offline.files import make_folder, published, refuse_existing
from vinci_offline.hooks.phase_plane import has_plane
from vinci_offline.hooks.portrait import FOLDER
from vinci_offline.hooks.portrait_figure import Scales, draw_panels, panels_of
from vinci_offline.hooks.snapshot import Snapshot, read_snapshot, stored_snapshots
from vinci_offline.progress import doing
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import EnvironmentSpec, describe_space
from vinci_offline.text import plotted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from PIL.Image import Image

MOST_FRAMES = 500
"""The most frames of an animation: all of them are held in memory."""
_LAST = 3.0
"""Seconds for which the last frame stays."""
_DPI = 100
_FIGURE_SPACE = "\N{FIGURE SPACE}"


@dataclass(frozen=True)
class Animation:
    """An animation that was written.

    Attributes:
        path: the file.
        frames: the number of its frames.
        first_step: the step of the first.
        last_step: the step of the last.
        seconds: its duration.
    """

    path: Path
    frames: int
    first_step: int
    last_step: int
    seconds: float


def animate(
    run: str | Path,
    output: str | Path = "evolution.gif",
    *,
    frames: int = 60,
    fps: float = 6.0,
    overwrite: bool = False,
) -> Animation:
    """Draw the portraits of a run as an animated GIF, 900 pixels wide (450 for an actor alone).

    All frames share the scales of their colours. Each has the step and the mean return of its evaluation in the title,
    the path of the evaluation's first episode, and below the returns so far.

    Args:
        run: a run directory.
        output: the file, ``.gif``.
        frames: the most frames; of more portraits these are taken at even distances, the first and last among them.
        fps: frames a second. The last stays for three seconds.
        overwrite: replace a file that is there.

    Raises:
        UsageError: the run has fewer than two portraits, an option is out of range, or the file exists.
        VinciError: this is no run directory, or a portrait is damaged.
    """
    target = Path(output)
    _check_options(target, frames, fps)
    refuse_existing(target, overwrite=overwrite)
    directory = RunDirectory(Path(run))
    spec, agent = directory.environment(), directory.agent()
    stored = list(stored_snapshots(directory.path / FOLDER).items())
    if len(stored) < 2:
        raise UsageError(_too_few(directory.path, spec, len(stored)))
    chosen = np.unique(np.linspace(0, len(stored) - 1, frames).round().astype(int))
    snapshots = [read_snapshot(path, step) for step, path in (stored[place] for place in chosen)]
    doing(f"drawing {len(snapshots)} frames")
    images = list(_frames(snapshots, spec, f"{agent} on {spec.id or 'its dataset'}"))
    times = [1 / fps] * (len(images) - 1) + [max(_LAST, 1 / fps)]
    make_folder(target.parent)
    with published(target, overwrite=overwrite) as temporary:
        _save(temporary, images, times)
    return Animation(target, len(images), snapshots[0].step, snapshots[-1].step, sum(times))


def _check_options(target: Path, frames: int, fps: float) -> None:
    if target.suffix.lower() != ".gif":
        raise UsageError(f"{target} is no animation: name it with .gif")
    if not 2 <= frames <= MOST_FRAMES:
        raise UsageError(f"--frames must be between 2 and {MOST_FRAMES}, not {frames}")
    if not 0.1 <= fps <= 50:
        raise UsageError(f"--fps must be between 0.1 and 50, not {fps:g}")


def _too_few(run: Path, spec: EnvironmentSpec, count: int) -> str:
    """Say why a run cannot be animated, and what to do."""
    if not has_plane(spec):
        return (
            f"{run} has no portraits: they are drawn where an observation is two numbers, and here it is "
            f"{describe_space(spec.observation_space)}. Take a run on such an environment, as MountainCar is"
        )
    has = "no portraits with their numbers (.npz)" if count == 0 else "one portrait only"
    return (
        f"{run} has {has}, and an animation needs two or more: they are drawn at evaluations, so train with "
        "--eval-every, some tenth of --steps or less"
    )


def _frames(snapshots: Sequence[Snapshot], spec: EnvironmentSpec, title: str) -> Iterator[Image]:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from PIL import Image

    panels = min(panels_of(snapshot.plane) for snapshot in snapshots)
    scales = Scales.of([snapshot.plane for snapshot in snapshots], spec)
    evaluated = [(each.step, each.return_mean) for each in snapshots if each.return_mean is not None]
    size = (4.5 * panels, 5.0 if evaluated else 3.9)
    for snapshot in snapshots:
        below_title = ConstrainedLayoutEngine(rect=(0, 0, 1, 0.93))
        figure = Figure(figsize=size, dpi=_DPI, layout=below_title)
        grid = figure.add_gridspec(2 if evaluated else 1, panels, height_ratios=[4, 1] if evaluated else [1])
        axes = [figure.add_subplot(grid[0, panel]) for panel in range(panels)]
        draw_panels(axes, snapshot, spec, scales)
        if evaluated:
            _draw_returns(figure.add_subplot(grid[1, :]), evaluated, snapshot.step)
        # Two parts at the edges of the frame: neither moves when the other one grows.
        font: dict[str, Any] = {"fontsize": 7 + 3 * panels, "fontweight": "bold", "va": "top"}
        figure.text(0.015, 0.98, plotted(title), ha="left", **font)
        figure.text(0.985, 0.98, _standing(snapshot, snapshots[-1].step), ha="right", **font)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        yield Image.open(buffer).convert("RGB")


def _standing(snapshot: Snapshot, last: int) -> str:
    """Return the step and the return, each as wide in all frames."""
    told = "step " + f"{snapshot.step:,}".rjust(len(f"{last:,}"), _FIGURE_SPACE)
    if snapshot.return_mean is not None:
        told += ", return " + f"{snapshot.return_mean:.1f}".rjust(5, _FIGURE_SPACE)
    return told


def _draw_returns(axis: Axes, evaluated: Sequence[tuple[int, float]], until: int) -> None:
    """Draw the returns of evaluations up to a step, on the axes of all."""
    steps, returns = zip(*evaluated, strict=True)
    known = [pair for pair in evaluated if pair[0] <= until]
    if known:
        axis.plot(*zip(*known, strict=True), color="#4c78a8", linewidth=1.6)
        axis.plot(*known[-1], color="#4c78a8", marker="o", markersize=5)
    margin = 0.08 * (max(returns) - min(returns)) or 1.0
    axis.set_ylim(min(returns) - margin, max(returns) + margin)
    axis.set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    axis.set_xlabel("gradient step")
    axis.set_ylabel("return")
    axis.xaxis.set_major_formatter("{x:,.0f}")
    axis.grid(alpha=0.25)


def _save(path: Path, images: Sequence[Image], seconds: Sequence[float]) -> None:
    """Write a GIF of one palette, without dithering: dots would change from frame to frame and fill the file."""
    from PIL import Image

    palette = _palette(images)
    drawn: list[Any] = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    # A GIF counts hundredths of a second: rounded sums keep the whole duration.
    ends = np.round(100 * np.cumsum([0.0, *seconds])).astype(int)
    times = [10 * int(after - before) for before, after in pairwise(ends)]
    drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=times, loop=0, optimize=False)


def _palette(images: Sequence[Image]) -> Image:
    """Return an image with the 256 colours that cover all frames evenly: a colour of few pixels counts as much."""
    from PIL import Image

    sample = np.unique(np.linspace(0, len(images) - 1, 8).round().astype(int))
    colours = np.concatenate([np.asarray(images[place]).reshape(-1, 3) for place in sample])
    distinct = Image.fromarray(np.unique(colours, axis=0)[None])
    found = distinct.quantize(254, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = Image.new("P", (1, 1))
    palette.putpalette([0, 0, 0, 255, 255, 255, *(found.getpalette() or [])[: 254 * 3]])
    return palette
