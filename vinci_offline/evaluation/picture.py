"""The picture of a policy's estimates: values with intervals, and how far the data overlap with the policy."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.evaluation.evidence.overlap import Overlap
from vinci_offline.evaluation.findings import FEW, Estimates, Refused
from vinci_offline.plots.figures import COLOURS, new_figure, save_figure
from vinci_offline.text import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GREY, _BLUE, _RED = COLOURS[:3]
_BINS = 60
_WIDEST = 1e4
"""Ratios beyond this, or its inverse, are drawn at the edge."""


def plot_estimates(path: str | Path, found: Estimates) -> None:
    """Draw each method's value with its interval beside the logged policy's, and the weights that they rest on.

    Args:
        path: the picture; its suffix chooses the format (``.png``, ``.svg``, ``.pdf``).
        found: the estimates.

    Raises:
        UsageError: the suffix is not that of a picture.
    """
    rows, overlap = len(found.methods) + 1, found.overlap
    figure = new_figure(width=7.5, height=1.3 + 0.32 * rows + (2.7 if overlap else 0))
    if overlap is None:
        _draw_values(figure.subplots(), found)
    else:
        parts = figure.add_gridspec(2, 2, height_ratios=[1.0 + 0.32 * rows, 2.7])
        _draw_values(figure.add_subplot(parts[0, :]), found)
        left, right = figure.add_subplot(parts[1, 0]), figure.add_subplot(parts[1, 1])
        _draw_ratios(left, overlap)
        if len(overlap.effective) > 1:
            _draw_effective(right, overlap)
        else:
            _draw_heaviest(right, overlap)
    save_figure(figure, path)


def _draw_values(axis: Axes, found: Estimates) -> None:
    """Draw one row a method, the logged policy as a line with its interval as a band."""
    past = found.logged
    axis.axvline(past.value, color=_GREY, linewidth=1.5, label="logged policy")
    if not math.isnan(past.low):
        axis.axvspan(past.low, past.high, color=_GREY, alpha=0.2, linewidth=0)
    for place, each in enumerate(found.methods.values()):
        if isinstance(each, Refused):
            axis.annotate(
                "refused",
                (0.01, place),
                xycoords=axis.get_yaxis_transform(),
                va="center",
                color=_GREY,
                fontsize=9,
            )
            continue
        colour = _BLUE if each.warning is None else _RED
        if not math.isnan(each.low):
            axis.plot([each.low, each.high], [place, place], color=colour, linewidth=2)
        axis.plot(each.value, place, "o", color=colour)
    told = found.estimates.values()
    for colour, name, shown in (
        (_BLUE, f"estimate, {found.level:.0%} interval", any(each.warning is None for each in told)),
        (_RED, "with a warning", any(each.warning is not None for each in told)),
    ):
        if shown:
            axis.plot([], [], "o-", color=colour, label=name)
    axis.set_yticks(range(len(found.methods)), list(found.methods))
    axis.set_ylim(len(found.methods) - 0.4, -0.6)
    axis.set_xlabel("mean discounted return")
    axis.grid(axis="x", alpha=0.25)
    axis.figure.legend(
        *axis.get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False, fontsize=9
    )


def _draw_ratios(axis: Axes, overlap: Overlap) -> None:
    """Draw a histogram of the ratios of logged actions."""
    logs = overlap.log_ratios / math.log(10)
    never = np.isneginf(logs)
    edge = math.log10(_WIDEST)
    shown = np.clip(logs[~never], -edge, edge)
    reach = max(1.0, float(np.abs(shown).max())) if len(shown) else 1.0
    axis.hist(10**shown, bins=np.logspace(-reach, reach, _BINS).tolist(), color=_BLUE)
    axis.set_xscale("log")
    axis.axvline(1, color=_GREY, linewidth=1.5)
    axis.set_xlabel("ratio: judged over logged probability")
    axis.set_ylabel("actions")
    axis.set_title(
        f"{never.mean():.1%} of actions are never taken" if never.any() else "Ratios of logged actions",
        fontsize=10,
    )


def _draw_effective(axis: Axes, overlap: Overlap) -> None:
    """Draw the effective number of episodes by step, and the number below which intervals are too narrow."""
    steps = np.arange(1, len(overlap.effective) + 1)
    axis.plot(steps, overlap.effective, color=_BLUE, linewidth=2)
    axis.axhline(FEW, color=_RED, linewidth=1, linestyle="--")
    axis.annotate(
        f"{FEW}: fewer are too few", (1, FEW), xycoords=axis.get_yaxis_transform(), xytext=(0, 3),
        textcoords="offset points", ha="right", fontsize=8, color=_RED,
    )  # fmt: skip
    axis.set_yscale("log")
    axis.set_ylim(0.8, 1.3 * max(len(overlap.weights), FEW))
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.set_xlabel("step")
    axis.set_title(f"Effective episodes of {len(overlap.weights):,}", fontsize=10)
    axis.grid(alpha=0.25)


def _draw_heaviest(axis: Axes, overlap: Overlap) -> None:
    """Draw the share of all weight that the heaviest episodes carry."""
    count = len(overlap.weights)
    axis.plot(np.arange(1, count + 1) / count, overlap.heaviest(), color=_BLUE, linewidth=2)
    axis.plot([0, 1], [0, 1], color=_GREY, linewidth=1, linestyle="--")
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(lambda share, _: f"{share:.0%}")
    axis.set_xlabel("heaviest episodes")
    axis.set_ylabel("share of all weight")
    axis.set_title(f"Weights of {counted(count, 'episode')}", fontsize=10)
    axis.grid(alpha=0.25)
