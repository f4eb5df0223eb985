"""Choosing among the rows of datasets: filters, samples, the best episodes, shares a source, two parts."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vinci_offline.curate.expression import Expression
from vinci_offline.curate.selection import Selection
from vinci_offline.data.dataframe import frame_names
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, RETURN, START
from vinci_offline.data.episodes import episodes_of
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array

_BLOCK_ROWS = 2**17


@dataclass(frozen=True)
class KeptRows:
    """What is kept of one source.

    Attributes:
        source: the dataset.
        episodes: numbers of its episodes, ascending.
        rows: numbers of the rows kept in them, ascending; None where all are.
    """

    source: Dataset
    episodes: Array
    rows: Array | None = None

    @property
    def size(self) -> int:
        """The number of rows."""
        return (
            int(self.source.episode_columns[LENGTH][self.episodes].sum())
            if self.rows is None
            else len(self.rows)
        )

    def only(self, episodes: Array) -> KeptRows:
        """The part that lies in some of the episodes."""
        rows = None if self.rows is None else self.rows[np.isin(self.episodes_of(self.rows), episodes)]
        return KeptRows(self.source, episodes, rows)

    def episodes_of(self, rows: Array) -> Array:
        """The source's episode of each row."""
        return episodes_of(self.source.episode_columns, rows)

    def all_rows(self) -> Array:
        """The numbers of the rows."""
        if self.rows is not None:
            return self.rows
        table = self.source.episode_columns
        start, length = table[START][self.episodes], table[LENGTH][self.episodes]
        return np.repeat(start - (np.cumsum(length) - length), length) + np.arange(length.sum())

    def with_rows(self) -> Array:
        """The episodes of which any row is kept."""
        return self.episodes if self.rows is None else np.unique(self.episodes_of(self.rows))

    def view(self) -> Dataset:
        """The rows as a view; whole episodes keep what is known of them."""
        return (
            self.source.select_episodes(self.episodes) if self.rows is None else self.source.rows(self.rows)
        )


def choose(sources: Sequence[Dataset], choice: Selection) -> list[KeptRows]:
    """What a choice keeps of each source.

    Raises:
        UsageError: the choice cannot be, or names a column that a source does not have.
        DatasetError: nothing is left, or less than is to be drawn.
    """
    choice.check(len(sources))
    condition = None if choice.where is None else Expression(choice.where)
    kept = []
    for source in sources:
        every = KeptRows(source, np.arange(len(source.episode_columns[START]))[choice.episodes])
        kept.append(every if condition is None else _where(every, condition))
    if choice.top_returns is not None:
        kept = _best(kept, choice.top_returns)
    kept = _drawn(kept, choice)
    if not sum(each.size for each in kept):
        raise DatasetError("nothing is left of the sources: loosen the condition")
    return kept


def split(kept: Sequence[KeptRows], share: float, seed: int) -> tuple[list[KeptRows], list[KeptRows]]:
    """Two parts by whole episodes of the sources, so that no episode has rows in both.

    Args:
        kept: what is to be split.
        share: of each source's episodes that goes to the first part, strictly between 0 and 1.
        seed: of the draw.

    Raises:
        UsageError: the share is not such a fraction.
        DatasetError: a part would be empty.
    """
    if not 0 < share < 1:
        raise UsageError(f"split {share}: give a fraction between 0 and 1")
    parts: tuple[list[KeptRows], list[KeptRows]] = ([], [])
    for number, each in enumerate(kept):
        episodes = each.with_rows()
        order = _rng(seed, number, "split").permutation(episodes)
        first = round(share * len(episodes))
        parts[0].append(each.only(np.sort(order[:first])))
        parts[1].append(each.only(np.sort(order[first:])))
    if not all(any(each.size for each in part) for part in parts):
        raise DatasetError(
            f"split {share}: one part would be empty; there are {sum(len(e.with_rows()) for e in kept)} episodes"
        )
    return parts


def merged(kept: Sequence[KeptRows], attributes: Mapping[str, object]) -> tuple[Dataset, list[str]]:
    """The rows of all sources in one dataset, and the columns that not all of them had.

    ``parents`` are the sources' hashes.

    Raises:
        SpecError: their spaces differ.
    """
    # All are looked at, those of which nothing is left too: unlike sources are a mistake whatever was kept.
    Dataset.concatenate([each.source for each in kept])
    views = [each.view() for each in kept if each.size]
    together = Dataset.concatenate(views)
    lost = sorted({path for view in views for path in view.columns} - set(together.columns))
    parents = [each.source.hash for each in kept]
    return together.with_attributes({"parents": parents, **attributes}), lost


