"""Actions of the data and of the policies at the same observations, as shares of a sample of rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import VinciError
from vinci_offline.evaluation.evidence.policy_actions import policy_actions
from vinci_offline.evaluation.members import Member
from vinci_offline.evaluation.own_data import own_data
from vinci_offline.policies.named import load_policy
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import BoxSpace, DiscreteSpace, Space
from vinci_offline.types import Array, FloatArray

ROWS = 2000
"""Observations at which policies act."""
MOST_BYTES = 2**26
"""Bytes of these observations."""
MOST_DIMENSIONS = 8
MOST_SEEDS = 3
"""Policies of each group that are asked: loading one takes a tenth of a second or more."""
MOST_POLICIES = 48
_BINS = 32
MOST_CHOICES = 32
_BARS = 0.84
"""Share of the room of a choice that its bars take."""
_ENDS = {"mean": "mean", "low": "min", "high": "max"}


@dataclass(frozen=True)
class Actions:
    """Charts of a task's actions.

    Attributes:
        charts: their data as JSON values.
        hint: what they show.
        notes: what is missing, and why, a line each.
    """

    charts: list[dict[str, Any]] = field(default_factory=list)
    hint: str = ""
    notes: list[str] = field(default_factory=list)


def actions_of(runs: Mapping[str, Sequence[Member]], places: Mapping[str, int]) -> Actions:
    """Compare the actions of the data that runs of a task learned from with those of their policies.

    Args:
        runs: the runs by their groups.
        places: the place of each group among the colours.
    """
    trained = {name: [each for each in found if _policy(each)] for name, found in runs.items()}
    if not any(trained.values()):
        return Actions()
    first = next(each for found in trained.values() for each in found)
    try:
        dataset = own_data(RunDirectory(first.path))
    except VinciError as error:
        return Actions(notes=[str(error)])
    space = dataset.spec.action_space
    if not isinstance(space, BoxSpace) and not (isinstance(space, DiscreteSpace) and space.n <= MOST_CHOICES):
        return Actions(notes=["several choices at once, and one of very many, are not drawn"])
    rows = _sample(dataset)
    notes: list[str] = []
    most = max(1, min(MOST_SEEDS, MOST_POLICIES // len(trained)))
    taken = {name: list(_taken(found[:most], dataset, rows, notes)) for name, found in trained.items()}
    if any(len(found) > most for found in trained.values()):
        notes.append(f"the first {most} seeds of each are shown")
    recorded = dataset.columns.gather(layout.ACTIONS, rows).reshape(len(rows), -1)
    hint = (
        f"Shares of {len(rows):,} rows of the data, drawn at random: the recorded actions in grey, and what each "
        "policy does at the same observations, without sampling."
    )
    if recorded.shape[1] > MOST_DIMENSIONS:
        notes.append(f"the first {MOST_DIMENSIONS} of {recorded.shape[1]} dimensions are shown")
    return Actions(list(_charts(space, recorded, taken, places)), hint, notes)


def _policy(member: Member) -> bool:
    return RunDirectory(member.path).policy.is_file()


def _sample(dataset: Dataset) -> Array:
    """Return rows drawn at random, in order; of large observations, such as images, fewer."""
    columns = dataset.columns
    size = sum(
        math.prod(columns.shape(path)[1:]) * columns.dtype(path).itemsize
        for path in columns
        if path.partition("/")[0] == layout.OBSERVATIONS
    )
    count = min(len(dataset), ROWS, max(1, MOST_BYTES // max(1, size)))
    return np.sort(np.random.default_rng(0).choice(len(dataset), count, replace=False))


class _Acted(NamedTuple):
    """A policy's actions ``[B, K, A]``, or ``[B, K]`` choices, and ``[B, K]`` how much each counts."""

    actions: Array
    weights: FloatArray


Taken: TypeAlias = "Mapping[str, Sequence[_Acted]]"


def _taken(found: Sequence[Member], dataset: Dataset, rows: Array, notes: list[str]) -> Iterator[_Acted]:
    """Give the actions of each policy. One that cannot act here is told in a line."""
    for member in found:
        try:
            policy = load_policy(member.path, dataset.spec)
            acted = policy_actions(dataset, policy, rows, samples=1)
        except VinciError as error:
            notes.append(f"{member.path}: {error}")
            continue
        actions = acted.actions
        if isinstance(dataset.spec.action_space, BoxSpace):
            actions = actions.reshape(*acted.weights.shape, -1).astype(np.float64)
        yield _Acted(actions, acted.weights)


