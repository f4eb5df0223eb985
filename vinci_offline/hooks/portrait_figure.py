"""The figure of a phase portrait."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.hooks.phase_plane import PhasePlane
from vinci_offline.hooks.snapshot import Snapshot
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.text import plotted
from vinci_offline.types import Array, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Scales:
    """Limits of the colours of both panels, as lowest and highest."""

    action: tuple[float, float]
    value: tuple[float, float]

    @classmethod
    def of(cls, planes: Sequence[PhasePlane], spec: EnvironmentSpec) -> Scales:
        """Return limits that hold all planes; those of the actions are the space's where it has some."""
        actions = _action_limits(spec)
        if actions is None:
            high = max(float(np.abs(plane.action).max()) for plane in planes) or 1.0
            actions = -high, high
        values = [plane.value for plane in planes if plane.value is not None]
        low = min((float(value.min()) for value in values), default=0.0)
        return cls(actions, (low, max((float(value.max()) for value in values), default=1.0)))


def draw_portrait(snapshot: Snapshot, spec: EnvironmentSpec, observations: Array, title: str) -> bytes:
    """Draw the panels side by side as a PNG, 1,800 pixels wide (900 for the actor alone).

    Args:
        snapshot: what to draw.
        spec: names and bounds of the axes and actions.
        observations: ``[M, 2]`` the dots.
        title: the line above.
    """
    from matplotlib.figure import Figure

    panels = panels_of(snapshot.plane)
    figure = Figure(figsize=(6 * panels, 4.8), dpi=150, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
    draw_panels(axes, snapshot, spec, Scales.of([snapshot.plane], spec), observations)
    figure.suptitle(plotted(title), fontsize=14 if panels == 2 else 11, fontweight="bold")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def draw_strip(snapshots: Sequence[Snapshot], spec: EnvironmentSpec) -> bytes:
    """Draw portraits side by side as a PNG, on common scales: the actor above, the critic below."""
    from matplotlib.figure import Figure

    panels = min(panels_of(snapshot.plane) for snapshot in snapshots)
    scales = Scales.of([snapshot.plane for snapshot in snapshots], spec)
    figure = Figure(figsize=(2 * len(snapshots), 0.3 + 2 * panels), dpi=100, layout="constrained")
    columns = figure.subplots(panels, len(snapshots), squeeze=False).T
    for axes, snapshot in zip(columns, snapshots, strict=True):
        plane, space = snapshot.plane, spec.action_space
        colours = _colours("RdBu_r" if not isinstance(space, DiscreteSpace) or space.n <= 3 else "Spectral")
        _show(axes[0], plane, plane.action, cmap=colours, vmin=scales.action[0], vmax=scales.action[1])
        if panels == 2:
            assert plane.value is not None
            _show(axes[1], plane, plane.value, cmap="viridis", vmin=scales.value[0], vmax=scales.value[1])
        told = f"step {snapshot.step:,}"
        axes[0].set_title(
            told if snapshot.return_mean is None else f"{told}\nreturn {snapshot.return_mean:.1f}",
            fontsize=10,
        )
        for axis in axes:
            if snapshot.path is not None:
                axis.plot(*snapshot.path.T, color="black", linewidth=0.8)
            axis.set(xlim=plane.x[[0, -1]], ylim=plane.y[[0, -1]], xticks=[], yticks=[])
    for axis, name in zip(columns[0], ("actor", "critic"), strict=False):
        axis.set_ylabel(name, fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def panels_of(plane: PhasePlane) -> int:
    """Return the number of panels: an agent without a critic has the actor's alone."""
    return 1 if plane.value is None else 2


def draw_panels(
    axes: Sequence[Axes],
    snapshot: Snapshot,
    spec: EnvironmentSpec,
    scales: Scales,
    observations: Array | None = None,
) -> None:
    """Draw the actor, the critic if there is one, the dataset's observations and the path of an episode.

    Args:
        axes: an axis for each panel.
        snapshot: what to draw.
        spec: names and bounds of the axes and actions.
        scales: limits of the colours.
        observations: ``[M, 2]`` the dots; None draws none.
    """
    plane = snapshot.plane
    _draw_actor(axes[0], plane, spec, scales)
    if plane.value is not None:
        _draw_critic(axes[1], plane, plane.value, scales)
    names = _axis_names(spec)
    for axis, dots in zip(axes, ("black", "white"), strict=False):
        if observations is not None:
            axis.plot(
                *observations.T,
                linestyle="",
                marker=".",
                markersize=2,
                markeredgewidth=0,
                color=dots,
                alpha=0.35,
            )
        if snapshot.path is not None:
            _draw_path(axis, snapshot.path)
        axis.set(xlim=plane.x[[0, -1]], ylim=plane.y[[0, -1]], xlabel=names[0])
        axis.grid(visible=False)
    axes[0].set_ylabel(names[1])


def _draw_path(axis: Axes, path: FloatArray) -> None:
    """Draw an episode as a dark line with a light edge, which shows on every colour, and a dot where it begins."""
    axis.plot(*path.T, color="white", linewidth=3.2, solid_capstyle="round")
    axis.plot(*path.T, color="black", linewidth=1.4, solid_capstyle="round")
    axis.plot(*path[0], marker="o", markersize=6, color="black", markeredgecolor="white")
    axis.plot(*path[-1], marker="X", markersize=8, color="black", markeredgecolor="white")


def _action_limits(spec: EnvironmentSpec) -> tuple[float, float] | None:
    """Return the bounds of the action's first dimension; None where it has none."""
    space = spec.action_space
    if isinstance(space, DiscreteSpace):
        return space.start, space.start + space.n - 1
    assert isinstance(space, BoxSpace)
    low, high = float(space.low.reshape(-1)[0]), float(space.high.reshape(-1)[0])
    return (low, high) if np.isfinite([low, high]).all() else None


def _draw_actor(axis: Axes, plane: PhasePlane, spec: EnvironmentSpec, scales: Scales) -> None:
    space = spec.action_space
    if isinstance(space, DiscreteSpace):
        _draw_choices(axis, plane, space, spec)
        return
    assert isinstance(space, BoxSpace)
    low, high = scales.action
    mesh = _show(axis, plane, plane.action, cmap=_colours("RdBu_r"), vmin=low, vmax=high)
    name = "force" if _is_mountain_car(spec) else "action" if space.dim == 1 else "action[0]"
    axis.figure.colorbar(mesh, ax=axis, label=f"{name} (from {low:g} to {high:g})", pad=0.02)
    axis.set_title("Actor: action π(s)")


def _draw_choices(axis: Axes, plane: PhasePlane, space: DiscreteSpace, spec: EnvironmentSpec) -> None:
    from matplotlib.colors import BoundaryNorm

    edges = np.arange(space.n + 1) - 0.5 + space.start
    colours = _colours("RdBu_r" if space.n <= 3 else "Spectral", space.n)
    mesh = _show(
        axis, plane, plane.action, cmap=colours, norm=BoundaryNorm(edges, space.n), interpolation="nearest"
    )
    bar = axis.figure.colorbar(mesh, ax=axis, pad=0.02, ticks=np.arange(space.n) + space.start)
    if _is_mountain_car(spec) and space.n == 3:
        bar.ax.set_yticklabels(["left", "none", "right"])
        bar.set_label("push")
    else:
        bar.set_label("action")
    axis.set_title("Actor: action chosen")


def _draw_critic(axis: Axes, plane: PhasePlane, value: FloatArray, scales: Scales) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = scales.value
    mesh = _show(axis, plane, value, cmap="viridis", vmin=low, vmax=high)
    levels = [level for level in MaxNLocator(9).tick_values(low, high) if value.min() < level < value.max()]
    if levels:
        lines = axis.contour(
            plane.x, plane.y, value, levels=levels, colors="white", linewidths=0.8, alpha=0.8
        )
        axis.clabel(lines, fontsize=8, fmt="%.3g")
    axis.figure.colorbar(mesh, ax=axis, label="expected discounted return", pad=0.02)
    axis.set_title("Critic: value V(s)")


def _show(axis: Axes, plane: PhasePlane, field: Array, interpolation: str = "bilinear", **style: Any) -> Any:
    # Pixels are centred on the grid's points, so the picture reaches half a pixel past them.
    half_x, half_y = (0.5 * (line[1] - line[0]) for line in (plane.x, plane.y))
    extent = (plane.x[0] - half_x, plane.x[-1] + half_x, plane.y[0] - half_y, plane.y[-1] + half_y)
    return axis.imshow(
        field, origin="lower", extent=extent, aspect="auto", interpolation=interpolation, **style
    )


def _colours(name: str, count: int = 256) -> Any:
    """Return a diverging colour map without its darkest ends, which would hide the dots."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps[name](np.linspace(0.12, 0.88, count)))


def _is_mountain_car(spec: EnvironmentSpec) -> bool:
    return (spec.id or "").rpartition(":")[2].startswith("MountainCar")


def _axis_names(spec: EnvironmentSpec) -> tuple[str, str]:
    return ("position", "velocity") if _is_mountain_car(spec) else ("observation 0", "observation 1")
