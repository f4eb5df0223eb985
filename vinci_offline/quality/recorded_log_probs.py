"""Randomness of the behaviour policy from the log probabilities that were recorded with its actions.

The level is the overlap of the policy with the uniform policy u: one minus their total variation distance, the
integral of ``min(pi, u)``. Over actions that the policy took, it is the mean of ``min(1, u / pi)``. A policy that is
uniform with probability E and otherwise a function of the observation has level E, and so has one that is uniform in a
part E of the range.

The column holds log densities and log masses side by side. An action that a policy takes with a mass in a continuous
space (the greedy action under epsilon noise) is one that the uniform policy never takes: its overlap is zero. Where
clipping put an action on a bound, a mass stands in for the density of one dimension or more: such rows do not count.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import episodes_of
from vinci_offline.data.indexing import spaced_rows
from vinci_offline.quality.neighbours import level_from_neighbours
from vinci_offline.spec import BoxSpace, DiscreteSpace, is_countable
from vinci_offline.types import Array, FloatArray

_ROWS = 100_000
_FEWEST = 10
"""Rows with the same log probability that may be a mass. Densities of continuous actions hardly ever repeat."""
_SLACK = 0.02
"""How far, besides four standard errors, the frequency of a mass may be from that mass."""


def level_from_log_probs(dataset: Dataset) -> dict[str, Any] | None:
    """Measure the randomness of the policy, from 0 (a function of the observation) to 1 (uniform).

    With several dimensions, each row counts the geometric mean of its dimensions' ``u / pi``. Choices, which all have
    masses, are scaled so that a function of the observation has level 0. Of more than a hundred thousand rows a sample
    at equal distances is read.

    Returns:
        ``method``, ``level``, ``upper_bound`` (False), the number of ``rows``, and ``entropy`` in nats where no mass is
        mixed with densities; None without log probabilities, without bounds, or if all actions are at bounds.
    """
    path, space = layout.ACTION_LOG_PROBS, dataset.spec.action_space
    if path not in dataset.columns or len(dataset.columns.shape(path)) != 1:
        return None
    rows = spaced_rows(len(dataset), _ROWS)
    log_probs = dataset.columns.gather(path, rows).astype(np.float64)
    known = np.isfinite(log_probs)
    rows, log_probs = rows[known], log_probs[known]
    if not len(rows):
        return None
    if isinstance(space, DiscreteSpace) or is_countable(space):
        return _told(_level_of_choices(space, log_probs), log_probs)
    if not isinstance(space, BoxSpace) or not space.bounded.all():
        return None
    widths = space.high.astype(np.float64) - space.low
    log_widths = np.log(widths[widths > 0])
    if not len(log_widths):
        return None
    actions = dataset.columns.gather(layout.ACTIONS, rows)
    clipped = ((actions <= space.low) | (actions >= space.high)) & (widths > 0)
    at_bound = np.asarray(clipped.reshape(len(rows), -1).any(axis=1))
    masses = _mass_shares(dataset, rows, log_probs, at_bound, -float(log_widths.sum()), len(log_widths))
    counted = ~at_bound | (masses > 0)
    if not counted.any():
        return None
    overlap = np.exp(np.minimum(-(log_probs + log_widths.sum()) / len(log_widths), 0)) * (1 - masses)
    pure = counted.all() and not masses.any()
    return _told(float(overlap[counted].mean()), log_probs[counted], entropy=bool(pure))


def _told(level: float, log_probs: FloatArray, *, entropy: bool = True) -> dict[str, Any]:
    told = {"entropy": 0.0 - float(log_probs.mean())} if entropy else {}
    return {
        "method": "log_probs",
        "level": min(max(level, 0.0), 1.0),
        "upper_bound": False,
        **told,
        "rows": len(log_probs),
    }


def _level_of_choices(space: Any, log_probs: FloatArray) -> float:
    if isinstance(space, DiscreteSpace):
        counts = np.array([float(space.n)])
    else:
        counts = (space.high.astype(np.float64) - space.low + 1).reshape(-1)
    counts = counts[counts > 1]
    if not len(counts):
        return 0.0
    log_count = float(np.log(counts).sum())
    overlap = np.exp(np.minimum(-(log_probs + log_count) / len(counts), 0)).mean()
    least = np.exp(-log_count / len(counts))
    return float((overlap - least) / (1 - least))


def _mass_shares(
    dataset: Dataset,
    rows: Array,
    log_probs: FloatArray,
    at_bound: Array,
    log_uniform: float,
    dimensions: int,
) -> FloatArray:
    """Return ``[M]``: the probability that a log probability of continuous actions is that of a mass.

    A mass m is the same in many rows, and comes in the share m of the rows of its episodes. The same may hold for a
    density that is constant on a part of the box. It is a mass if the part would be larger than the box, or if the
    density of uniform actions with probability 1 - m comes too. Where that is another mass or nothing, the actions
    decide: those of a mass are a function of the observation.

    Args:
        dataset: the rows' dataset.
        rows: ``[M]`` row numbers.
        log_probs: ``[M]`` their log probabilities.
        at_bound: ``[M]`` whether the action is at a bound, where clipping may have made the mass.
        log_uniform: the log density of the uniform policy.
        dimensions: the number of dimensions.
    """
    values, place, counts = np.unique(log_probs, return_inverse=True, return_counts=True)
    shares, unsure, parts = np.zeros(len(values)), np.zeros(len(values), np.bool_), np.ones(len(values))
    candidates = np.flatnonzero((counts >= _FEWEST) & (values <= 1e-6))
    if not len(candidates):
        return np.zeros(len(rows))
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(counts)[:-1])
    frequencies, slacks = _frequencies(dataset, rows, [members[index] for index in candidates])
    uniform_beside: set[int] = set()
    # The largest first: a density of uniform actions beside a mass that is known is no mass.
    for index, frequency, slack in zip(candidates[::-1], frequencies[::-1], slacks[::-1], strict=True):
        mass, uniform = np.exp(min(values[index], 0.0)), np.exp(values[index] - log_uniform)
        partner = _uniform_partner(values, float(mass), log_uniform)
        if partner == index and abs(frequency - mass - uniform) < slack:
            shares[index] = mass / (mass + uniform)  # mass and density are the same number
        elif abs(frequency - mass) > slack or (partner is None and at_bound[members[index]].all()):
            continue
        elif index not in uniform_beside:
            parts[index] = frequency / uniform
            shares[index] = parts[index] > 1 + _SLACK or partner is not None
            unsure[index] = not shares[index]
            uniform_beside |= set() if partner is None else {partner}
        elif partner is not None and shares[partner]:
            # In a box of volume 1 each may be the density beside the other's mass.
            less = _less_random(dataset, rows, members[index], members[partner])
            shares[index], shares[partner] = less, not less
    if unsure.any():
        own = unsure[place]
        part = float(parts[place[own]].mean()) ** (1 / dimensions)
        shares[unsure] = _is_function(dataset, rows[own], part)
    found: FloatArray = shares[place]
    return found


def _frequencies(dataset: Dataset, rows: Array, groups: list[Array]) -> tuple[FloatArray, FloatArray]:
    """Return the share of each group of rows among the rows of its episodes, and how far chance may move the share."""
    episodes = episodes_of(dataset.episode_columns, rows)
    sizes = np.bincount(episodes)
    totals = np.array([sizes[np.unique(episodes[group])].sum() for group in groups])
    found = np.array([len(group) for group in groups]) / totals
    return found, _SLACK + 4 * np.sqrt(found * (1 - found) / totals)


def _uniform_partner(values: FloatArray, mass: float, log_uniform: float) -> int | None:
    """Return the place among ascending log densities of that of uniform actions with the rest of the probability."""
    if mass >= 1:
        return None
    partner = np.log1p(-mass) + log_uniform
    # Float32 rounds the mass, which a small rest feels most.
    slack = 1e-5 + 1e-6 / (1 - mass)
    first, last = np.searchsorted(values, [partner - slack, partner + slack])
    return int(first) if last > first else None


def _less_random(dataset: Dataset, rows: Array, one: Array, other: Array) -> bool:
    """Return whether the actions of one group of rows follow the observation more closely than those of another."""
    seen = [level_from_neighbours(dataset, rows[np.sort(group)]) for group in (one, other)]
    levels = [1.0 if each is None else float(each["level"]) for each in seen]
    return levels[0] < levels[1] if levels[0] != levels[1] else len(one) > len(other)


def _is_function(dataset: Dataset, rows: Array, part: float) -> bool:
    """Return whether the rows' actions depend on the observation alone, and do not fill ``part`` of each dimension."""
    actions = dataset.columns.gather(layout.ACTIONS, rows)
    if (actions == actions[:1]).all():
        return True
    seen = level_from_neighbours(dataset, rows)
    if seen is not None and (seen["level"] < part / 2 or not seen["upper_bound"]):
        return bool(seen["level"] < part / 2)
    return str(dataset.attributes.get("noise", "")).startswith("epsilon")
