"""From what a source holds of its rows to a dataset: next observations, flags, and what had to be dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.parts import Parts, checked_columns, episode_table
from vinci_offline.data.columns import in_memory
from vinci_offline.data.episode_columns import LENGTH
from vinci_offline.data.inference import infer_spec
from vinci_offline.errors import DatasetError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array, Columns

NEXT_ROW = "next observations are those of the following rows"
OWN_STANDS_IN = (
    "the last row of a terminated episode has no next observation: its own stands in, and nothing is bootstrapped "
    "from it"
)
CUT = "last rows of episodes that timed out, without a next observation"

_ASK = "say --env ENV, or in Python ImportOptions(spec=...)"


@dataclass(frozen=True)
class Logged:
    """The rows of a source, episode after episode.

    Attributes:
        columns: ``observations``, ``actions``, ``rewards``, perhaps ``next_observations`` and ``infos/…``; N rows each.
        lengths: ``[E]`` rows of each episode.
        terminated: ``[E]`` whether its last row is a terminal; otherwise it is a timeout.
        episodes: what else is known of each episode, ``[E]`` by name.
        attributes: where the data comes from.
        environment: its Gymnasium id, where the source says it; for a spec that is inferred.
        environment_kwargs: its keyword arguments.
    """

    columns: Mapping[str, Array]
    lengths: Array
    terminated: Array
    episodes: Mapping[str, Array] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    environment: str | None = None
    environment_kwargs: Mapping[str, Any] = field(default_factory=dict)


def stacked(episodes: Mapping[str, Mapping[str, Array]], where: str) -> Columns:
    """The columns of episodes, by what the source calls them, end to end.

    Raises:
        DatasetError: an episode has no rows, or columns of unequal lengths, or others than the first one has.
    """
    start = next(iter(episodes), "")
    first = episodes.get(start, {})
    for name, episode in episodes.items():
        lengths = {path: len(values) for path, values in episode.items()}
        if len(set(lengths.values())) > 1 or not all(lengths.values()):
            listed = ", ".join(f"{path} {length}" for path, length in lengths.items())
            raise DatasetError(f"{where}: {name} has columns of no or unequal lengths ({listed})")
        unlike = [path for path in {**first, **episode} if _row(first, path) != _row(episode, path)]
        if unlike:
            raise DatasetError(
                f"{where}: {unlike[0]} of {name} is {_row(episode, unlike[0])}, of {start} "
                f"{_row(first, unlike[0])}: convert such episodes apart"
            )
    return {path: np.concatenate([episode[path] for episode in episodes.values()]) for path in first}


def _row(columns: Mapping[str, Array], path: str) -> str:
    """What a row of a column is, in words."""
    return f"of shape {list(columns[path].shape[1:])}" if path in columns else "missing"


def fitted(columns: Mapping[str, Array], spec: EnvironmentSpec | None) -> Columns:
    """Columns in which one number a row is written as the spec's spaces have it: ``[N]`` or ``[N, 1]``."""
    slots = layout.spec_slots(spec) if spec else {}
    found = dict(columns)
    for path in set(found) & set(slots):
        rows, wanted = found[path].shape[1:], slots[path].shape
        if (rows, wanted) in {((1,), ()), ((), (1,))}:
            found[path] = found[path].reshape(-1, *wanted)
    return found


def assemble(
    logged: Logged,
    spec: EnvironmentSpec | None,
    decisions: list[str],
    where: str,
    *,
    float64: bool = False,
) -> Parts:
    """Make the parts of a dataset from logged rows.

    Args:
        logged: the rows.
        spec: the environment; Box spaces of the columns' shapes are inferred where it is None.
        decisions: what was decided before; what is decided here follows.
        where: the source, for messages.
        float64: keep float64 columns.

    Raises:
        DatasetError: nothing is left, columns do not fit each other or the spaces, or the spec must be given.
    """
    if not len(logged.lengths):
        raise DatasetError(f"{where} holds no rows: there is nothing to convert")
    columns, dropped, said = _with_next(logged)
    columns = fitted(columns, spec)  # a choice or a number a row, which many tools keep as a column
    lengths, kept = _lengths_left(logged, dropped)
    if not len(lengths):
        raise DatasetError(f"{where}: no row is left once those without a next observation are dropped")
    last = np.cumsum(lengths) - 1
    for path, ends in ((layout.TERMINALS, logged.terminated), (layout.TIMEOUTS, ~logged.terminated)):
        columns[path] = np.zeros(int(lengths.sum()), np.bool_)
        columns[path][last] = ends[kept]
    episodes = {LENGTH: lengths, **{name: values[kept] for name, values in logged.episodes.items()}}
    try:
        if spec is None:
            inferred = infer_spec(in_memory(columns), _ASK)
            spec = replace(inferred, id=logged.environment, kwargs=logged.environment_kwargs)
        rows = checked_columns(columns, spec, float64=float64)
        table = episode_table(rows, episodes)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from error
    counted = {CUT: dropped} if dropped else {}
    return Parts(rows, spec, table, logged.attributes, (*decisions, *said), counted)


def _with_next(logged: Logged) -> tuple[Columns, int, list[str]]:
    """The columns with next observations, how many rows went for want of one, and what was decided."""
    columns = dict(logged.columns)
    if any(path.partition("/")[0] == layout.NEXT_OBSERVATIONS for path in columns):
        return columns, 0, []
    last = np.cumsum(logged.lengths) - 1
    said = [NEXT_ROW]
    for path in [path for path in columns if path.partition("/")[0] == layout.OBSERVATIONS]:
        following = np.concatenate([columns[path][1:], columns[path][-1:]])
        following[last] = columns[path][last]
        columns[f"next_{path}"] = following
    if logged.terminated.any():
        said.append(OWN_STANDS_IN)
    cut = last[~logged.terminated]
    if len(cut):
        kept = np.ones(int(logged.lengths.sum()), np.bool_)
        kept[cut] = False
        columns = {path: values[kept] for path, values in columns.items()}
    return columns, len(cut), said


def _lengths_left(logged: Logged, dropped: int) -> tuple[Array, Array]:
    """The episodes' lengths without dropped rows, and which episodes are left."""
    lengths = np.asarray(logged.lengths, np.int64)
    if dropped:
        lengths = lengths - ~logged.terminated
    kept = lengths > 0
    return lengths[kept], kept
