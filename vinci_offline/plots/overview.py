"""A dataset in one figure: returns, lengths, actions, observations, and the agents that suit it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.plots.figures import COLOURS, new_figure, save_figure
from vinci_offline.text import plotted
from vinci_offline.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _RED, _GREEN = COLOURS[1], COLOURS[2], COLOURS[3]
_GREY = COLOURS[0]
_VERDICTS = {"well": _GREEN, "perhaps": COLOURS[5], "poorly": _RED}
_MOST_ACTIONS = 12


def plot_overview(
    path: str | Path,
    title: str,
    *,
    returns: Array,
    lengths: Array,
    actions: Array,
    plane: Array | None,
    explained: float,
    agents: Sequence[Mapping[str, str]],
    discrete: bool,
) -> None:
    """Draw a dataset as one figure of six panels.

    Args:
        path: the picture; its suffix chooses the format (``.png``, ``.svg``, ``.pdf``).
        title: the line above.
        returns: ``[E]`` return of each whole episode, in recorded order; there may be none.
        lengths: ``[E]`` rows of each of them.
        actions: ``[M, A]`` a sample of actions.
        plane: ``[M, 2]`` a sample of observations on their two principal axes, or None.
        explained: the share of the variance that the two axes hold.
        agents: ``agent, verdict, because`` of each, best first.
        discrete: True where actions are choices.

    Raises:
        UsageError: the suffix is not that of a picture.
    """
    figure = new_figure(width=12.5, height=7.2)
    figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.12)
    figure.suptitle(plotted(title), fontweight="bold", fontsize=13)
    (spread, order, steps), (acted, seen, suits) = figure.subplots(2, 3)
    finite = returns[np.isfinite(returns)]
    _histogram(spread, finite, "Return of an episode", _BLUE, "return")
    _in_order(order, returns)
    _histogram(steps, lengths, "Length of an episode", _GREEN, "steps")
    (_choices if discrete else _dimensions)(acted, actions)
    _observations(seen, plane, explained)
    _agents(suits, agents)
    save_figure(figure, path)


def _histogram(axis: Axes, values: Array, title: str, colour: str, unit: str) -> None:
    """Draw how many episodes have which value; a constant one is a single line."""
    axis.set_title(title, fontsize=11)
    if not len(values):
        _nothing(axis, "none is known")
        return
    low, high = float(values.min()), float(values.max())
    if low == high:
        from matplotlib.ticker import MaxNLocator

        each = "the episode" if len(values) == 1 else f"each of {len(values):,} episodes"
        axis.vlines([low], 0, len(values), colors=[colour], linewidth=3, label=f"{each}: {low:,.6g}")
        axis.set_xlim(low - max(abs(low) * 0.5, 1), low + max(abs(low) * 0.5, 1))
        axis.set_ylim(0, len(values) * 1.25)  # room for the legend
        axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        axis.hist(values, bins=min(40, max(10, len(values) // 10)), color=colour, alpha=0.75)
        middle, mean = float(np.median(values)), float(values.mean())
        axis.axvline(middle, color="#333333", linewidth=1.5, label=f"median {middle:,.6g}")
        axis.axvline(mean, color="#333333", linewidth=1.5, linestyle=":", label=f"mean {mean:,.6g}")
    axis.legend(frameon=False, fontsize=9)
    axis.locator_params(axis="x", nbins=6)
    axis.set_xlabel(unit)
    axis.set_ylabel("episodes")
    axis.grid(axis="y", alpha=0.25)


def _in_order(axis: Axes, returns: Array) -> None:
    """Draw a dot for each episode in recorded order, and a running mean over a twentieth of them."""
    axis.set_title("Returns as recorded", fontsize=11)
    if not len(returns):
        _nothing(axis, "no whole episode")
        return
    numbers = np.arange(len(returns))
    alpha = float(np.clip(100 / len(returns), 0.05, 0.6))
    axis.plot(numbers, returns, ".", color=_BLUE, alpha=alpha, markeredgewidth=0, markersize=6)
    width = max(1, len(returns) // 20)
    if width > 1:
        sums = np.cumsum(np.concatenate([[0.0], returns]))
        centres = numbers[: len(returns) - width + 1] + (width - 1) / 2
        axis.plot(centres, (sums[width:] - sums[:-width]) / width, color="#1f3a5f", linewidth=2)
        axis.annotate(
            f"mean of {width} episodes",
            (0.99, 0.02),
            xycoords="axes fraction",
            ha="right",
            color="#1f3a5f",
            fontsize=9,
        )
    axis.set_xlabel("episode")
    axis.set_ylabel("return")
    axis.grid(alpha=0.25)


def _dimensions(axis: Axes, actions: Array) -> None:
    """Draw an upright density for each dimension, all equally wide."""
    axis.set_title("Actions by dimension", fontsize=11)
    shown = actions[:, :_MOST_ACTIONS]
    finite = shown[np.isfinite(shown).all(axis=1)]
    if not finite.size:
        _nothing(axis, "none is finite")
        return
    low, high = float(finite.min()), float(finite.max())
    edges = np.linspace(low, high, 41) if high > low else np.array([low - 0.5, low + 0.5])
    for place, values in enumerate(finite.T):
        counts = np.histogram(values, edges)[0]
        widths = 0.84 * counts / max(counts.max(), 1)
        colour = COLOURS[1 + place % (len(COLOURS) - 1)]
        axis.barh(
            (edges[1:] + edges[:-1]) / 2, widths, np.diff(edges), place - widths / 2, color=colour, alpha=0.75
        )
    axis.set_xticks(range(finite.shape[1]))
    axis.set_xlim(-0.6, finite.shape[1] - 0.4)
    more = actions.shape[1] - finite.shape[1]
    axis.set_xlabel("dimension" + (f" ({more} more)" if more else ""))
    axis.set_ylabel("action")
    axis.grid(axis="y", alpha=0.25)


def _choices(axis: Axes, actions: Array) -> None:
    axis.set_title("Choices", fontsize=11)
    values, counts = np.unique(actions, return_counts=True)
    axis.bar(values, counts / counts.sum(), color=_BLUE, alpha=0.75)
    if len(values) <= _MOST_ACTIONS:
        axis.set_xticks(values)
    axis.set_xlabel("action")
    axis.set_ylabel("share of the rows")
    axis.grid(axis="y", alpha=0.25)


def _observations(axis: Axes, plane: Array | None, explained: float) -> None:
    axis.set_title("Observations on their two main axes", fontsize=11)
    if plane is None:
        _nothing(axis, "too many dimensions, or one alone")
        return
    seen = axis.hexbin(
        plane[:, 0], plane[:, 1], gridsize=42, bins="log", mincnt=1, cmap="viridis", linewidths=0.1
    )
    axis.set_xlabel(f"first axis (both: {explained:.0%} of the standardised variance)")
    axis.set_ylabel("second axis, in deviations")
    axis.figure.colorbar(seen, ax=axis, label=f"rows of {len(plane):,}", pad=0.02)


def _agents(axis: Axes, agents: Sequence[Mapping[str, str]]) -> None:
    """List each agent with its verdict and the reason."""
    axis.set_title("Which agents suit it", fontsize=11)
    axis.set_axis_off()
    if not agents:
        _nothing(axis, "the data do not tell")
    room = 1 / max(len(agents), 4)
    for place, found in enumerate(agents):
        top = 1 - place * room - 0.04
        colour = _VERDICTS[found["verdict"]]
        axis.plot([0.02], [top - 0.015], "o", color=colour, markersize=9, clip_on=False)
        axis.text(0.08, top, found["agent"], fontweight="bold", va="center_baseline")
        axis.text(0.98, top, found["verdict"], color=colour, ha="right", va="center_baseline", fontsize=10)
        text = "\n".join(textwrap.wrap(plotted(found["because"]), 50))
        axis.text(0.08, top - 0.05, text, va="top", fontsize=8, color="#444444", linespacing=1.3)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1)


def _nothing(axis: Axes, why: str) -> None:
    axis.text(0.5, 0.5, why, ha="center", va="center", transform=axis.transAxes, color=_GREY)
    axis.set_xticks([])
    axis.set_yticks([])
