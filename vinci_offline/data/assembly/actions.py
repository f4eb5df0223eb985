"""The setting ``actions`` of a table: numbers of choices, amounts, or one column for each choice."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import blocks, held, mapped
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.inference import infer_spec
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec, MultiDiscreteSpace
from vinci_offline.types import Array

CONTINUOUS, ONE_HOT = "continuous", "one-hot"
ASK = (
    "say --set actions=N if they are choices 0 … N - 1 (A..B if they count from A, N,N for several at once), "
    "--set actions=continuous if they are amounts, --set actions=one-hot if each column is a choice, or --env ENV"
)
_RANGE = re.compile(r"(-?\d{1,9})\.\.(-?\d{1,9})")
_MOST_CHOICES = 2**31

Choices: TypeAlias = DiscreteSpace | MultiDiscreteSpace


def counted_actions(text: str, columns: Mapping[str, Column]) -> EnvironmentSpec:
    """Return the spec of observations as they are, and of as many choices as ``--set actions=N`` says.

    Args:
        text: ``N``, ``A..B``, or several of these by commas for as many choices at once.
        columns: observations by path.

    Raises:
        UsageError: ``text`` is no such thing.
    """
    observed = {
        path: column for path, column in columns.items() if path.partition("/")[0] == layout.OBSERVATIONS
    }
    space = choices(text)
    stand_in = {layout.ACTIONS: held(np.zeros((1, 1), np.float32))}
    return replace(infer_spec(LazyColumns({**observed, **stand_in})), action_space=space)


def choices(text: str) -> Choices:
    """Return the space that ``N``, ``A..B``, or several of these name.

    Raises:
        UsageError: ``text`` is no such thing.
    """
    parts = [_one(part.strip()) for part in text.split(",")]
    ranges = [part for part in parts if part is not None]
    if len(ranges) < len(parts):
        raise UsageError(
            f"--set actions={text}: give the number of choices, as in actions=2, actions=1..5 where they count from 1, "
            f"or actions=20,20 for two choices at once; {CONTINUOUS} for amounts, {ONE_HOT} for a column a choice"
        )
    if len(ranges) == 1:
        low, high = ranges[0]
        return DiscreteSpace(high - low + 1, low)
    low, high = np.array(ranges, np.int64).T
    return MultiDiscreteSpace((len(ranges),), "int64", low, high)


def from_one(space: Choices, text: str, actions: Column, context: ImportContext) -> Choices:
    """Return the choices 1 … N in place of 0 … N - 1 where the column has N, and no 0."""
    if not isinstance(space, DiscreteSpace) or not text.isdecimal():
        return space
    found = [(block.min(), block.max()) for _, block in blocks(actions)]
    if min(low for low, _ in found) < 1 or max(high for _, high in found) != space.n:
        return space
    context.decide(f"actions are the choices 1 … {space.n}: {space.n} is among them, and 0 is not")
    return DiscreteSpace(space.n, 1)


def check_choices(actions: Column, space: Choices, context: ImportContext) -> None:
    """Check that actions are elements of a space of choices.

    Raises:
        DatasetError: it names the first row that is none, or the number of columns.
    """
    if isinstance(space, DiscreteSpace):
        low, high, width = np.array(space.start), np.array(space.start + space.n - 1), 1
    else:
        low, high, width = space.low, space.high, space.dim
    columns = int(np.prod(actions.shape[1:], dtype=np.int64))
    if columns != width:
        raise DatasetError(
            f"{context.where}: an action has {columns} columns, and the choices are {width}: say --set actions=N,N, a "
            "number for each column, or --set actions=one-hot if each column is a choice"
        )
    for first, block in blocks(actions):
        flat = block.reshape(len(block), width)
        wrong = ((flat < low) | (flat > high) | (flat != np.trunc(flat))).any(axis=1)
        if wrong.any():
            row = int(np.argmax(wrong))
            column = int(
                np.argmax((flat[row] < low) | (flat[row] > high) | (flat[row] != np.trunc(flat[row])))
            )
            bounds = np.broadcast_to(low, width)[column], np.broadcast_to(high, width)[column]
            advice = (
                "say --set actions=A..B with the least and the greatest, or --set categories=NAME to number others"
                if context.options.spec is None
                else "check --env"
            )
            raise DatasetError(
                f"{context.where}: the action of {context.place(first + row)} is {flat[row, column]}, "
                f"not of {bounds[0]} … {bounds[1]}: {advice}"
            )


def one_hot(actions: Column, start: int, context: ImportContext) -> Column:
    """Return ``[N]`` choices of ``[N, K]`` columns, one of which is 1 in each row.

    Raises:
        DatasetError: a row has another number of ones, or other numbers.
    """
    if len(actions.shape) != 2:
        raise UsageError(f"{context.where}: --set actions=one-hot, and there is one column of actions alone")
    for first, block in blocks(actions):
        wrong = ~_is_one_hot(block)
        if wrong.any():
            raise DatasetError(
                f"{context.where}: the action of {context.place(first + int(np.argmax(wrong)))} is not one-hot: one "
                "column must be 1, and the others 0"
            )
    context.decide(f"actions are {actions.shape[1]} choices: the place of the column that is 1")
    return mapped(
        actions,
        lambda block: block.argmax(axis=1).astype(np.int64) + start,
        rows=(),
        dtype=np.dtype(np.int64),
    )


def looks_one_hot(actions: Column) -> bool:
    """Return whether several columns are one-hot in every row, and not the same in all."""
    if len(actions.shape) != 2 or actions.shape[1] < 2:
        return False
    seen = np.zeros(actions.shape[1], np.int64)
    for _, block in blocks(actions):
        if not _is_one_hot(block).all():
            return False
        seen += (block != 0).sum(axis=0)
    return int((seen > 0).sum()) > 1


def _is_one_hot(block: Array) -> Array:
    return np.asarray(((block == 0) | (block == 1)).all(axis=1) & ((block != 0).sum(axis=1) == 1))


def _one(text: str) -> tuple[int, int] | None:
    """Return the least and the greatest choice."""
    if match := _RANGE.fullmatch(text):
        low, high = int(match[1]), int(match[2])
    elif text.isdecimal() and len(text) < 11:
        low, high = 0, int(text) - 1
    else:
        return None
    return (low, high) if low <= high < _MOST_CHOICES else None
