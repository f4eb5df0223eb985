"""From a table's columns to a dataset: the order of rows, episodes and their ends, and the spaces."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly import bounds
from vinci_offline.data.assembly.actions import CONTINUOUS
from vinci_offline.data.assembly.aliases import DONE
from vinci_offline.data.assembly.bad_rows import without_repeated
from vinci_offline.data.assembly.categories import categorised
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.flat import one_number
from vinci_offline.data.assembly.lazy import (
    blocks,
    held,
    mapped,
    permuted,
    side_by_side,
    zeros,
)
from vinci_offline.data.assembly.logged import Logged, assemble, fitted
from vinci_offline.data.assembly.mapping import PROPENSITY, Choice, listed
from vinci_offline.data.assembly.moments import OBSERVED, entries_with_times, in_seconds, since_first_rows
from vinci_offline.data.assembly.order import row_order
from vinci_offline.data.assembly.parts import Parts, make_parts
from vinci_offline.data.assembly.pieces import flags, marked, pieces_of, without_done
from vinci_offline.data.assembly.spaces import beyond_float32, table_spec
from vinci_offline.data.assembly.texts import Texts
from vinci_offline.data.columns import Column
from vinci_offline.data.dataframe import groups
from vinci_offline.data.episode_columns import FRAGMENT, LENGTH
from vinci_offline.errors import DatasetError
from vinci_offline.text import did_you_mean, printable

_PLACES = {"episode", "step", PROPENSITY, DONE}
_ENTRY = re.compile(r"(observation|action|next_observation)_\d+")


def from_table(
    source: Mapping[str, Column | Texts], choice: Choice, context: ImportContext, *, float64: bool = False
) -> Parts:
    """Make the parts of a dataset from a table.

    Rows are put in the order of ``episode`` and ``step``. Where the table has next observations and both flags, all
    is as it says; otherwise `assemble` does the rest.

    Args:
        source: the chosen columns by the source's names, ``[N]`` or ``[N, …]``; those of ``categories`` and
            ``episode`` may be texts.
        choice: what they are.
        context: the import.
        float64: keep float64 columns.

    Raises:
        DatasetError: a column is missing, or does not fit the others or the spaces.
        UsageError: the table does not tell how episodes ended, and an option must.
    """
    for note in choice.notes():
        context.decide(note)
    source = without_repeated(source, choice, context)
    numbers, codes = categorised(source, choice, context)
    table = {
        name: _single(numbers[source_name], name, context) if name in _PLACES else numbers[source_name]
        for name, source_name in choice.sources.items()
    }
    columns = _columns(table, choice, context)
    marks = {
        path: flags(columns.pop(path), printable(choice.sources[name]), context)
        for path, name in ((layout.TERMINALS, "terminal"), (layout.TIMEOUTS, "timeout"))
        if path in columns
    }
    if DONE in table:
        marks[DONE] = flags(_number_column(table, DONE, context), printable(choice.sources[DONE]), context)
        marks = without_done(marks, context)
    order, begins = row_order(table, context)
    if order is not None:
        columns = {path: permuted(column, order) for path, column in columns.items()}
        marks = {path: values[order] for path, values in marks.items()}
        context.reorder(order)
    float64 = float64 or context.options.float64
    if context.options.spec is None and not float64:
        wide = [
            path for path, column in columns.items() if _is_float(path, context) and beyond_float32(column)
        ]
        if float64 := bool(wide):
            context.decide(
                f"{listed(wide)}: whole numbers that float32 would round; floats are kept as float64"
            )
    spec = table_spec(columns, context)
    columns = fitted(columns, spec)
    pieces = pieces_of(columns, marks, begins, context)
    times = entries_with_times({name: column for name, column in table.items() if name not in _PLACES})
    columns = since_first_rows(columns, times, pieces.lengths, context)
    spec = bounds.bounded(spec, columns, context, float64=float64)
    attributes = {layout.ATTRIBUTE_CATEGORIES: codes} if codes else {}
    if len(marks) < 2 or layout.NEXT_OBSERVATIONS not in _roots(columns):
        logged = Logged(
            columns,
            pieces.lengths,
            pieces.terminated,
            {FRAGMENT: pieces.fragment},
            attributes,
            before_gap=pieces.before_gap,
        )
        return assemble(logged, spec, context, float64=float64)
    columns |= {path: held(values) for path, values in marked(marks, pieces.lengths).items()}
    episodes = {LENGTH: pieces.lengths, FRAGMENT: pieces.fragment}
    return make_parts(columns, spec, episodes, context, attributes, float64=float64)


def _columns(
    table: Mapping[str, Column | Texts], choice: Choice, context: ImportContext
) -> dict[str, Column]:
    """Return columns by path."""
    table = {
        name: in_seconds(column, name, choice.sources[name], context)
        if isinstance(column, Column) and column.dtype.kind in "mM" and OBSERVED.fullmatch(name)
        else column
        for name, column in table.items()
    }
    columns: dict[str, Column] = {}
    for path, members, is_vector in groups([name for name in table if name not in _PLACES], deep=True):
        parts = [_number_column(table, name, context) for name in members]
        columns[path] = side_by_side(parts) if is_vector and _is_spread(parts) else parts[0]
    for name in table:
        if _ENTRY.fullmatch(name) and f"{layout.INFOS}/{name}" in columns:
            raise DatasetError(
                f"{context.where} has {name} without all of those before it: entries count from _0 on"
            )
    if layout.REWARDS not in columns and context.setting("reward") == "zero":
        columns[layout.REWARDS] = zeros(_count(table))
        context.decide("rewards are zero, as --set reward says")
    named = {layout.OBSERVATIONS: "observation", layout.ACTIONS: "action", layout.REWARDS: "reward"}
    if missing := [name for root, name in named.items() if root not in _roots(columns)]:
        raise DatasetError(
            f"{context.where} has no column {', '.join(missing)}: say which it is with --map {missing[0]}=NAME"
            f"{', or --set reward=zero' if missing == ['reward'] else ''}; there are {listed(table)}"
            f"{did_you_mean(missing[0], table)}"
        )
    columns[layout.REWARDS] = one_number(columns[layout.REWARDS], f"{context.where}: reward")
    if PROPENSITY in table:
        columns[layout.ACTION_LOG_PROBS] = _log_probabilities(
            _number_column(table, PROPENSITY, context), context
        )
        context.decide("infos/action_log_probs are the logarithms of the propensities")
    return columns


def _number_column(table: Mapping[str, Column | Texts], name: str, context: ImportContext) -> Column:
    column = table[name]
    if isinstance(column, Column) and column.dtype.kind not in "biuf":
        raise DatasetError(
            f"{context.where}: {printable(name)} holds dates or times, not numbers: map it to step or an observation"
        )
    if isinstance(column, Texts):
        raise DatasetError(
            f"{context.where}: {printable(name)} holds texts, not numbers: map another column, or say --set "
            "categories=NAME if texts stand for choices"
        )
    return column


def _is_spread(parts: list[Column]) -> bool:
    """Tell whether columns are joined to vectors; one alone that holds arrays is kept as it is."""
    return len(parts) > 1 or len(parts[0].shape) == 1


def _single(column: Column | Texts, name: str, context: ImportContext) -> Column | Texts:
    return column if isinstance(column, Texts) else one_number(column, f"{context.where}: {name}")


def _count(table: Mapping[str, Column | Texts]) -> int:
    column = next(iter(table.values()))
    return (column.numbers if isinstance(column, Texts) else column).shape[0]


def _log_probabilities(propensity: Column, context: ImportContext) -> Column:
    for first, block in blocks(propensity):
        wrong = ~((block > 0) & (block <= 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            place = context.place(first + row)
            raise DatasetError(f"{context.where}: the propensity of {place} is {block[row]}, not in (0, 1]")
    return mapped(propensity, lambda block: np.log(block.astype(np.float64)), dtype=np.dtype(np.float64))


def _is_float(path: str, context: ImportContext) -> bool:
    """Return whether whole numbers of a column are taken as floats."""
    if path == layout.ACTIONS:
        return context.setting("actions") == CONTINUOUS
    return path.partition("/")[0] in {layout.OBSERVATIONS, layout.NEXT_OBSERVATIONS}


def _roots(columns: Mapping[str, Column]) -> set[str]:
    return {path.partition("/")[0] for path in columns}
