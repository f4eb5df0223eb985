"""Episodes of a table, and the pieces of those that have gaps: where they end, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.aliases import DONE
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.ends import lengths_of, say_ends
from vinci_offline.data.assembly.flat import flat_ends, one_number
from vinci_offline.data.assembly.lazy import blocks
from vinci_offline.data.assembly.steps import MISSING, Begins
from vinci_offline.data.columns import Column
from vinci_offline.data.episode_columns import FRAGMENT
from vinci_offline.data.piece_ends import marked_timeouts
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array, Columns


class Pieces(NamedTuple):
    """Episodes, and pieces of those that have gaps.

    Attributes:
        lengths: ``[E]`` rows of each.
        terminated: ``[E]`` whether its last row is a terminal.
        fragment: ``[E]`` whether rows of the episode are missing before or after it.
        before_gap: ``[E]`` whether steps are missing after its last row.
    """

    lengths: Array
    terminated: Array
    fragment: Array
    before_gap: Array


def pieces_of(
    columns: Mapping[str, Column], marks: Mapping[str, Array], begins: Begins | None, context: ImportContext
) -> Pieces:
    """Tell where episodes end, and how."""
    terminal, timeout = marks.get(layout.TERMINALS), marks.get(layout.TIMEOUTS)
    count = columns[layout.REWARDS].shape[0]
    if begins is None and not marks:
        begins = _each_row(count, context)
    if terminal is not None and timeout is None and begins is None:
        ends, known = flat_ends(columns, terminal, None, context)
        lengths = lengths_of(ends)
        _say_cut(~terminal[ends], context)
        return Pieces(lengths, terminal[ends], known[FRAGMENT], np.zeros(len(lengths), np.bool_))
    ends = np.append(np.zeros(count - 1, np.bool_) if begins is None else begins.rows[1:], True)
    for values in marks.values():
        ends |= values
    lengths = lengths_of(ends)
    torn, missing = _torn(lengths, begins)
    flagged = np.zeros(len(lengths), np.bool_)
    for values in marks.values():
        flagged |= values[ends]
    before_gap = np.append(torn[1:], False) & ~flagged
    fragment = torn | before_gap
    # After a flag another episode begins, whatever its steps are.
    goes_on = torn & ~np.append(False, flagged[:-1])
    if len(marks) == 2:
        fragment |= ~(marks[layout.TERMINALS] | marks[layout.TIMEOUTS])[ends]
    cut = np.zeros(len(lengths), np.bool_) if timeout is None else timeout[ends]
    if terminal is None:
        if DONE in marks:
            if undone := int((~marks[DONE][ends] & ~before_gap).sum()):
                context.decide(f"{undone} episodes end in a row that is not done: they were cut there")
            cut = cut | ~marks[DONE][ends]
        terminated = _said_ends(lengths + missing * goes_on, goes_on, context) & ~cut
        return Pieces(lengths, terminated, fragment, before_gap)
    _say_cut(~terminal[ends] & ~cut & ~before_gap, context)
    return Pieces(lengths, terminal[ends], fragment, before_gap)


def _torn(lengths: Array, begins: Begins | None) -> tuple[Array, Array]:
    """Return ``[E]``: whether steps are missing before each piece, and how many."""
    torn, missing = np.zeros(len(lengths), np.bool_), np.zeros(len(lengths), np.int64)
    if begins is not None:
        torn = begins.torn[np.cumsum(lengths) - lengths]
        missing[torn] = begins.missing
    return torn, missing


def _said_ends(steps: Array, goes_on: Array, context: ImportContext) -> Array:
    """Return which pieces terminated by the options: at most the last one of each episode.

    Args:
        steps: ``[E]`` steps of each piece, with those that are missing before it.
        goes_on: ``[E]`` whether it goes on with the episode of the piece before it.
        context: the import.
    """
    first = np.flatnonzero(~goes_on)
    ended, said = say_ends(np.add.reduceat(steps, first), context)
    context.decide(said)
    terminated = np.zeros(len(steps), np.bool_)
    terminated[np.append(first[1:], len(steps)) - 1] = ended
    return terminated


def _say_cut(cut: Array, context: ImportContext) -> None:
    if unsaid := int(cut.sum()):
        context.decide(f"{unsaid} episodes end in a row without a flag: they were cut there")


def _each_row(count: int, context: ImportContext) -> Begins:
    """Return begins of episodes where nothing tells rows of one episode from those of another."""
    if context.options.ends not in {"terminal", "timeout"}:
        raise UsageError(
            f"{context.where} has no episode, step, terminal or timeout: map them, as with --map episode=NAME; or say "
            "--ends terminal if each row is an episode of its own, as a bandit's are"
        )
    context.decide("each row is an episode of its own, since nothing tells which rows belong together")
    return Begins(np.ones(count, np.bool_), np.zeros(count, np.bool_))


def flags(column: Column, name: str, context: ImportContext) -> Array:
    """Return a column of flags as ``[N]`` booleans.

    Raises:
        DatasetError: a row is neither 0 nor 1.
    """
    column = one_number(column, f"{context.where}: {name}")
    found = np.zeros(column.shape[0], np.bool_)
    for first, block in blocks(column):
        wrong = (block != 0) & (block != 1)
        if wrong.any():
            row = int(np.argmax(wrong))
            value = block[row]
            what = (
                f"nothing in {name}: {MISSING}" if np.isnan(value) else f"{name} is {value}, neither 0 nor 1"
            )
            raise DatasetError(f"{context.where}: {context.place(first + row)}: {what}")
        found[first : first + len(block)] = block != 0
    context.afford_episodes(int(np.count_nonzero(found)))
    return found


def without_done(marks: Mapping[str, Array], context: ImportContext) -> dict[str, Array]:
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


def marked(marks: Mapping[str, Array], lengths: Array) -> Columns:
    """Return the table's flags, with a flag at the end of each episode."""
    terminals, timeouts = marks[layout.TERMINALS], marks[layout.TIMEOUTS]
    ends = np.zeros(len(terminals), np.bool_)
    ends[np.cumsum(lengths) - 1] = True
    return {layout.TERMINALS: terminals, layout.TIMEOUTS: marked_timeouts(terminals, timeouts, ends)}
