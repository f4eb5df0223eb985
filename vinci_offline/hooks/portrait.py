"""Phase portraits: the actor and the critic over the plane of two-dimensional observations."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.batches.names import ACTION_MASK, OBSERVATION
from vinci_offline.errors import SpecError
from vinci_offline.files import make_folder, published
from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec, describe_space
from vinci_offline.spec.units import Units
from vinci_offline.text import plotted
from vinci_offline.types import Array, FloatArray

if TYPE_CHECKING:
    from vinci_offline.envs.evaluator import Evaluation
    from vinci_offline.hooks.tensorboard import TensorBoard

RESOLUTION = 121
"""Points of the grid along each axis."""


class Portrait(Hook):
    """Pictures of the actor and the critic, for observations of two numbers.

    A portrait is ``portraits/step-00010000.png`` in the run directory. The left panel is the policy's action
    (its first dimension). The right one is the value V(s) of acting so: the least of the critics'
    Q(s, pi(s)), the greatest Q(s, a) for Discrete actions, or the agent's own value network. Dots are
    observations of the dataset: where there are none, both panels are guesses. An agent without a critic has
    the left panel only. Observations of other shapes, and Dict observations, have no portrait.

    Args:
        tensorboard: hook that shows the portraits as images; the run's hooks include it already.
        every: draw also at every n-th call of ``metrics``; 0 draws at evaluations and at the end only.
    """

    def __init__(self, tensorboard: TensorBoard | None = None, every: int = 0) -> None:
        self._tensorboard = tensorboard
        self._every = every

    def start(self, run: RunInfo) -> None:
        """Drop the portraits of steps that will be taken again."""
        self._run = run
        self._calls = 0
        self._drawn = -1
        self._return: float | None = None
        space = run.spec.observation_space
        self._applies = isinstance(space, BoxSpace) and space.shape == (2,)
        self._folder = run.directory / "portraits"
        for path in self._folder.glob("step-*.png"):
            step = path.stem.removeprefix("step-")
            if step.isdecimal() and (run.start_step == 0 or int(step) > run.start_step):
                path.unlink()

    def metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Draw at every n-th call."""
        self._calls += 1
        if self._every and self._calls % self._every == 0:
            self._draw(step)

    def evaluation(self, step: int, evaluation: Evaluation) -> None:
        """Draw, with the return in the title."""
        self._return = evaluation.return_mean
        self._drawn = -1  # draw this step again: its return is known now
        self._draw(step)

    def finish(self, step: int) -> None:
        """Draw the final networks."""
        self._draw(step)

    def _draw(self, step: int) -> None:
        if not self._applies or step == self._drawn:
            return
        self._drawn = step
        plane = phase_plane(self._run)
        if not plane.finite:
            return  # the run has diverged, and reports it itself
        title = f"{self._run.agent} on {self._run.spec.id or 'this dataset'}, step {step:,}"
        if self._return is not None:
            title += f", return {self._return:.1f}"
        png = draw_portrait(plane, self._run.spec, plane_observations(self._run), title)
        make_folder(self._folder)
        with published(self._folder / f"step-{step:08d}.png") as temporary:
            temporary.write_bytes(png)
        if self._tensorboard is not None:
            self._tensorboard.image(step, "portrait", png)
        self._return = None


@dataclass(frozen=True)
class PhasePlane:
    """Values of an actor and a critic over a grid of observations.

    Attributes:
        x: ``[R]`` the first observation's values.
        y: ``[R]`` the second's.
        action: ``[R, R]`` the action's first dimension in the environment's units, rows along y.
        value: ``[R, R]`` expected discounted return, rows along y; None without a critic.
    """

    x: FloatArray
    y: FloatArray
    action: Array
    value: FloatArray | None

    @property
    def finite(self) -> bool:
        """Tell whether all values are finite, and can be drawn."""
        fields = (self.action,) if self.value is None else (self.action, self.value)
        return all(np.isfinite(field).all() for field in fields)


def plane_observations(run: RunInfo) -> Array:
    """Return the sample of the dataset's observations, ``[M, 2]``.

    Raises:
        SpecError: the observations are not two numbers each.
    """
    observations = run.observations
    if isinstance(observations, Mapping) or observations.shape[1:] != (2,):
        raise SpecError(
            f"a portrait needs observations of two numbers, and they are {describe_space(run.spec.observation_space)}"
        )
    return observations


