"""The sections of a page on runs: one for each task, with its table, its verdict, its curves and its commands."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vinci_offline.evaluation.comparison import Duel, Group
from vinci_offline.evaluation.members import Member, name_of
from vinci_offline.evaluation.overall import Summary
from vinci_offline.hooks.csv_log import numbers
from vinci_offline.page.actions import actions_of
from vinci_offline.page.curves import Rows, chart, columns_of
from vinci_offline.page.estimates import pictures
from vinci_offline.page.repeat import left_out, train_command, versions
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.text import counted

_OF_Q = ("q/", "value/", "target/", "advantage/", "td_error/")
_NOT_SHOWN = ("compile_seconds", "steps_per_second")


def section(
    task: str,
    found: Sequence[Member],
    groups: Sequence[Group],
    duel: Duel | None,
    place: int,
    room: int,
    places: dict[str, int],
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the section of a task, and the data of its charts by their ids.

    Args:
        task: the task.
        found: all its runs.
        groups: those with evaluations, the best first.
        duel: its two best groups; None where there is one or none.
        place: the number of the section.
        room: the bytes that its portraits may take.
        places: the place of each name among the colours, the same in all tasks; new names are added.
    """
    runs = _by_name(found, groups)
    for name in runs:
        places.setdefault(name, len(places))
    tables = [(name, [numbers(each.path / "evaluations.csv") for each in runs[name]]) for name in runs]
    metrics = [(name, [numbers(each.path / "metrics.csv") for each in runs[name]]) for name in runs]
    figures = [("Return of an evaluation", "returns", ["return_mean"], tables, True), *_diagnostics(metrics)]
    charts: dict[str, Any] = {}
    panels = []
    for title, kind, columns, source, is_open in figures:
        ids = []
        for column in columns:
            listed = [(places[name], name, each) for name, each in source]
            data = chart(column, "mean return" if column == "return_mean" else column, listed)
            if data is not None:
                ids.append(f"chart-{place}-{len(charts)}")
                charts[ids[-1]] = data
        if ids:
            panels.append({"title": title, "kind": kind, "open": is_open, "charts": ids})
    actions = actions_of(runs, places)
    charts |= {f"actions-{place}-{number}": data for number, data in enumerate(actions.charts)}
    told = {
        "id": f"task-{place}",
        "task": task,
        "rows": _rows(groups, places),
        "reference": _reference(groups),
        "verdict": verdict(groups, duel),
        "margin": margin(duel),
        "missing": _missing(found, groups),
        "names": [{"name": name, "place": places[name]} for name in runs],
        "panels": panels,
        "points": _points(charts.get(f"chart-{place}-0")) if any(g.members for g in groups) else None,
        "estimates": pictures(runs, places),
        "actions": {
            "charts": [name for name in charts if name.startswith("actions-")],
            "hint": actions.hint,
            "notes": actions.notes,
        },
        "portraits": _portraits(runs, room),
        "commands": [
            {
                "name": f"{name}, seed {each.seed}",
                "command": train_command(RunDirectory(each.path)),
                "lacks": left_out(RunDirectory(each.path)),
            }
            for name in runs
            for each in runs[name]
        ],
        "versions": ", ".join(versions([RunDirectory(each.path) for each in found])),
    }
    return told, charts


def verdict(groups: Sequence[Group], duel: Duel | None) -> str:
    """Say in words which group of a task is best, or why that is not known."""
    if duel is not None:
        return duel.verdict
    if not groups:
        return "no run was evaluated, so there are no returns to compare: train with --eval-every N"
    return f"{groups[0].name} ran alone here, so there is nothing to compare it with"


def margin(duel: Duel | None) -> str:
    """Say by how much the better of two groups leads, with Welch's interval of the difference over seeds."""
    if duel is None:
        return ""
    from scipy.stats import ttest_ind

    better, other = duel.better.scores, duel.other.scores
    told = (
        f"{duel.better.name} leads {duel.other.name} by {better.mean() - other.mean():.4g} of return "
        f"({duel.better.mean:.4g} against {duel.other.mean:.4g})"
    )
    if min(len(better), len(other)) < 2 or not (better.std() or other.std()):
        return told
    ends = ttest_ind(better, other, equal_var=False).confidence_interval(0.95)
    return f"{told}; 95% interval of the difference over seeds {ends.low:.4g} to {ends.high:.4g}"


def overall(summary: Summary | str | None) -> dict[str, Any] | None:
    """Return the section over several tasks; None for a single one."""
    if summary is None:
        return None
    if isinstance(summary, str):
        return {"verdict": summary, "rows": []}
    rows = []
    for each in summary.agents:
        cells = []
        for value, (low, high) in (each.interquartile_mean, each.optimality_gap):
            cells += [f"{value:.1f}", f"{low:.1f} to {high:.1f}"]
        rows.append({"name": each.name, "cells": [*cells, str(len(each.scores)), str(each.episodes)]})
    return {"verdict": summary.verdict or "a single agent has runs of all tasks", "rows": rows}


