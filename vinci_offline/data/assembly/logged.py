"""From logged rows to a dataset: next observations, flags, and dropped rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import held, picked, reshaped, shared
from vinci_offline.data.assembly.parts import Parts, make_parts
from vinci_offline.data.columns import Column
from vinci_offline.data.episode_columns import LENGTH
from vinci_offline.errors import DatasetError
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.types import Array

NEXT_ROW = "next observations are those of the following rows"
OWN_STANDS_IN = (
    "the last row of a terminated episode has no next observation: its own stands in, and nothing is bootstrapped "
    "from it"
)
BEFORE_GAP = "rows before a gap in the steps, without a next observation"
CUT = "last rows of episodes that timed out, without a next observation"


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
        before_gap: ``[E]`` whether rows of the source are missing after its last row; None where none are.
    """

    columns: Mapping[str, Column]
    lengths: Array
    terminated: Array
    episodes: Mapping[str, Array] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    environment: str | None = None
    environment_kwargs: Mapping[str, Any] = field(default_factory=dict)
    before_gap: Array | None = None


class KeptRows:
    """The first rows of each episode, numbered from zero; maps them to rows of the source.

    Args:
        lengths: ``[E]`` rows of each episode in the source.
        kept: ``[E]`` how many of them are kept; an episode of which none is kept is left out.
    """

    def __init__(self, lengths: Array, kept: Array) -> None:
        self.count = int(kept.sum())
        first, some = np.cumsum(lengths) - lengths, kept > 0
        self._start = (np.cumsum(kept) - kept)[some]
        self._ahead = first[some] - self._start

    def __call__(self, rows: slice) -> Array:
        """Return the rows of the source, ascending."""
        numbers = np.arange(rows.start, rows.stop)
        episodes = np.searchsorted(self._start, numbers, "right") - 1
        return np.asarray(numbers + self._ahead[episodes])

    def of(self, column: Column) -> Column:
        """Return the kept rows of a column."""
        return picked(column, self.count, self)

    def after(self, column: Column, own: Array | None = None) -> Column:
        """Return the rows that follow the kept ones.

        Args:
            column: the source.
            own: ``[N]`` marks of kept rows that nothing follows: their own values stand in.
        """

        def sources(rows: slice) -> Array:
            return self(rows) + (1 if own is None else ~own[rows])

        return picked(column, self.count, sources)


def fitted(columns: Mapping[str, Column], spec: EnvironmentSpec | None) -> dict[str, Column]:
    """Return columns in which one number a row is written as the spec's spaces have it: ``[N]`` or ``[N, 1]``."""
    slots = layout.spec_slots(spec) if spec else {}
    found = dict(columns)
    for path in set(found) & set(slots):
        rows, wanted = found[path].shape[1:], slots[path].shape
        if (rows, wanted) in {((1,), ()), ((), (1,))}:
            found[path] = reshaped(found[path], wanted)
    return found


def assemble(
    logged: Logged, spec: EnvironmentSpec | None, context: ImportContext, *, float64: bool = False
) -> Parts:
    """Make the parts of a dataset from logged rows.

    Args:
        logged: the rows.
        spec: the environment; Box spaces of the columns' shapes are inferred where it is None.
        context: the import.
        float64: keep float64 columns.

    Raises:
        DatasetError: nothing is left, columns do not fit each other or the spaces, or the spec must be given.
    """
    context.check_bad(len(logged.lengths))
    if not len(logged.lengths):
        raise DatasetError(f"{context.where} holds no rows: there is nothing to convert")
    context.afford_episodes(len(logged.lengths))
    columns = _one_length(logged.columns, int(logged.lengths.sum()), context)
    is_complete = any(path.partition("/")[0] == layout.NEXT_OBSERVATIONS for path in columns)
    lengths = np.asarray(logged.lengths, np.int64)
    kept = lengths if is_complete else lengths - ~logged.terminated
    some = kept > 0
    if not some.any():
        raise DatasetError(
            f"{context.where}: no row is left once those without a next observation are dropped"
        )
    last = np.cumsum(kept[some]) - 1
    flags = {}
    for path, ends in ((layout.TERMINALS, logged.terminated), (layout.TIMEOUTS, ~logged.terminated)):
        flags[path] = np.zeros(int(kept.sum()), np.bool_)
        flags[path][last] = ends[some]
    if not is_complete:
        columns = _with_next(columns, KeptRows(lengths, kept), flags[layout.TERMINALS])
        context.decide(NEXT_ROW)
        if logged.terminated.any():
            context.decide(OWN_STANDS_IN)
        gaps = 0 if logged.before_gap is None else int((logged.before_gap & ~logged.terminated).sum())
        context.drop(gaps, BEFORE_GAP)
        context.drop(int((~logged.terminated).sum()) - gaps, CUT)
    elif logged.before_gap is not None and (gaps := int((logged.before_gap & ~logged.terminated).sum())):
        context.decide(f"{gaps} rows before a gap in the steps are timeouts")
    columns = fitted(columns, spec)  # a choice or a number a row, which many tools keep as a column
    columns |= {path: held(values) for path, values in flags.items()}
    episodes = {LENGTH: kept[some], **{name: values[some] for name, values in logged.episodes.items()}}
    parts = make_parts(columns, spec, episodes, context, logged.attributes, float64=float64)
    if spec is None:
        named = replace(parts.spec, id=logged.environment, kwargs=logged.environment_kwargs)
        parts = replace(parts, spec=named)
    return parts


def _with_next(columns: Mapping[str, Column], kept: KeptRows, terminals: Array) -> dict[str, Column]:
    """Return the kept rows of columns, and next observations: those of the following rows."""
    found = {}
    for path, column in columns.items():
        if path.partition("/")[0] == layout.OBSERVATIONS:
            source = shared(column)
            found[f"next_{path}"] = kept.after(source, own=terminals)
            found[path] = kept.of(source)
        else:
            found[path] = kept.of(column)
    return found


def _one_length(columns: Mapping[str, Column], count: int, context: ImportContext) -> dict[str, Column]:
    """Return the columns, if each has a row for each row of the episodes."""
    if wrong := {path: column.shape[0] for path, column in columns.items() if column.shape[0] != count}:
        path = next(iter(wrong))
        raise DatasetError(f"{context.where}: {path} has {wrong[path]} rows, and the episodes have {count}")
    return dict(columns)
