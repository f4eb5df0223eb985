"""The environment of a table, as far as options tell it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly import actions as choices_of
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import as_dtype, blocks, reshaped
from vinci_offline.data.casting import fits
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec, MultiDiscreteSpace


def table_spec(columns: dict[str, Column], context: ImportContext) -> EnvironmentSpec | None:
    """Return the environment as far as options say it; make columns fit what will be inferred otherwise."""
    spec, text, actions = context.options.spec, context.setting("actions"), columns.get(layout.ACTIONS)
    if actions is not None:
        _refuse_missing(actions, context)
    if spec is None:
        _as_boxes(columns, context)
        if actions is None:
            return None
        spec = _said(text, columns, context)
    elif text == choices_of.ONE_HOT and isinstance(spec.action_space, DiscreteSpace) and actions is not None:
        columns[layout.ACTIONS] = choices_of.one_hot(actions, spec.action_space.start, context)
    elif text is not None:
        raise UsageError(
            f"{context.where}: the environment says already what the actions are: leave --set actions out"
        )
    if (
        spec is not None
        and isinstance(spec.action_space, DiscreteSpace | MultiDiscreteSpace)
        and layout.ACTIONS in columns
    ):
        choices_of.check_choices(columns[layout.ACTIONS], spec.action_space, context)
    return spec


def _said(text: str | None, columns: dict[str, Column], context: ImportContext) -> EnvironmentSpec | None:
    """Return the environment of the setting ``actions``; None where spaces are inferred."""
    actions = columns[layout.ACTIONS]
    if text is None:
        if actions.dtype.kind in "biu":
            raise UsageError(
                f"{context.where}: actions are whole numbers, and the largest seen need not be the last there is: "
                f"{choices_of.ASK}"
            )
        if choices_of.looks_one_hot(actions):
            raise UsageError(
                f"{context.where}: the columns of actions are one-hot in every row: say --set actions=one-hot if each "
                "is a choice, or --set actions=continuous"
            )
        return None
    if text == choices_of.CONTINUOUS:
        if actions.dtype.kind in "biu":
            columns[layout.ACTIONS] = _floats(actions)
            context.decide("actions are amounts, as --set actions says: whole numbers were taken as floats")
        return None
    if text == choices_of.ONE_HOT:
        columns[layout.ACTIONS] = choices_of.one_hot(actions, 0, context)
        return choices_of.counted_actions(str(actions.shape[1]), columns)
    spec = choices_of.counted_actions(text, columns)
    assert isinstance(spec.action_space, DiscreteSpace | MultiDiscreteSpace)
    return replace(spec, action_space=choices_of.from_one(spec.action_space, text, actions, context))


def _floats(column: Column) -> Column:
    """Return whole numbers as floats that hold them, one number a row as a vector."""
    dtype = np.dtype(np.float64 if beyond_float32(column) else np.float32)
    found = as_dtype(column, dtype)
    return reshaped(found, (1,)) if len(found.shape) == 1 else found


def _refuse_missing(actions: Column, context: ImportContext) -> None:
    """Refuse an action that is NaN, unless ``missing`` says that empty cells are."""
    if actions.dtype.kind != "f" or context.setting("missing") is not None:
        return
    for first, block in blocks(actions):
        wrong = np.isnan(block.reshape(len(block), -1)).any(axis=1)
        if wrong.any():
            row = first + int(np.argmax(wrong))
            raise DatasetError(
                f"{context.where}: {context.place(row)}: nothing in the action (NaN): leave the row out, or write the "
                "action into the file"
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
