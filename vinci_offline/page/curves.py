"""Curves over seeds: the mean of runs that differ in their seeds alone, and the range between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MOST_POINTS = 300
"""More rows than this are averaged piece by piece."""

Rows = Sequence[Mapping[str, float]]


def chart(
    column: str, title: str, groups: Sequence[tuple[int, str, Sequence[Rows]]]
) -> dict[str, Any] | None:
    """Return the data of a chart as JSON values; None if no run has a number of the column.

    Args:
        column: a column of the tables.
        title: what the chart shows.
        groups: of each group its place among the colours, its name, and a table for each run.
    """
    found = [(place, name, over_seeds(column, tables)) for place, name, tables in groups]
    found = [each for each in found if each[2]]
    steps = sorted({step for _, _, curve in found for step in curve})
    if not steps:
        return None
    series = [
        {
            "name": name,
            "place": place,
            **{
                key: [_short(curve[step][index]) if step in curve else None for step in steps]
                for index, key in enumerate(("mean", "low", "high"))
            },
        }
        for place, name, curve in found
    ]
    return {"title": title, "steps": steps, "series": series}


def over_seeds(column: str, tables: Sequence[Rows]) -> dict[int, tuple[float, float, float]]:
    """Return mean, least and greatest value over runs by step. Numbers that are not finite are left out."""
    runs = [
        {int(row["step"]): row[column] for row in rows if math.isfinite(row.get(column, math.nan))}
        for rows in tables
    ]
    steps = sorted({step for run in runs for step in run})
    curve = {}
    for part in np.array_split(np.array(steps, dtype=np.int64), min(len(steps), MOST_POINTS) or 1):
        piece = part.tolist()
        values = [
            float(np.mean([run[step] for step in piece if step in run]))
            for run in runs
            if any(step in run for step in piece)
        ]
        if values:
            curve[piece[-1]] = (float(np.mean(values)), min(values), max(values))
    return curve


def columns_of(tables: Sequence[Rows]) -> list[str]:
    """Return the columns of tables but ``step``, in order of appearance."""
    return [
        name
        for name in dict.fromkeys(name for rows in tables for row in rows for name in row)
        if name != "step"
    ]


def _short(value: float) -> float | None:
    """Return a number with six digits, which a chart cannot tell from more."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