def open_sources(paths: Sequence[str | os.PathLike[str]]) -> list[Dataset]:
    """The datasets, each opened once.

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


def _where(every: KeptRows, condition: Expression) -> KeptRows:
    table = {name: values for name, values in every.source.episode_columns.items() if name != START}
    known = {**{f"episode.{name}": values for name, values in table.items()}}
    columns = frame_names(every.source.columns)
    known |= {name: values for name, values in table.items() if name not in columns}
    unknown = condition.names - set(known) - set(columns) - {"step", "episode"}
    if unknown:
        there = ", ".join([*columns, "step", "episode", *known])
        raise UsageError(
            f"{every.source.path or 'the dataset'} has no {', '.join(sorted(unknown))}: there are {there}"
        )
    if not condition.names - set(known) - {"episode"}:
        numbers = {**known, "episode": np.arange(len(table[LENGTH]))}
        found = np.broadcast_to(condition.evaluate(numbers.__getitem__), len(table[LENGTH]))
        return KeptRows(every.source, every.episodes[found[every.episodes]])
    return KeptRows(every.source, every.episodes, _rows_where(every, condition, known, columns))


def _rows_where(
    every: KeptRows,
    condition: Expression,
    known: dict[str, Array],
    columns: dict[str, tuple[str, int | None]],
) -> Array:
    """The rows that meet a condition, looked at in blocks: memory does not grow with the columns."""
    source, start = every.source, every.source.episode_columns[START]
    in_episodes = np.zeros(len(start), np.bool_)
    in_episodes[every.episodes] = True
    found = []
    for first in range(0, len(source), _BLOCK_ROWS):
        rows = np.arange(first, min(first + _BLOCK_ROWS, len(source)))
        numbers = every.episodes_of(rows)

        def lookup(name: str, rows: Array = rows, numbers: Array = numbers) -> Array:
            if name == "episode":
                return numbers
            if name == "step":
                return rows - start[numbers]
            if name in known:
                return known[name][numbers]
            path, index = columns[name]
            block = source.columns.read(path, slice(int(rows[0]), int(rows[-1]) + 1))
            return block if index is None else block[:, index]

        found.append(rows[np.broadcast_to(condition.evaluate(lookup), len(rows)) & in_episodes[numbers]])
    return np.concatenate(found)


def _best(kept: Sequence[KeptRows], fraction: float) -> list[KeptRows]:
    """The episodes of the highest return among all sources; of equal ones the first."""
    episodes = [each.with_rows() for each in kept]
    returns = np.concatenate(
        [each.source.episode_columns[RETURN][own] for each, own in zip(kept, episodes, strict=True)]
    )
    count = math.ceil(fraction * len(returns))
    best = np.zeros(len(returns), np.bool_)
    best[np.argsort(-returns, kind="stable")[:count]] = True
    masks = np.split(best, np.cumsum([len(own) for own in episodes])[:-1])
    return [each.only(own[mask]) for each, own, mask in zip(kept, episodes, masks, strict=True)]


def _drawn(kept: Sequence[KeptRows], choice: Selection) -> list[KeptRows]:
    """As many rows or episodes as asked for, in the shares of the weights."""
    by_episode = choice.sample_episodes is not None
    wanted = choice.sample_episodes if by_episode else choice.sample
    if wanted is None and choice.weights is None:
        return list(kept)
    sizes = [len(each.with_rows()) if by_episode else each.size for each in kept]
    counts = _shares(sizes, wanted, choice.weights, "episodes" if by_episode else "rows")
    drawn = []
    for number, (each, count) in enumerate(zip(kept, counts, strict=True)):
        rng = _rng(choice.seed, number, "sample")
        pool = each.with_rows() if by_episode else each.all_rows()
        taken = np.sort(rng.choice(pool, count, replace=False, shuffle=False))
        if by_episode:
            drawn.append(each.only(taken))
        else:
            drawn.append(each if count == len(pool) else KeptRows(each.source, each.episodes, taken))
    return drawn


def _shares(
    sizes: Sequence[int], wanted: int | None, weights: Sequence[float] | None, what: str
) -> list[int]:
    """How many of each source; the largest remainders make the sum exact.

    Raises:
        DatasetError: a source has fewer than its share.
    """
    total = sum(sizes)
    if weights is None:
        weights = sizes
    shares = np.asarray(weights, np.float64) / sum(weights)
    if wanted is None:
        wanted = int(min(size / share for size, share in zip(sizes, shares, strict=True) if share > 0))
    if wanted > total:
        raise DatasetError(f"{wanted:,} {what} are to be drawn and {total:,} are there: ask for fewer")
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


def _rng(seed: int, source: int, purpose: str) -> np.random.Generator:
    return np.random.default_rng([seed, source, {"sample": 0, "split": 1}[purpose]])
