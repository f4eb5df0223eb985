"""From a table's columns to a dataset: the order of rows, episodes and their ends, and the spaces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.aliases import DONE
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import lengths_of, say_ends
from vinci_offline.data.assembly.flat import flag_column, flat_ends, one_number
from vinci_offline.data.assembly.lazy import (
    blocks,
    held,
    mapped,
    permuted,
    side_by_side,
    zeros,
)
from vinci_offline.data.assembly.logged import Logged, assemble, fitted
from vinci_offline.data.assembly.mapping import PROPENSITY, Choice, category_names, choose, listed
from vinci_offline.data.assembly.options import ImportOptions
from vinci_offline.data.assembly.order import Begins, Texts, row_order
from vinci_offline.data.assembly.parts import Parts, make_parts
from vinci_offline.data.assembly.spaces import beyond_float32, table_spec
from vinci_offline.data.columns import Column
from vinci_offline.data.dataframe import groups, plain
from vinci_offline.data.episode_columns import FRAGMENT, LENGTH
from vinci_offline.data.piece_ends import marked_timeouts
from vinci_offline.data.problem import printable
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array, Columns

if TYPE_CHECKING:
    from pandas import DataFrame

_PLACES = {"episode", "step", PROPENSITY, DONE}
_ENTRY = re.compile(r"(observation|action|next_observation)_\d+")


def from_mapped_frame(frame: DataFrame, options: ImportOptions, *, float64: bool = True) -> Parts:
    """Make the parts of a dataset from a frame of any column names, as ``options.columns`` maps them.

    Raises:
        DatasetError: a column is missing, or holds no numbers.
        UsageError: it does not tell how episodes ended, and an option must.
    """
    context = ImportContext("the frame", options)
    choice = choose([str(name) for name in frame.columns], options.columns, context.where)
    frame = frame.set_axis([str(name) for name in frame.columns], axis="columns")
    episode = choice.sources.get("episode")
    source: dict[str, Column | Texts] = {}
    for name in dict.fromkeys(choice.sources.values()):
        is_text = name == episode and frame[name].to_numpy().dtype.kind not in "biu"
        source[name] = Texts.of(frame[name].to_numpy()) if is_text else held(plain(frame[name]))
    if not len(frame):
        raise DatasetError(f"{context.where} holds no rows")
    return from_table(source, choice, context, float64=float64)


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
    categorised = _categorised(source, context)
    table = {
        name: _single(categorised[source_name], name, context)
        if name in _PLACES
        else categorised[source_name]
        for name, source_name in choice.sources.items()
    }
    columns = _columns(table, context)
    marks = {
        name: flag_column(columns.pop(name), context.where, name)
        for name in (layout.TERMINALS, layout.TIMEOUTS)
        if name in columns
    }
    if DONE in table:
        marks[DONE] = flag_column(_number_column(table, DONE, context), context.where, choice.sources[DONE])
        marks = _without_done(marks, context)
    order, begins = row_order(table, context)
    if order is not None:
        columns = {path: permuted(column, order) for path, column in columns.items()}
        marks = {path: values[order] for path, values in marks.items()}
    float64 = float64 or context.options.float64
    if context.options.spec is None and not float64:
        wide = [path for path, column in columns.items() if _is_observed(path) and beyond_float32(column)]
        if float64 := bool(wide):
            context.decide(
                f"{listed(wide)}: whole numbers that float32 would round; floats are kept as float64"
            )
    spec = table_spec(columns, context)
    columns = fitted(columns, spec)
    lengths, terminated, known = _lengths(columns, marks, begins, context)
    if len(marks) < 2 or layout.NEXT_OBSERVATIONS not in _roots(columns):
        return assemble(Logged(columns, lengths, terminated, known), spec, context, float64=float64)
    columns |= {path: held(values) for path, values in _marked(marks, lengths).items()}
    return make_parts(columns, spec, {LENGTH: lengths, **known}, context, float64=float64)


def _columns(table: Mapping[str, Column | Texts], context: ImportContext) -> dict[str, Column]:
    """Return columns by path."""
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
            f"{context.where} has no column {', '.join(missing)}: say which it is with --map {missing[0]}=NAME, or "
            f"columns= in Python{', or --set reward=zero' if missing == ['reward'] else ''}; there are {listed(table)}"
        )
    columns[layout.REWARDS] = one_number(columns[layout.REWARDS], f"{context.where}: reward")
    if PROPENSITY in table:
        columns[layout.ACTION_LOG_PROBS] = _log_probabilities(
            _number_column(table, PROPENSITY, context), context.where
        )
        context.decide("infos/action_log_probs are the logarithms of the propensities")
    return columns


def _number_column(table: Mapping[str, Column | Texts], name: str, context: ImportContext) -> Column:
    column = table[name]
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


def _without_done(marks: Mapping[str, Array], context: ImportContext) -> dict[str, Array]:
    """Return the flags without `DONE`, where another flag tells which of its ends are terminals.

    Where none does it stays, and ends episodes of a kind that the options must say.
    """
    others = {name: values for name, values in marks.items() if name != DONE}
    if len(others) == 1:
        ((known, values),) = others.items()
        other = layout.TIMEOUTS if known == layout.TERMINALS else layout.TERMINALS
        context.decide(f"an end that is done and not one of the {known} is one of the {other}")
        return {**others, other: marks[DONE] & ~values}
    return others or dict(marks)


def _count(table: Mapping[str, Column | Texts]) -> int:
    column = next(iter(table.values()))
    return (column.numbers if isinstance(column, Texts) else column).shape[0]


def _log_probabilities(propensity: Column, where: str) -> Column:
    for first, block in blocks(propensity):
        wrong = ~((block > 0) & (block <= 1))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DatasetError(f"{where}: the propensity of row {first + row} is {block[row]}, not in (0, 1]")
    return mapped(propensity, lambda block: np.log(block.astype(np.float64)), dtype=np.dtype(np.float64))


def _categorised(source: Mapping[str, Column | Texts], context: ImportContext) -> dict[str, Column | Texts]:
    """Return columns in which texts are their places among the sorted ones, where ``categories`` says so."""
    columns = dict(source)
    for name in category_names(context.options.settings):
        found = columns[name]
        texts = found if isinstance(found, Texts) else Texts.of(found.load(slice(0, found.shape[0])))
        columns[name] = texts.ranks()
        first = ", ".join(printable(text)[:16] for text in sorted(texts.texts)[:3])
        context.decide(
            f"{printable(name)}: {len(texts.texts)} texts became 0 … {len(texts.texts) - 1} in sorted order "
            f"({first} …)"
        )
    return columns


def _marked(marks: Mapping[str, Array], lengths: Array) -> Columns:
    """Return the table's flags, with a flag at the end of each episode."""
    terminals, timeouts = marks[layout.TERMINALS], marks[layout.TIMEOUTS]
    ends = np.zeros(len(terminals), np.bool_)
    ends[np.cumsum(lengths) - 1] = True
    return {layout.TERMINALS: terminals, layout.TIMEOUTS: marked_timeouts(terminals, timeouts, ends)}


