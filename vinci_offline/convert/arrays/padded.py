"""Padded arrays of episode x time x dimension, with the length of each episode or a mask of its steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vinci_offline.convert.arrays.episode_rows import EpisodeRows
from vinci_offline.data.assembly.aliases import LENGTHS, MASKS, root_of
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import read, whole
from vinci_offline.data.assembly.mapping import Choice
from vinci_offline.data.assembly.parts import Parts
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import printable
from vinci_offline.types import Array

PADDING = "padding"
"""The setting that says that nothing is padded: ``padding=none``."""


def padded_shape(columns: Mapping[str, Column], choice: Choice) -> tuple[int, int] | None:
    """Return the numbers of episodes and of steps in padded arrays; None if the arrays are no such.

    Rewards of several steps a row tell it; without rewards, actions of three axes do.
    """
    by_root = {root_of(target): columns[name].shape for target, name in choice.sources.items()}
    observed, rewards, actions = (by_root.get(root, ()) for root in ("observation", "reward", "action"))
    grid = rewards[:2] if rewards else actions[:2] if len(actions) == 3 else ()
    if len(grid) < 2 or len(observed) < 2 or grid[1] < 2 or actions[:2] != grid:
        return None
    count, steps = grid
    return (count, steps) if observed[0] == count and observed[1] in {steps, steps + 1} else None


def read_padded(
    columns: Mapping[str, Column], mapping: Mapping[str, str], grid: tuple[int, int], context: ImportContext
) -> Parts:
    """Return the parts of a dataset of padded arrays.

    Raises:
        DatasetError: a length or mask does not fit the arrays.
        UsageError: nothing tells how long episodes are, and an option must.
    """
    lengths, used = _lengths(columns, mapping, grid, context)
    aligned = {
        name: column
        for name, column in columns.items()
        if name != used and len(column.shape) > 1 and column.shape[0] == grid[0]
    }
    if others := sorted(set(columns) - set(aligned) - {used}):
        context.decide(f"{', '.join(map(printable, others))} were left out: they have no row a step")
    rest = {target: text for target, text in mapping.items() if target not in {"length", "mask"}}
    rows = EpisodeRows(list(aligned), context, rest)
    for number, length in enumerate(lengths.tolist()):
        arrays = {}
        for name, column in aligned.items():
            steps = column.shape[1]
            extra = steps - grid[1] if steps in {grid[1], grid[1] + 1} else 0
            arrays[name] = read(column, slice(number, number + 1))[0, : length + extra]
        rows.append(f"episode {number}", arrays)
    return rows.parts()


def _lengths(
    columns: Mapping[str, Column], mapping: Mapping[str, str], grid: tuple[int, int], context: ImportContext
) -> tuple[Array, str | None]:
    """Return ``[E]`` steps of each episode, and the array that told them."""
    count, steps = grid
    for target, names in (("length", LENGTHS), ("mask", MASKS)):
        shape = (count,) if target == "length" else grid
        said = mapping.get(target)
        if said is not None and said not in columns:
            raise DatasetError(f"{context.where} has no array {printable(said)}, to which {target} is mapped")
        there = [said] if said is not None else [name for name in columns if name.lower() in names]
        for name in there:
            if (_squeezed(columns[name].shape)) != shape:
                if said is not None:
                    raise DatasetError(
                        f"{context.where}: {printable(name)} has shape {columns[name].shape}, not {shape}"
                    )
                continue
            values = whole(columns[name]).reshape(shape)
            found = values if target == "length" else _of_mask(values, name, context.where)
            if (found < 0).any() or (found > steps).any() or (found != np.trunc(found)).any():
                raise DatasetError(f"{context.where}: {printable(name)} has lengths that are not 0 … {steps}")
            context.decide(
                f"{count:,} episodes are padded to {steps} steps; {printable(name)} tells their lengths"
            )
            return found.astype(np.int64), name
    if context.setting(PADDING) == "none":
        context.decide(f"{count:,} episodes of {steps} steps each, as --set {PADDING} says")
        return np.full(count, steps), None
    raise UsageError(
        f"{context.where} holds arrays of {count:,} episodes x {steps} steps, and nothing tells how long each is: say "
        f"--map length=NAME or --map mask=NAME, or --set {PADDING}=none if all are full"
    )


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape


def _of_mask(mask: Array, name: str, where: str) -> Array:
    """Return the lengths that a mask tells: ones, then zeros."""
    if ((mask != 0) & (mask != 1)).any() or (mask[:, 1:] > mask[:, :-1]).any():
        raise DatasetError(f"{where}: {printable(name)} is no mask of ones and then zeros in each episode")
    lengths: Array = mask.astype(np.int64).sum(axis=1)
    return lengths
