"""The meaning of a step column: consecutive numbers, in which one can be missing, or an order alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, NoReturn, TypeAlias, cast

import numpy as np

from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import blocks, mapped, read
from vinci_offline.data.columns import Column
from vinci_offline.data.episodes import are_whole_numbers as whole_numbers
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array

Meaning: TypeAlias = Literal["number", "order"]
"""``number``: steps are counted, and a missing number is a gap in the log. ``order``: they only order rows."""

_SETTING = "step"
_ASK = (
    "say --set step=order if they only order rows, as times do, or --set step=number if numbers that are missing are "
    "gaps in the log"
)


@dataclass(frozen=True)
class Begins:
    """Marks of the rows that begin an episode.

    Attributes:
        rows: ``[N]`` whether the row begins an episode, or a piece of one.
        torn: ``[N]`` whether the steps just before it are missing, so that pieces of one episode meet here.
        missing: ``[K]`` how many steps are missing before each of the K torn rows.
    """

    rows: Array
    torn: Array
    missing: Array = field(default_factory=lambda: np.zeros(0, np.int64))


class Steps(NamedTuple):
    """A step column in numbers that can be subtracted.

    Attributes:
        numbers: ``[N]`` whole numbers, or floats; times are nanoseconds.
        meaning: what the user says of it; None where nothing is said.
        show: returns a step as the source writes it.
    """

    numbers: Column
    meaning: Meaning | None
    show: Callable[[int], str]


def steps_of(column: Column, context: ImportContext) -> Steps:
    """Return the steps of a column of numbers or times, and what they mean.

    Raises:
        DatasetError: a step is NaN or infinite, or not a time.
        UsageError: the setting has another value, or counts times.
    """
    said = context.setting(_SETTING)
    if said not in {None, "number", "order"}:
        raise UsageError(f"--set step={said}: there are number and order")
    meaning = cast("Meaning | None", said)

    def show(row: int) -> str:
        return str(read(column, slice(row, row + 1))[0])

    for first, block in blocks(column):
        wrong = np.isnat(block) if block.dtype.kind in "mM" else ~np.isfinite(block)
        if wrong.any():
            row = first + int(np.argmax(wrong))
            raise DatasetError(f"{context.where}: {context.place(row)}: the step is {show(row)}: {MISSING}")
    if column.dtype.kind in "mM":
        if meaning == "number":
            raise UsageError(
                f"{context.where}: the steps are dates or times, which only order rows: say --set step=order"
            )
        meaning = "order"
        nanoseconds = np.dtype(f"{column.dtype.kind}8[ns]")
        numbers = mapped(
            column, lambda block: block.astype(nanoseconds).view(np.int64), dtype=np.dtype(np.int64)
        )
        return Steps(numbers, meaning, show)
    if column.dtype.kind in "bu":
        column_of_signs = mapped(column, lambda block: block.astype(np.int64), dtype=np.dtype(np.int64))
        return Steps(column_of_signs, meaning, show)
    return Steps(column, meaning, show)


MISSING = "write it into the file, or leave the row out"
"""The advice for a row without something that cannot be made up."""


def gaps(
    steps: Column, meaning: Meaning | None, begins: Array, context: ImportContext, *, is_alone: bool
) -> Begins:
    """Return begins of episodes: those that there are, and rows before which steps are missing or start again.

    Args:
        steps: ``[N]``, ascending within the episodes that ``begins`` tells.
        meaning: what the user says of them.
        begins: ``[N]`` marks of rows that begin an episode.
        context: the import.
        is_alone: whether steps alone tell episodes: one begins where they do not ascend.

    Raises:
        UsageError: whole numbers are not consecutive, and nothing was said.
    """
    torn = np.zeros_like(begins)
    if is_alone:
        begins = begins.copy()
        for first, difference in differences(steps):
            begins[first : first + len(difference)] |= difference <= 0
    if meaning == "order":
        said = context.setting(_SETTING) is not None
        reason = ", as --set step=order says" if said else ": it holds dates or times"
        context.decide(f"the step only orders rows{reason}")
        return Begins(begins, torn)
    if not all(whole_numbers(block) for _, block in blocks(steps)):
        if meaning == "number":
            raise UsageError(
                f"{context.where}: --set step=number, and the steps are no whole numbers: say --set step=order"
            )
        context.decide("the step only orders rows: its numbers are not whole")
        return Begins(begins, torn)
    least = _least(steps, begins)
    if least is None:
        return Begins(begins, torn)
    missing = []
    for first, difference in differences(steps):
        rows = slice(first, first + len(difference))
        jumps = ~begins[rows] & (difference != least)
        if meaning is None and jumps.any():
            _ask(steps, first + int(np.argmax(jumps)), least, context)
        torn[rows] = jumps
        missing.append((difference[jumps] // least - (difference[jumps] % least == 0)).astype(np.int64))
    if torn.any():
        context.decide(f"{int(torn.sum())} episodes are cut where steps are missing")
    return Begins(begins | torn, torn, np.concatenate(missing) if missing else np.zeros(0, np.int64))


def differences(column: Column) -> Iterator[tuple[int, Array]]:
    """Yield blocks of ``row t - row t - 1``, each with its first row t."""
    last: Array | None = None
    for first, block in blocks(column):
        joined = block if last is None else np.concatenate([last, block])
        if len(joined) > 1:
            yield (1 if last is None else first), np.diff(joined)
        last = block[-1:]


def _least(steps: Column, begins: Array) -> float | None:
    """Return the least difference of two steps of one episode; None if no episode has two."""
    least = None
    for first, difference in differences(steps):
        within = difference[~begins[first : first + len(difference)]]
        if len(within):
            least = within.min() if least is None else min(least, within.min())
    return least


def _ask(steps: Column, row: int, least: float, context: ImportContext) -> NoReturn:
    before, after = read(steps, slice(row - 1, row + 1))
    raise UsageError(
        f"{context.where}: the steps are whole numbers that do not follow each other at one distance ({after} after "
        f"{before}, and others {least} apart): {_ASK}"
    )
