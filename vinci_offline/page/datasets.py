"""The section of a page on a dataset: its card, its episodes, what it covers, and what `validate` found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import FRAGMENT, LENGTH, TERMINATED, TRUNCATED
from vinci_offline.data.episodes import known_returns
from vinci_offline.errors import DatasetError
from vinci_offline.page.strips import strips
from vinci_offline.quality.assessment import picture, quality
from vinci_offline.quality.card import card_dimensions, card_lines
from vinci_offline.quality.validation import check
from vinci_offline.text import counted
from vinci_offline.types import Array, FloatArray

MOST_EPISODES = 10_000
"""Of more episodes the page holds those with unusual returns or lengths and others at equal distances."""
_CELLS = 48
_SHADES = 5


def dataset_section(file: str | Path, place: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the section of a dataset, and the data of its charts and its episodes by their ids.

    Args:
        file: the file, or a shipped dataset's name.
        place: the number of the section.

    Raises:
        DatasetError: there is no such file, or it is no HDF5.
    """
    report = check(file)
    told: dict[str, Any] = {
        "id": f"data-{place}",
        "name": report.path.name,
        "problems": [str(each) for each in report.problems],
        "notes": [str(each) for each in report.notes],
        "sound": report.sound,
        "verdict": _sound(report.problems),
        "card": None,
    }
    try:
        dataset = Dataset.open(report.path)
        summary = quality(dataset)
    except DatasetError:
        return told, {}  # the problems say why
    table = dataset.episode_columns
    returns, lengths = known_returns(table), np.asarray(table[LENGTH])
    unusual = _unusual(returns) | _unusual(lengths.astype(np.float64))
    charts = {
        f"data-{place}-returns": _in_order("return of an episode", returns),
        f"data-{place}-spread": _spread(summary["returns"], "episodes by return"),
        f"data-{place}-lengths": _in_order("length of an episode", lengths),
    }
    charts = {name: data for name, data in charts.items() if data is not None}
    shown = _chosen(unusual)
    episodes = f"data-{place}-episodes"
    told |= {
        "card": card_lines(summary),
        "dimensions": list(card_dimensions(summary)),
        "agents": summary["agents"],
        "no_verdict": summary["no_verdict"] or "",
        "charts": list(charts),
        "episodes": episodes,
        "unusual": _told(unusual, len(shown)),
        "plane": _plane(dataset),
        "strips": strips(dataset, returns, table, unusual),
    }
    return told, {**charts, episodes: _rows(shown, returns, table, unusual)}


def _sound(problems: Sequence[object]) -> str:
    return (
        f"validate found {counted(len(problems), 'problem')}"
        if problems
        else "sound: validate found no problem"
    )


def _unusual(values: FloatArray) -> Array:
    """Return ``[E]``: values beyond Tukey's fences, 1.5 interquartile ranges from the quartiles, or not finite."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values), dtype=np.bool_)
    low, high = np.quantile(finite, [0.25, 0.75])
    room = 1.5 * (high - low)
    if room == 0 or not math.isfinite(room):  # most are equal: the others are no outliers
        return np.isinf(values)
    return np.asarray((values < low - room) | (values > high + room))


def _chosen(unusual: Array) -> Array:
    """Return the numbers of the episodes that the page holds."""
    count = len(unusual)
    if count <= MOST_EPISODES:
        return np.arange(count)
    first = np.flatnonzero(unusual)[: MOST_EPISODES // 2]
    return np.union1d(first, np.linspace(0, count - 1, MOST_EPISODES - len(first)).astype(np.int64))


def _told(unusual: Array, shown: int) -> str:
    count = int(unusual.sum())
    told = (
        f"{counted(count, 'episode')} of {len(unusual):,} with an unusual return or length: more than 1.5 "
        "interquartile ranges from the quartiles"
    )
    return told if shown == len(unusual) else f"{told}; {shown:,} episodes are shown"


def _rows(shown: Array, returns: FloatArray, table: Mapping[str, Array], unusual: Array) -> list[list[Any]]:
    """Return number, return, length, end and whether it is unusual, for each episode shown."""
    rows = []
    for number in shown.tolist():
        end = "terminal" if table[TERMINATED][number] else "timeout" if table[TRUNCATED][number] else "none"
        if table[FRAGMENT][number]:
            end = "fragment"
        value = _finite(float(returns[number]))
        rows.append([number, value, int(table[LENGTH][number]), end, bool(unusual[number])])
    return rows


def _in_order(title: str, values: Array) -> dict[str, Any] | None:
    """Return a chart of the episodes in recorded order, of many a sample at equal distances."""
    known = np.flatnonzero(np.isfinite(values))
    if not len(known):
        return None
    chosen = known[np.linspace(0, len(known) - 1, min(len(known), 2000)).astype(np.int64)]
    points = [_finite(float(values[index])) for index in chosen]
    return _chart(title, "Episode", "dots", chosen.tolist(), points)


def _spread(spread: Mapping[str, Any] | None, title: str) -> dict[str, Any] | None:
    if spread is None or len(spread["counts"]) < 2:
        return None
    edges = spread["edges"]
    middles = [float(f"{(low + high) / 2:.6g}") for low, high in pairwise(edges)]
    return _chart(title, "Return about", "bars", middles, spread["counts"])


def _chart(title: str, of: str, kind: str, steps: list[Any], values: list[Any]) -> dict[str, Any]:
    series = {"name": "", "place": 0, "mean": values, "low": values, "high": values}
    return {"title": title, "of": of, "kind": kind, "steps": steps, "series": [series]}


def _plane(dataset: Dataset) -> dict[str, Any] | None:
    """Return the observations on their two main axes as one SVG path for each shade; None where there are none."""
    shown = picture(dataset)
    if shown.plane is None:
        return None
    counts = np.histogram2d(shown.plane[:, 0], shown.plane[:, 1], bins=_CELLS)[0]
    shades = np.ceil(np.log1p(counts) / np.log1p(counts.max()) * _SHADES).astype(int)
    paths = [
        {
            "opacity": f"{0.15 + 0.85 * shade / _SHADES:.2f}",
            "path": "".join(
                f"M{x} {_CELLS - 1 - y}h1v1h-1z" for x, y in np.argwhere(shades == shade).tolist()
            ),
        }
        for shade in range(1, _SHADES + 1)
    ]
    return {
        "size": _CELLS,
        "paths": paths,
        "explained": f"{shown.explained:.0%}",
        "rows": f"{len(shown.plane):,}",
    }


def _finite(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
