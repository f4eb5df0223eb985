"""Select rows of datasets: filter, keep the best, sample, split, merge."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vinci_offline.curate.conditions import rows_that_meet
from vinci_offline.curate.expression import Expression
from vinci_offline.curate.kept_rows import KeptRows
from vinci_offline.curate.sampling import best_episodes, drawn, generator
from vinci_offline.curate.selection import Selection
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import FRAGMENT, RETURN, START
from vinci_offline.errors import DatasetError, UsageError


def open_sources(paths: Sequence[str | os.PathLike[str]]) -> list[Dataset]:
    """Open the datasets, each once.

    Raises:
        UsageError: there is none, or a file is named twice.
    """
    if not paths:
        raise UsageError("no source was given")
    names = [str(Path(path)) for path in paths]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"{', '.join(twice)} is named twice: its rows would count double; give --weight instead"
        )
    return [Dataset.open(path) for path in paths]


def choose(sources: Sequence[Dataset], selection: Selection) -> list[KeptRows]:
    """Return the rows that a selection keeps of each source.

    Raises:
        UsageError: the selection contradicts itself, or names a column that a source does not have.
        DatasetError: no row is left, or there are fewer than are to be drawn.
    """
    selection.check(len(sources))
    condition = None if selection.where is None else Expression(selection.where)
    kept = []
    for source in sources:
        every = KeptRows(source, np.arange(len(source.episode_columns[START]))[selection.episodes])
        kept.append(every if condition is None else rows_that_meet(every, condition))
    if selection.top_returns is not None:
        kept = best_episodes(kept, selection.top_returns)
    kept = drawn(kept, selection)
    if not sum(each.size for each in kept):
        raise DatasetError("no row of the sources is left: loosen the condition")
    return kept


def fragments_left_out(sources: Sequence[Dataset], selection: Selection) -> list[str]:
    """Return a line if the selection speaks of whole episodes, or of returns, and leaves out fragments of episodes."""
    names = set() if selection.where is None else Expression(selection.where).names
    by_episode = selection.top_returns is not None or selection.sample_episodes is not None
    if not by_episode and not names & {RETURN, f"episode.{RETURN}"}:
        return []
    count = sum(int(each.episode_columns[FRAGMENT][selection.episodes].sum()) for each in sources)
    if not count:
        return []
    what = "1 fragment of an episode" if count == 1 else f"{count:,} fragments of episodes"
    return [f"{what} left out: the return of a whole episode is not known from a part of it"]


def split(kept: Sequence[KeptRows], share: float, seed: int) -> tuple[list[KeptRows], list[KeptRows]]:
    """Split into two parts by whole episodes of the sources, so that no episode has rows in both.

    Args:
        kept: the rows to split.
        share: the share of each source's episodes that goes to the first part, strictly between 0 and 1.
        seed: of the draw.

    Raises:
        UsageError: the share is not such a fraction.
        DatasetError: a part would be empty.
    """
    if not 0 < share < 1:
        raise UsageError(f"split {share}: give a fraction between 0 and 1")
    parts: tuple[list[KeptRows], list[KeptRows]] = ([], [])
    for number, each in enumerate(kept):
        episodes = each.episodes_with_rows()
        order = generator(seed, number, "split").permutation(episodes)
        first = round(share * len(episodes))
        parts[0].append(each.only(np.sort(order[:first])))
        parts[1].append(each.only(np.sort(order[first:])))
    if not all(any(each.size for each in part) for part in parts):
        count = sum(len(each.episodes_with_rows()) for each in kept)
        raise DatasetError(f"split {share}: one part would be empty; there are {count} episodes")
    return parts


def merged(kept: Sequence[KeptRows], attributes: Mapping[str, object]) -> tuple[Dataset, list[str]]:
    """Join the rows of all sources in one dataset; ``parents`` are the sources' hashes.

    Args:
        kept: the rows of each source.
        attributes: further attributes of the new dataset.

    Returns:
        The dataset, and the columns that not all sources have; these are left out.

    Raises:
        SpecError: the sources' spaces differ.
    """
    # Sources without a row left are compared too: sources of unlike spaces are a mistake in any case.
    Dataset.concatenate([each.source for each in kept])
    views = [each.view() for each in kept if each.size]
    together = Dataset.concatenate(views)
    lost = sorted({path for view in views for path in view.columns} - set(together.columns))
    parents = [each.source.hash for each in kept]
    return together.with_attributes({"parents": parents, **attributes}), lost
