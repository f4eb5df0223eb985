"""Whether a file is sound: its structure, its values, and what they say of each other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import inconsistencies, returns
from vinci_offline.data.problem import Problem
from vinci_offline.data.shipped import resolve
from vinci_offline.data.structure import Structure, inspect
from vinci_offline.errors import DatasetError
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.types import Array

_RECORD_AGAIN = "record the data again, or leave these rows out (Dataset.rows)"


def validate(path: str | os.PathLike[str], spec: EnvironmentSpec | None = None) -> list[Problem]:
    """Every problem of a file; an empty list says that it is sound.

    Structural problems are all told; values are looked at only where there are none. Reads every column in
    blocks.

    Args:
        path: the file, or a shipped dataset's name.
        spec: the environment, for a file that does not tell it.

    Raises:
        DatasetError: the file is missing or cannot be opened as HDF5.
    """
    structure = inspect(resolve(path))
    if structure.problems:
        return list(structure.problems)
    try:
        dataset = Dataset.open(structure.path, spec=spec)
    except DatasetError as error:
        return [Problem("environment", str(error), "see docs/format.md")]
    problems: list[Problem] = []
    # Each check reads the file anew: damage that only reading finds ends the one, not the others.
    checks: tuple[Callable[[Dataset, Structure], Iterator[Problem]], ...] = (
        _finite,
        _inside_spaces,
        _flags,
        _episodes,
        _continuity,
        _content_hash,
    )
    for check in checks:
        try:
            problems += check(dataset, structure)
        except DatasetError as error:
            problem = Problem("file", str(error), "restore the file from a copy")
            problems += [problem] if problem not in problems else []
    return problems


def _finite(dataset: Dataset, structure: Structure) -> Iterator[Problem]:
    for path in dataset.columns:
        if (found := dataset.columns.non_finite(path)) is not None:
            first, count = found
            what = f"{_rows(count)} with NaN or infinite values"
            yield Problem(f"{path} row {first}", what, _RECORD_AGAIN)


def _inside_spaces(dataset: Dataset, structure: Structure) -> Iterator[Problem]:
    """Actions and Discrete observations; a Box observation's bounds are often only nominal."""
    for path, slot in layout.spec_slots(dataset.spec).items():
        space = slot.space
        if space is None or (isinstance(space, BoxSpace) and path != layout.ACTIONS):
            continue
        first, count = _first(
            (start, _outside(block, space)) for start, block in dataset.columns.blocks(path)
        )
        if count:
            value = dataset.columns.read(path, slice(first, first + 1))[0]
            what = (
                f"{_rows(count)} outside the space, here {np.array2string(value, precision=4, threshold=8)}"
            )
            advice = "clip them as the environment did, or correct the spec"
            yield Problem(f"{path} row {first}", what, advice)


def _outside(block: Array, space: BoxSpace | DiscreteSpace) -> Array:
    if isinstance(space, DiscreteSpace):
        return np.asarray((block < space.start) | (block >= space.start + space.n))
    # One float32 rounding step beyond a bound is no fault of the data; NaN is told elsewhere.
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    slack = 1e-6 * np.maximum(1.0, np.maximum(_finite_size(low), _finite_size(high)))
    wrong = (block < low - slack) | (block > high + slack)
    return _any(wrong)


def _finite_size(bound: Array) -> Array:
    return np.where(np.isfinite(bound), np.abs(bound), 0.0)


def _flags(dataset: Dataset, structure: Structure) -> Iterator[Problem]:
    timeouts = dataset.columns.blocks(layout.TIMEOUTS)
    terminals = dataset.columns.blocks(layout.TERMINALS)
    first, count = _first(
        (start, ended & cut) for (start, ended), (_, cut) in zip(terminals, timeouts, strict=True)
    )
    if count:
        what = f"{_rows(count)} both terminal and timeout"
        advice = "a terminal row has no future: clear its timeout"
        yield Problem(f"{layout.TERMINALS}, {layout.TIMEOUTS} row {first}", what, advice)