def phase_plane(run: RunInfo) -> PhasePlane:
    """Evaluate a run's policy and critic over the range of the dataset's observations.

    Raises:
        SpecError: the observations are not two numbers each.
    """
    observations = plane_observations(run)
    low, high = observations.min(axis=0), observations.max(axis=0)
    margin = np.maximum(0.02 * (high - low), 1e-6)
    units = run.units or Units.of(run.spec)
    # float64 where float32 would round the axis away.
    dtype: type[np.floating[Any]] = np.float64 if units.offsets else np.float32
    x, y = (np.linspace(low[i] - margin[i], high[i] + margin[i], RESOLUTION).astype(dtype) for i in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
    actions = _numpy(run.policy(_observed(run, grid)))
    first = actions.reshape(len(grid), -1)[:, 0]
    value = _value(run, units.observed("", grid), None if units.actions is None else units.scaled(actions))
    shape = (RESOLUTION, RESOLUTION)
    return PhasePlane(x, y, first.reshape(shape), None if value is None else value.reshape(shape))


def _observed(run: RunInfo, grid: Array) -> Array | dict[str, Array]:
    """Return the policy's inputs at the grid. A policy that takes masks may choose anything there."""
    space = run.spec.action_space
    if not isinstance(space, DiscreteSpace) or not isinstance(run.policy.input, Mapping):
        return grid
    return {OBSERVATION: grid, ACTION_MASK: np.ones((len(grid), space.n), np.float32)}


def _value(run: RunInfo, grid: FloatArray, scaled: Array | None) -> FloatArray | None:
    """Return V(s), ``[B]``, from the networks of the run; None without a critic of observations and actions alone."""
    discrete = isinstance(run.spec.action_space, DiscreteSpace)
    if "value" in run.nets and len(run.nets["value"].inputs) == 1:
        return _numpy(run.nets["value"](grid))
    # A critic with a goal has more inputs, and a picture of the observations has no goal to give it.
    if "critic" not in run.nets or len(run.nets["critic"].inputs) != (1 if discrete else 2):
        return None
    if discrete:
        # First the least of the ensemble, as in the targets of a learner, then the best action.
        best: FloatArray = _numpy(run.nets["critic"](grid)).min(axis=0).max(axis=-1)
        return best
    least: FloatArray = _numpy(run.nets["critic"]([grid, scaled])).min(axis=0)
    return least


def _numpy(tensor: Any) -> Array:
    import keras

    array: Array = keras.ops.convert_to_numpy(tensor)
    return array


def draw_portrait(plane: PhasePlane, spec: EnvironmentSpec, observations: Array, title: str) -> bytes:
    """Draw the panels side by side as a PNG, 1,800 pixels wide (900 for the actor alone).

    Args:
        plane: what to draw.
        spec: names and bounds of the axes and actions.
        observations: ``[M, 2]`` the dots.
        title: the line above.
    """
    from matplotlib.figure import Figure

    panels = 1 if plane.value is None else 2
    figure = Figure(figsize=(6 * panels, 4.8), dpi=150, layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False, sharey=True)[0]
    _draw_actor(axes[0], plane, spec)
    if plane.value is not None:
        _draw_critic(axes[1], plane)
    names = _axis_names(spec)
    for axis, dots in zip(axes, ("black", "white"), strict=False):
        axis.plot(
            *observations.T, linestyle="", marker=".", markersize=2, markeredgewidth=0, color=dots, alpha=0.35
        )
        axis.set(xlim=plane.x[[0, -1]], ylim=plane.y[[0, -1]], xlabel=names[0])
        axis.grid(visible=False)
    axes[0].set_ylabel(names[1])
    figure.suptitle(plotted(title), fontsize=14 if panels == 2 else 11, fontweight="bold")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_actor(axis: Any, plane: PhasePlane, spec: EnvironmentSpec) -> None:
    space = spec.action_space
    if isinstance(space, DiscreteSpace):
        _draw_choices(axis, plane, space, spec)
        return
    assert isinstance(space, BoxSpace)
    low, high = float(space.low.reshape(-1)[0]), float(space.high.reshape(-1)[0])
    if not np.isfinite([low, high]).all():
        high = float(np.abs(plane.action).max()) or 1.0
        low = -high
    mesh = _show(axis, plane, plane.action, cmap=_colours("RdBu_r"), vmin=low, vmax=high)
    name = "force" if _is_mountain_car(spec) else "action" if space.dim == 1 else "action[0]"
    axis.figure.colorbar(mesh, ax=axis, label=f"{name} (from {low:g} to {high:g})", pad=0.02)
    axis.set_title("Actor: action π(s)")


def _draw_choices(axis: Any, plane: PhasePlane, space: DiscreteSpace, spec: EnvironmentSpec) -> None:
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


def _draw_critic(axis: Any, plane: PhasePlane) -> None:
    value = plane.value
    assert value is not None
    mesh = _show(axis, plane, value, cmap="viridis")
    if np.ptp(value) > 0:
        lines = axis.contour(plane.x, plane.y, value, levels=9, colors="white", linewidths=0.8, alpha=0.8)
        axis.clabel(lines, fontsize=8, fmt="%.3g")
    axis.figure.colorbar(mesh, ax=axis, label="expected discounted return", pad=0.02)
    axis.set_title("Critic: value V(s)")


def _show(axis: Any, plane: PhasePlane, field: Array, interpolation: str = "bilinear", **style: Any) -> Any:
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
