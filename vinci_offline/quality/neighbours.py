"""Randomness of the behaviour policy from its actions, where neighbouring observations were answered differently."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import episodes_of
from vinci_offline.data.indexing import spaced_rows
from vinci_offline.spec import BoxSpace, DiscreteSpace, is_countable
from vinci_offline.types import Array, FloatArray

_MOST_DIMENSIONS = 256
_REFERENCES = 20_000
_QUERIES = 1_000
_NEIGHBOURS = 5
"""Neighbours of each query among which choices are compared. Numbers are compared with the nearest one alone."""
_NORMAL = 0.95
"""M^2 / R^2 of normal noise. From here on all pairs count as different."""
_FAR = 0.3
_AT_ONCE = 50
"""Queries compared with all references at once: 8 MB of distances."""


def level_from_neighbours(dataset: Dataset, among: Array | None = None) -> dict[str, Any] | None:
    """Estimate the randomness of a policy, from 0 (a function of the observation) to 1 (uniform).

    It is an estimate of what `vinci_offline.quality.recorded_log_probs` measures. A thousand rows are compared with
    their neighbours: the rows of other episodes with the nearest standardised observations, among twenty thousand.

    - Numbers: the mean difference M and the root mean squared difference R between neighbours' actions are taken over
      those of two uniform actions (of any two actions in a dimension without bounds). If a share P of the pairs
      differs, by the part G of the range, then M = P G and R^2 = P G^2. Pairs are alike where both follow the
      observation: P = 1 - (1 - E)^2. The level is E G, averaged over dimensions: E for a policy that acts uniformly
      with probability E, G for one that acts uniformly in a part G of the range.
    - Choices: a policy that takes a uniform choice with probability E, and otherwise one that the observation tells,
      gives unlike choices in the share (1 - (1 - E)^2) (1 - 1 / n) of the pairs. The level is E, where the share may be
      two standard errors larger than was seen: near E = 1 the share hardly depends on E.

    Args:
        dataset: the rows.
        among: ``[M]`` the rows of the policy; None for all.

    Returns:
        ``method``, ``level``, ``distance`` (the mean distance of nearest neighbours over that of any two rows),
        ``upper_bound`` (whether that is above 0.3, so that neighbours are hardly alike), and the number of ``rows``
        compared; None for images, few rows or constant actions.
    """
    paths = [path for path in dataset.columns if path.partition("/")[0] == layout.OBSERVATIONS]
    if sum(math.prod(dataset.columns.shape(path)[1:]) for path in paths) > _MOST_DIMENSIONS:
        return None
    rows = spaced_rows(len(dataset) if among is None else len(among), _REFERENCES)
    rows = rows if among is None else among[rows]
    seen = np.concatenate([_flat(dataset.columns.gather(path, rows)) for path in paths], axis=1)
    acted = _flat(dataset.columns.gather(layout.ACTIONS, rows))
    finite = np.isfinite(seen).all(axis=1) & np.isfinite(acted).all(axis=1)
    seen, acted, rows = seen[finite], acted[finite], rows[finite]
    if len(rows) < 3 or not (acted.std(axis=0) > 0).any():
        return None
    deviation = seen.std(axis=0)
    seen = (seen - seen.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    episodes = episodes_of(dataset.episode_columns, rows)
    if episodes[0] == episodes[-1]:
        episodes = np.arange(len(rows))  # a single episode: every other row is a candidate
    queries = spaced_rows(len(rows), _QUERIES)
    space = dataset.spec.action_space
    count = min(_NEIGHBOURS, len(rows) - 1) if isinstance(space, DiscreteSpace) else 1
    nearest, near, far = _neighbours(seen, episodes, queries, count)
    if isinstance(space, DiscreteSpace):
        level = _level_of_choices(acted[queries], acted[nearest][..., 0], space.n)
    else:
        level = _level_of_numbers(acted, acted[queries] - acted[nearest[:, 0]], space)
    distance = near / far if far > 0 else 0.0
    return {
        "method": "neighbours",
        "level": level,
        "upper_bound": distance > _FAR,
        "distance": distance,
        "rows": len(queries),
    }


def _level_of_choices(chosen: FloatArray, others: FloatArray, choices: int) -> float:
    """Return the level of ``[Q, 1]`` choices and the ``[Q, K]`` choices of their neighbours."""
    unlike = float((chosen != others).mean())
    error = math.sqrt(unlike * (1 - unlike) / others.size)
    return 1 - math.sqrt(max(0.0, 1 - (unlike + 2 * error) / (1 - 1 / choices)))


def _level_of_numbers(acted: FloatArray, differences: FloatArray, space: Any) -> float:
    """Return the level of ``[N, A]`` actions and the ``[Q, A]`` differences of neighbours."""
    others = acted[np.random.default_rng(0).permutation(len(acted))]
    mean, squared = np.abs(acted - others).mean(axis=0), np.square(acted - others).mean(axis=0)
    if isinstance(space, BoxSpace):
        bounded = space.bounded.reshape(-1)
        span = space.high.reshape(-1)[bounded].astype(np.float64) - space.low.reshape(-1)[bounded]
        if is_countable(space):
            mean[bounded], squared[bounded] = span * (span + 2) / (3 * (span + 1)), span * (span + 2) / 6
        else:
            mean[bounded], squared[bounded] = span / 3, span**2 / 6
    varied = mean > 0
    first = np.abs(differences).mean(axis=0)[varied] / mean[varied]
    second = np.square(differences).mean(axis=0)[varied] / squared[varied]
    unlike = np.divide(first**2, second, out=np.zeros_like(first), where=second > 0)
    share = 1 - np.sqrt(np.maximum(0, 1 - unlike / _NORMAL))
    part = np.divide(second, first, out=np.zeros_like(first), where=first > 0)
    return float(np.minimum(share * part, 1).mean())


def _neighbours(seen: FloatArray, episodes: Array, queries: Array, count: int) -> tuple[Array, float, float]:
    """Return each query's nearest rows of other episodes, the mean distance to the first, and that of any two rows."""
    squares = np.square(seen).sum(axis=1)
    nearest, near, far = np.empty((len(queries), count), np.int64), 0.0, 0.0
    for first in range(0, len(queries), _AT_ONCE):
        mine = queries[first : first + _AT_ONCE]
        distance = np.maximum(squares[mine, None] + squares - 2 * seen[mine] @ seen.T, 0)
        far += float(np.sqrt(distance).mean(axis=1).sum())
        distance[episodes[mine, None] == episodes] = np.inf
        found = distance.argpartition(np.arange(count), axis=1)[:, :count]
        nearest[first : first + len(mine)] = found
        near += float(np.sqrt(distance[np.arange(len(mine)), found[:, 0]]).sum())
    return nearest, near / len(queries), far / len(queries)


def _flat(values: Array) -> FloatArray:
    return values.reshape(len(values), -1).astype(np.float64)
