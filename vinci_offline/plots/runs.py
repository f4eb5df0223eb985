"""Plots of runs: returns side by side, learning curves, and performance profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.plots.figures import COLOURS, new_figure, save_figure
from vinci_offline.text import plotted
from vinci_offline.types import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes


def plot_returns(
    path: str | Path, groups: Mapping[str, Sequence[float] | Array], title: str = "Return of an episode"
) -> None:
    """Compare returns: a dot for each episode, a box between the quartiles, the median, and the mean as a number.

    Args:
        path: the picture; its suffix chooses the format (``.png``, ``.svg``, ``.pdf``).
        groups: returns by name, in the order of the columns.
        title: the line above.

    Raises:
        UsageError: there is no group, a group has no finite return, or the suffix is not that of a picture.
    """
    if not groups:
        raise UsageError("there are no returns to plot")
    columns = {name: _finite(name, values) for name, values in groups.items()}
    figure = new_figure(width=max(5.0, 1.4 + 1.9 * len(columns)))
    axis = figure.subplots()
    for place, returns in enumerate(columns.values()):
        _draw_group(axis, place, returns)
    axis.set_xticks(range(len(columns)), list(columns))
    axis.set_xlim(-0.6, len(columns) - 0.4)
    axis.margins(y=0.12)
    axis.set_ylabel("return")
    axis.set_title(plotted(title), fontweight="bold")
    axis.grid(axis="y", alpha=0.25)
    save_figure(figure, path)


def plot_profiles(
    path: str | Path, thresholds: Array, profiles: Mapping[str, Array], unit: str = "score"
) -> None:
    """Draw performance profiles: of each agent the share of its runs above each score (Agarwal et al., 2021).

    Args:
        path: the picture.
        thresholds: ``[K]`` scores.
        profiles: ``[K]`` shares by name.
        unit: what a threshold is.
    """
    figure = new_figure(width=6.4)
    axis = figure.subplots()
    for place, (name, shares) in enumerate(profiles.items()):
        axis.plot(thresholds, shares, label=plotted(name), color=COLOURS[(place + 1) % len(COLOURS)])
    axis.set_xlabel(unit)
    axis.set_ylabel("share of runs above")
    axis.set_ylim(-0.02, 1.02)
    axis.set_title(f"Runs above each {unit}", fontweight="bold")
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    save_figure(figure, path)


def plot_curves(path: str | Path, run_dirs: Sequence[str | Path]) -> None:
    """Draw learning curves of runs: the mean return of evaluations with its deviation, and the losses.

    Args:
        path: the picture.
        run_dirs: run directories. A panel without data is left out.

    Raises:
        VinciError: a directory holds neither ``metrics.csv`` nor ``evaluations.csv``.
        UsageError: there is no run, or the suffix is not that of a picture.
    """
    runs = {str(run): (_table(run, "evaluations.csv"), _table(run, "metrics.csv")) for run in run_dirs}
    if not runs:
        raise UsageError("there are no runs to plot")
    for run, (evaluations, metrics) in runs.items():
        if evaluations is None and metrics is None:
            raise VinciError(f"{run} has nothing to plot: it has neither metrics.csv nor evaluations.csv")
    returns = [run for run, (evaluations, _) in runs.items() if evaluations is not None]
    losses = sorted({name for _, table in runs.values() if table is not None for name in _losses(table)})
    panels = bool(returns) + len(losses)
    if not panels:
        raise VinciError(f"{', '.join(runs)}: no evaluation and no loss was logged")
    figure = new_figure(width=6.0, height=3.0 * panels)
    axes = iter(figure.subplots(panels, 1, squeeze=False, sharex=True)[:, 0])
    if returns:
        _draw_returns(next(axes), runs)
    for name, axis in zip(losses, axes, strict=True):
        _draw_loss(axis, name, runs)
    figure.axes[0].legend(frameon=False, fontsize=9)
    figure.axes[-1].set_xlabel("gradient step")
    figure.axes[-1].xaxis.set_major_formatter("{x:,.0f}")
    save_figure(figure, path)


def _draw_group(axis: Axes, place: int, returns: Array) -> None:
    colour = COLOURS[place % len(COLOURS)]
    # A fixed jitter: the same returns make the same picture.
    jitter = np.random.default_rng(0).uniform(-0.28, 0.28, len(returns))
    alpha = float(np.clip(30 / len(returns), 0.12, 0.6))
    axis.plot(place + jitter, returns, ".", color=colour, alpha=alpha, markeredgewidth=0, markersize=8)
    axis.boxplot(
        returns,
        positions=[place],
        widths=0.34,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": (1, 1, 1, 0.4), "edgecolor": colour, "linewidth": 1.5},
        whiskerprops={"color": colour},
        capprops={"color": colour},
        medianprops={"color": colour, "linewidth": 2.5},
    )
    axis.annotate(
        f"mean {np.mean(returns):,.1f}",
        (place, float(np.max(returns))),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        color=colour,
        fontweight="bold",
    )


def _draw_returns(axis: Axes, runs: Mapping[str, tuple[Any, Any]]) -> None:
    for place, (run, (table, _)) in enumerate(runs.items()):
        if table is not None:
            colour = COLOURS[(place + 1) % len(COLOURS)]
            mean, std = table["return_mean"], table["return_std"]
            axis.plot(table["step"], mean, color=colour, marker=".", label=plotted(Path(run).name))
            axis.fill_between(table["step"], mean - std, mean + std, color=colour, alpha=0.15, linewidth=0)
    axis.set_ylabel("return")
    axis.set_title("Mean return ± standard deviation over episodes", fontsize=11)
    axis.grid(alpha=0.25)


def _draw_loss(axis: Axes, name: str, runs: Mapping[str, tuple[Any, Any]]) -> None:
    for place, (run, (_, table)) in enumerate(runs.items()):
        if table is not None and name in table:
            rows = table.dropna(subset=[name])
            axis.plot(
                rows["step"],
                rows[name],
                color=COLOURS[(place + 1) % len(COLOURS)],
                label=plotted(Path(run).name),
            )
    axis.set_ylabel("loss")
    axis.set_title(name.removeprefix("loss/").capitalize() + " loss", fontsize=11)
    axis.grid(alpha=0.25)


def _losses(table: pd.DataFrame) -> list[str]:
    return [name for name in table.columns if name.startswith("loss/") and table[name].notna().any()]


def _table(run: str | Path, name: str) -> pd.DataFrame | None:
    import pandas as pd

    path = Path(run) / name
    if not path.is_file() or path.stat().st_size == 0:
        return None
    table = pd.read_csv(path)
    return None if table.empty else table


def _finite(name: str, values: Sequence[float] | Array) -> Array:
    returns = np.asarray(values, np.float64).reshape(-1)
    if not np.isfinite(returns).all() or not len(returns):
        raise UsageError(f"the returns of {name!r} cannot be plotted: there are none, or some are not finite")
    return returns
