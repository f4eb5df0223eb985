"""The environment of a table, as far as options tell it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import as_dtype, blocks, held, reshaped
from vinci_offline.data.casting import fits
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.inference import infer_spec
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec


def table_spec(columns: dict[str, Column], context: ImportContext) -> EnvironmentSpec | None:
    """Return the environment as far as options say it; make columns fit what will be inferred otherwise."""
    spec, text, actions = context.options.spec, context.setting("actions"), columns.get(layout.ACTIONS)
    if spec is not None and text is not None:
        raise UsageError(
            f"{context.where}: the environment says already what the actions are: leave --set actions out"
        )
    if spec is None:
        _as_boxes(columns, context)
        if text is None:
            if actions is not None and actions.dtype.kind in "biu":
                raise UsageError(
                    f"{context.where}: actions are whole numbers, and the largest seen need not be the last there is: "
                    "say --set actions=N or --env ENV, or in Python spec="
                )
            return None
        spec = counted_actions(text, columns)
    if isinstance(spec.action_space, DiscreteSpace) and actions is not None:
        _check_choices(actions, spec.action_space, context.where)
    return spec


def counted_actions(text: str, columns: Mapping[str, Column]) -> EnvironmentSpec:
    """Return the spec of observations as they are, and of as many choices as ``--set actions=N`` says.

    Raises:
        UsageError: ``text`` is no number of choices.
    """
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"--set actions={text}: give the number of choices, as in actions=2")
    observed = {
        path: column for path, column in columns.items() if path.partition("/")[0] == layout.OBSERVATIONS
    }
    stand_in = {layout.ACTIONS: held(np.zeros((1, 1), np.float32))}
    spec = infer_spec(LazyColumns({**observed, **stand_in}))
    return replace(spec, action_space=DiscreteSpace(int(text)))


def _check_choices(actions: Column, space: DiscreteSpace, where: str) -> None:
    low, high = space.start, space.start + space.n - 1
    for first, block in blocks(actions):
        wrong = (block < low) | (block > high) | (block != np.trunc(block))
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DatasetError(
                f"{where}: the action of row {first + row} is {block[row]}, not of {low} … {high}"
            )


def _as_boxes(columns: dict[str, Column], context: ImportContext) -> None:
    """Make observations of whole numbers floats, and single floats vectors: a space is inferred from them."""
    observed = {layout.OBSERVATIONS, layout.NEXT_OBSERVATIONS}
    for path, column in columns.items():
        root, found = path.partition("/")[0], column
        is_image = found.dtype == np.uint8 and len(found.shape) > 2
        if root in observed and found.dtype.kind in "biu" and not is_image:
            found = as_dtype(found, np.dtype(np.float64 if beyond_float32(found) else np.float32))
            context.decide(f"{path} are whole numbers: they were taken as floats")
        if root in {*observed, layout.ACTIONS} and found.dtype.kind == "f" and len(found.shape) == 1:
            found = reshaped(found, (1,))
        columns[path] = found


def beyond_float32(column: Column) -> bool:
    """Return whether a column holds a whole number that float32 would round. Reads it in blocks."""
    if column.dtype.kind not in "iu" or column.dtype.itemsize < 4:
        return False
    return not all(fits(block, np.dtype(np.float32)) for _, block in blocks(column))