def _lengths(
    columns: Mapping[str, Column], marks: Mapping[str, Array], begins: Begins | None, context: ImportContext
) -> tuple[Array, Array, Columns]:
    """Return ``[E]`` lengths of the episodes, whether each terminated, and whether it is a fragment, by name."""
    terminal, timeout = marks.get(layout.TERMINALS), marks.get(layout.TIMEOUTS)
    count = columns[layout.REWARDS].shape[0]
    if begins is None and not marks:
        begins = _each_row(count, context)
    if terminal is not None and timeout is None and begins is None:
        ends, known = flat_ends(columns, terminal, None, context)
    else:
        ends = np.append(np.zeros(count - 1, np.bool_) if begins is None else begins.rows[1:], True)
        for values in marks.values():
            ends |= values
        known = {FRAGMENT: _fragments(ends, marks, begins)}
    lengths = lengths_of(ends)
    cut = np.zeros(len(lengths), np.bool_) if timeout is None else timeout[ends]
    if terminal is None:
        terminated, said = say_ends(lengths, context)
        context.decide(said)
        if DONE in marks and (undone := int((~marks[DONE][ends]).sum())):
            cut = cut | ~marks[DONE][ends]
            context.decide(f"{undone} episodes end in a row that is not done: they were cut there")
        return lengths, terminated & ~cut, known
    if unsaid := int((~terminal[ends] & ~cut).sum()):
        context.decide(f"{unsaid} episodes end in a row without a flag: they were cut there")
    return lengths, terminal[ends], known


def _fragments(ends: Array, marks: Mapping[str, Array], begins: Begins | None) -> Array:
    """Return ``[E]``: whether steps of the episode are missing, or the table has both flags and neither ends it."""
    last = np.flatnonzero(ends)
    fragment = np.zeros(len(last), np.bool_)
    if len(marks) == 2:
        fragment |= ~(marks[layout.TERMINALS] | marks[layout.TIMEOUTS])[last]
    if begins is not None:
        torn = begins.torn[np.append(0, last[:-1] + 1)]
        fragment |= torn | np.append(torn[1:], False)
    return fragment


def _each_row(count: int, context: ImportContext) -> Begins:
    """Return begins of episodes where nothing tells rows of one episode from those of another."""
    if context.options.ends not in {"terminal", "timeout"}:
        raise UsageError(
            f"{context.where} has no episode, step, terminal or timeout: map them, as with --map episode=NAME; or say "
            "--ends terminal if each row is an episode of its own, as a bandit's are"
        )
    context.decide("each row is an episode of its own, since nothing tells which rows belong together")
    return Begins(np.ones(count, np.bool_), np.zeros(count, np.bool_))


def _is_observed(path: str) -> bool:
    return path.partition("/")[0] in {layout.OBSERVATIONS, layout.NEXT_OBSERVATIONS}


def _roots(columns: Mapping[str, Column]) -> set[str]:
    return {path.partition("/")[0] for path in columns}
