"""Draw rows or episodes, and rank episodes, among several sources."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vinci_offline.curate.kept_rows import KeptRows
from vinci_offline.curate.selection import Selection
from vinci_offline.data.episode_columns import RETURN
from vinci_offline.errors import DatasetError


def best_episodes(kept: Sequence[KeptRows], fraction: float) -> list[KeptRows]:
    """Return the whole episodes of the highest return among all sources; of equal ones the first.

    Raises:
        DatasetError: there is no whole episode.
    """
    episodes = [each.whole_episodes() for each in kept]
    returns = np.concatenate(
        [each.source.episode_columns[RETURN][own] for each, own in zip(kept, episodes, strict=True)]
    )
    if not len(returns):
        raise DatasetError(
            "--top-returns ranks whole episodes, and every one left is a fragment: leave it out"
        )
    count = math.ceil(fraction * len(returns))
    best = np.zeros(len(returns), np.bool_)
    best[np.argsort(-returns, kind="stable")[:count]] = True
    masks = np.split(best, np.cumsum([len(own) for own in episodes])[:-1])
    return [each.only(own[mask]) for each, own, mask in zip(kept, episodes, masks, strict=True)]


def drawn(kept: Sequence[KeptRows], selection: Selection) -> list[KeptRows]:
    """Draw the number of rows or whole episodes that the selection asks for, in the shares of its weights.

    Raises:
        DatasetError: there are fewer than are to be drawn.
    """
    by_episode = selection.sample_episodes is not None
    wanted = selection.sample_episodes if by_episode else selection.sample
    if wanted is None and selection.weights is None:
        return list(kept)
    sizes = [len(each.whole_episodes()) if by_episode else each.size for each in kept]
    counts = _shares(sizes, wanted, selection.weights, "whole episodes" if by_episode else "rows")
    found = []
    for number, (each, count) in enumerate(zip(kept, counts, strict=True)):
        rng = generator(selection.seed, number, "sample")
        pool = each.whole_episodes() if by_episode else each.all_rows()
        taken = np.sort(rng.choice(pool, count, replace=False, shuffle=False))
        if by_episode:
            found.append(each.only(taken))
        else:
            found.append(each if count == len(pool) else KeptRows(each.source, each.episodes, taken))
    return found


def generator(seed: int, source: int, purpose: str) -> np.random.Generator:
    """Return the random generator of one source for ``sample`` or ``split``."""
    return np.random.default_rng([seed, source, {"sample": 0, "split": 1}[purpose]])


def _shares(
    sizes: Sequence[int], wanted: int | None, weights: Sequence[float] | None, what: str
) -> list[int]:
    """Return how many to draw of each source; the largest remainders make the sum exact.

    Args:
        sizes: how many each source has.
        wanted: how many to draw in all; None draws as many as the weights allow.
        weights: the sources' shares; None takes their sizes.
        what: ``rows`` or ``whole episodes``, for messages.

    Raises:
        DatasetError: a source has fewer than its share.
    """
    total = sum(sizes)
    if wanted is not None and wanted > total:
        raise DatasetError(f"{wanted:,} {what} are to be drawn and {total:,} are there: ask for fewer")
    if weights is None:
        weights = sizes
    shares = np.asarray(weights, np.float64) / sum(weights)
    if wanted is None:
        wanted = int(min(size / share for size, share in zip(sizes, shares, strict=True) if share > 0))
    exact = shares * wanted
    counts = np.floor(exact).astype(int)
    rest = np.argsort(-(exact - counts), kind="stable")[: wanted - int(counts.sum())]
    counts[rest] += 1
    for number, (count, size) in enumerate(zip(counts, sizes, strict=True)):
        if count > size:
            raise DatasetError(
                f"source {number + 1} has {size:,} {what} and its weight asks for {count:,}: ask for fewer, or "
                "weigh it less"
            )
    return [int(count) for count in counts]