def _portraits(runs: Mapping[str, Sequence[Member]], room: int) -> list[dict[str, str]]:
    """Return the last portrait of the first seed of each group that has one, as an address that holds the picture.

    Args:
        runs: the runs by their groups, the best first.
        room: the bytes that all of them may take; those that do not fit are left out.
    """
    found = []
    for name, each in runs.items():
        paths = sorted((each[0].path / "portraits").glob("step-*.png"))
        if not paths or not paths[-1].is_file() or paths[-1].stat().st_size > room:
            continue
        content = paths[-1].read_bytes()
        if content.startswith(b"\x89PNG\r\n\x1a\n"):
            room -= len(content)
            address = f"data:image/png;base64,{base64.b64encode(content).decode()}"
            found.append({"name": f"{name}, seed {each[0].seed}", "address": address})
    return found


def _by_name(found: Sequence[Member], groups: Sequence[Group]) -> dict[str, list[Member]]:
    """Return the runs by the names of their groups: evaluated ones first, the best before the others."""
    runs = {group.name: list(group.members) for group in groups}
    known = {member.path for group in groups for member in group.members}
    for member in found:
        if member.path not in known:
            runs.setdefault(name_of(member, found), []).append(member)
    return runs


def _diagnostics(
    metrics: Sequence[tuple[str, Sequence[Rows]]],
) -> list[tuple[str, str, list[str], Sequence[tuple[str, Sequence[Rows]]], bool]]:
    """Return title, kind, columns and tables of each panel of ``metrics.csv``, and whether it is open at first."""
    columns = columns_of([rows for _, each in metrics for rows in each])
    q = [name for name in columns if name.startswith(_OF_Q)]
    losses = [name for name in columns if "loss/" in name]
    others = [name for name in columns if name not in (*q, *losses, *_NOT_SHOWN)]
    return [
        ("Q values", "q", q, metrics, True),
        ("Losses", "losses", losses, metrics, True),
        ("Gradients and others", "others", others, metrics, False),
    ]


def _rows(groups: Sequence[Group], places: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return a row of the table for each group, with the places of its picture in hundredths."""
    ends = [value for group in groups for value in (*group.interval, *group.scores) if math.isfinite(value)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)

    def at(value: float) -> float:
        return round(4 + 92 * ((value - low) / (high - low) if high > low else 0.5), 2)

    rows = []
    for group in groups:
        known = math.isfinite(group.interval.low)
        rows.append(
            {
                "name": group.name,
                "place": places[group.name],
                "mean": f"{group.mean:.2f}",
                "interval": f"{group.interval.low:.2f} to {group.interval.high:.2f}" if known else "one seed",
                "middle": f"{group.interquartile_mean:.2f}",
                "score": None if group.normalized_mean is None else f"{group.normalized_mean:.1f}",
                "seeds": len(group.scores),
                "episodes": group.episodes,
                "steps": ", ".join(f"{step:,}" for step in group.steps),
                "line": [at(end) for end in group.interval] if known else None,
                "dots": [at(score) for score in group.scores],
                "at": at(group.mean),
            }
        )
    return rows


def _reference(groups: Sequence[Group]) -> str:
    reference = next((group.reference for group in groups if group.reference is not None), None)
    if reference is None:
        return ""
    about = ", of another version" if reference.approximate else ""
    return f"score: 0 is {reference.random:.4g}, 100 is {reference.expert:.4g} ({reference.source}{about})"


def _missing(found: Sequence[Member], groups: Sequence[Group]) -> str:
    without = len(found) - sum(len(group.scores) for group in groups)
    if not (without and groups):
        return ""
    have = "has" if without == 1 else "have"
    return f"{counted(without, 'run')} {have} no evaluation, and so no part in the table and the verdict"


def _points(data: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return the learning curve as a table of at most twelve steps, for readers without its picture."""
    if data is None:
        return None
    count = len(data["steps"])
    chosen = sorted({round(index * (count - 1) / 11) for index in range(12)}) if count > 12 else range(count)
    rows = [
        {
            "step": f"{data['steps'][index]:,}",
            "cells": [
                "" if (value := each["mean"][index]) is None else f"{value:.4g}" for each in data["series"]
            ],
        }
        for index in chosen
    ]
    return {"names": [each["name"] for each in data["series"]], "rows": rows}


def title_of(paths: Sequence[str | Path], count: int, datasets: Sequence[str]) -> str:
    """Return the title of a page.

    Args:
        paths: the places of its runs.
        count: the number of its runs.
        datasets: the names of its datasets.
    """
    told = list(datasets) if len(datasets) < 3 else [counted(len(datasets), "dataset")]
    if paths:
        name = f"{Path(paths[0]).name or paths[0]}: " if len(paths) == 1 else ""
        told.insert(0, name + counted(count, "run"))
    return ", ".join(told)