def _charts(
    space: Space, recorded: Array, taken: Taken, places: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    """Give a chart for each dimension of continuous actions, or one of all choices."""
    if isinstance(space, DiscreteSpace):
        yield _choices(space, recorded, taken, places)
        return
    assert isinstance(space, BoxSpace)
    count = recorded.shape[1]
    bounds = [np.broadcast_to(end, space.shape).reshape(-1) for end in (space.low, space.high)]
    for place in range(min(count, MOST_DIMENSIONS)):
        values = recorded[:, place].astype(np.float64)
        acted = {
            name: [(each.actions[..., place], each.weights) for each in group]
            for name, group in taken.items()
        }
        seen = np.concatenate([values, *(each.ravel() for group in acted.values() for each, _ in group)])
        edges = _edges(float(bounds[0][place]), float(bounds[1][place]), seen[np.isfinite(seen)])
        yield {
            "title": "action" if count == 1 else f"action {place} of {count}",
            "of": "Action from",
            "kind": "shares",
            "steps": [_short(value) for value in edges],
            "series": _all_series(partial(_histogram, edges), values, acted, places),
        }


def _edges(low: float, high: float, seen: FloatArray) -> FloatArray:
    """Return the edges of bins between the bounds of the space; of those that it lacks, the values seen stand for."""
    low = low if math.isfinite(low) else float(seen.min(initial=np.inf))
    high = high if math.isfinite(high) else float(seen.max(initial=-np.inf))
    if not (math.isfinite(low) and math.isfinite(high)):
        low, high = 0.0, 1.0  # nothing is finite
    return np.linspace(low, high, _BINS + 1) if low < high else np.linspace(low - 0.5, low + 0.5, _BINS + 1)


def _histogram(edges: FloatArray, values: Array, weights: FloatArray) -> FloatArray:
    """Return the share of weight from each edge to the next; at the last edge that of the last bin again.

    The outermost bins take what is beyond, and NaN counts nowhere.
    """
    known = np.isfinite(values)
    counts = np.histogram(np.clip(values[known], edges[0], edges[-1]), edges, weights=weights[known])[0]
    return np.asarray(np.append(counts, counts[-1]) / max(float(weights.sum()), 1e-12))


def _choices(
    space: DiscreteSpace, recorded: Array, taken: Taken, places: Mapping[str, int]
) -> dict[str, Any]:
    """Return a chart of bars that stand side by side at each choice."""

    def shares(values: Array, weights: FloatArray) -> FloatArray:
        chosen = (values.ravel() - space.start).astype(np.int64)
        return np.asarray(np.bincount(chosen, weights.ravel(), space.n) / max(float(weights.sum()), 1e-12))

    acted = {name: [(each.actions, each.weights) for each in group] for name, group in taken.items()}
    series = _all_series(shares, recorded, acted, places)
    count = len(series)
    moves = [(place - (count - 1) / 2) * _BARS / count for place in range(count)]
    for place, each in enumerate(series):
        for key in _ENDS:
            cells: list[float | None] = [None] * (count * space.n)
            cells[place::count] = each[key]
            each[key] = cells
    steps = [_short(space.start + number + move) for number in range(space.n) for move in moves]
    return {"title": "choices", "of": "Action", "kind": "choices", "steps": steps, "series": series}


def _all_series(
    shares: Callable[[Array, FloatArray], FloatArray],
    recorded: Array,
    acted: Mapping[str, Sequence[tuple[Array, FloatArray]]],
    places: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Return the data's shares and the policies'."""
    series = [_series("data", -1, [shares(recorded, np.ones(recorded.shape))])]
    for name, group in acted.items():
        if group:
            series.append(_series(name, places[name], [shares(*each) for each in group]))
    return series


def _series(name: str, place: int, found: Sequence[FloatArray]) -> dict[str, Any]:
    """Return the mean of shares over seeds, and their range. The place -1 is the data's."""
    stacked = np.stack(found)
    shown = {key: [_short(value) for value in getattr(stacked, how)(axis=0)] for key, how in _ENDS.items()}
    return {"name": name, "place": place, **shown}


def _short(value: float) -> float:
    return float(f"{float(value):.4g}")