def _episodes(dataset: Dataset, structure: Structure) -> Iterator[Problem]:
    table = structure.episodes
    if not table:
        return
    advice = f"remove {layout.EPISODES}: it can be derived from the flags"
    wrong = inconsistencies(table, structure.rows)
    yield from (Problem(layout.EPISODES, what, advice) for what in wrong)
    if wrong:
        return
    start, length = table["start"], table["length"]
    last = start + length - 1
    for name, path in (("terminated", layout.TERMINALS), ("truncated", layout.TIMEOUTS)):
        if name not in table:
            continue
        differ = table[name].astype(np.bool_) != dataset.columns[path][last]
        if differ.any():
            what = f"{_episodes_text(differ)} differ from {path} in their last row"
            yield Problem(f"{layout.EPISODES}/{name} episode {int(np.argmax(differ))}", what, advice)
    inner = dataset.columns[layout.TERMINALS] | dataset.columns[layout.TIMEOUTS]
    inner[last] = False
    if inner.any():
        row = int(np.argmax(inner))
        what = f"{_rows(int(inner.sum()))} where an episode ends, yet the table goes on"
        yield Problem(f"{layout.EPISODES} row {row}", what, advice)
    if "return" in table:
        yield from _returns(dataset, table["return"], start, length, advice)


def _returns(dataset: Dataset, stored: Array, start: Array, length: Array, advice: str) -> Iterator[Problem]:
    rewards = dataset.columns[layout.REWARDS]
    sums = returns(rewards, start)
    # Environments reward in float64 and files keep float32: each row may be off by half a rounding step.
    slack = 1e-6 * (returns(np.abs(rewards), start) + np.abs(stored)) + 1e-6
    with np.errstate(invalid="ignore"):
        differ = (np.abs(sums - stored) > slack) & np.isfinite(sums)
    if differ.any():
        index = int(np.argmax(differ))
        here = f"{stored[index]:g} and {sums[index]:g}"
        what = f"{_episodes_text(differ)} differ from their rewards' sum, here {here}"
        yield Problem(f"{layout.EPISODES}/return episode {index}", what, advice)


def _continuity(dataset: Dataset, structure: Structure) -> Iterator[Problem]:
    """Within an episode each next observation is the following row's observation."""
    if not structure.episodes and (structure.native or layout.TIMEOUTS not in structure.columns):
        return  # Nothing says that one row follows from the one before.
    table = dataset.episode_columns
    follows = np.ones(len(dataset), np.bool_)
    follows[table["start"] + table["length"] - 1] = False
    follows &= ~(dataset.columns[layout.TERMINALS] | dataset.columns[layout.TIMEOUTS])
    for path in dataset.columns:
        if path.partition("/")[0] != layout.NEXT_OBSERVATIONS:
            continue
        twin = path.removeprefix("next_")
        first, count = _first(
            (start, follows[start : start + len(block)] & _breaks(dataset, twin, start, block))
            for start, block in dataset.columns.blocks(path)
        )
        if count:
            what = f"{_rows(count)} not followed by the observation they lead to, though the episode goes on"
            advice = "mark episode ends in timeouts, or record the data again"
            yield Problem(f"{path} row {first}", what, advice)


def _breaks(dataset: Dataset, path: str, start: int, following: Array) -> Array:
    """Where ``following`` is not the observation one row on; the last row of all has none."""
    observed = dataset.columns.read(path, slice(start + 1, min(start + 1 + len(following), len(dataset))))
    differ = np.zeros(len(following), np.bool_)
    unequal = _any(following[: len(observed)] != observed)
    rows = np.flatnonzero(unequal)
    close = np.isclose(following[rows], observed[rows], rtol=1e-5, atol=1e-6, equal_nan=True)
    differ[rows] = _any(~close)
    return differ


def _content_hash(dataset: Dataset, structure: Structure) -> Iterator[Problem]:
    if structure.content_hash is not None and dataset.compute_hash() != structure.content_hash:
        what = "the columns are not those that were written"
        yield Problem("attribute 'content_hash'", what, "restore the file from a copy, or save it anew")


def _first(blocks: Iterator[tuple[int, Array]]) -> tuple[int, int]:
    """The first row that is marked, and how many are; blocks of marks come with their first row."""
    first, count = -1, 0
    for start, marks in blocks:
        if first < 0 and marks.any():
            first = start + int(np.argmax(marks))
        count += int(np.count_nonzero(marks))
    return first, count


def _any(marks: Array) -> Array:
    """Which rows hold a mark."""
    return np.asarray(marks.any(axis=tuple(range(1, marks.ndim))))


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _episodes_text(marks: Array) -> str:
    count = int(np.count_nonzero(marks))
    return "1 episode" if count == 1 else f"{count} episodes"
