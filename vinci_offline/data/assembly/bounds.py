"""The settings that bound actions and observations of a table: ``action_low``, ``action_high``, and so on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.assembly.context import ImportContext
from vinci_offline.data.assembly.lazy import blocks
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.inference import infer_spec
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.spec import BoxSpace, EnvironmentSpec, Space
from vinci_offline.types import Array

_COLUMNS = {"action": (layout.ACTIONS,), "observation": (layout.OBSERVATIONS, layout.NEXT_OBSERVATIONS)}
SETTINGS = tuple(f"{name}_{side}" for name in _COLUMNS for side in ("low", "high"))


def bounded(
    spec: EnvironmentSpec | None, columns: Mapping[str, Column], context: ImportContext, *, float64: bool
) -> EnvironmentSpec | None:
    """Return the environment with the bounds that the settings give; as it is where they give none.

    Args:
        spec: the environment; None where Box spaces of the columns' shapes are inferred.
        columns: by path, in the shapes of the spaces.
        context: the import.
        float64: whether float64 columns are kept: bounds are rounded as their columns are.

    Raises:
        UsageError: a bound is no number, there are too few or too many, or the space has none.
        DatasetError: a row lies outside.
    """
    given = [
        name
        for name in _COLUMNS
        if any(f"{name}_{side}" in context.options.settings for side in ("low", "high"))
    ]
    if not given:
        return spec
    if context.options.spec is not None:
        raise UsageError(
            f"{context.where}: the environment says already what the bounds are: leave --set {_first(context)} out"
        )
    spec = spec or infer_spec(LazyColumns(columns))
    spaces: dict[str, Space] = {"action": spec.action_space, "observation": spec.observation_space}
    for name in given:
        spaces[name] = space = _box(name, spaces[name], context, float64=float64)
        for path in _COLUMNS[name]:
            if path in columns:
                _check(columns[path], name, path, space, context)
        context.decide(f"{name}s lie between {_shown(space.low)} and {_shown(space.high)}, as --set says")
    return replace(spec, action_space=spaces["action"], observation_space=spaces["observation"])


def _box(name: str, space: Space, context: ImportContext, *, float64: bool) -> BoxSpace:
    """Return a Box with the bounds of the settings; a side that is not given has no bound."""
    if type(space) is not BoxSpace or np.dtype(space.dtype).kind != "f":
        kind = "choices" if name == "action" else "no single vector of numbers"
        raise UsageError(
            f"{context.where}: the {name}s are {kind}, and have no bounds: leave --set {_first(context, name)} out"
        )
    dtype = np.dtype(space.dtype if float64 else np.float32)
    sides = {}
    for side, beyond in (("low", -math.inf), ("high", math.inf)):
        text = context.setting(f"{name}_{side}")
        numbers = [beyond] if text is None else _numbers(f"{name}_{side}", text)
        if len(numbers) not in {1, space.dim}:
            raise UsageError(
                f"--set {name}_{side}={text}: there are {len(numbers)} numbers, and the {name} has {space.dim}: give "
                "one for each, or one for all"
            )
        values = np.array(numbers, np.float64).astype(dtype)
        sides[side] = np.broadcast_to(values, (space.dim,)).reshape(space.shape).copy()
    low, high = sides["low"], sides["high"]
    for least, most in zip(low.reshape(-1), high.reshape(-1), strict=True):
        if least >= most:
            raise UsageError(f"{name}_low={least:g} must be below {name}_high={most:g}")
    return BoxSpace(space.shape, str(dtype), low, high)


def _numbers(key: str, text: str) -> list[float]:
    """Return numbers separated by commas, in brackets or not."""
    try:
        found = [float(part) for part in text.strip().removeprefix("[").removesuffix("]").split(",")]
    except ValueError:
        found = [math.nan]
    if any(map(math.isnan, found)):
        raise UsageError(
            f"--set {key}={text}: give a number, or one for each entry, as in {key}=0,0.5 (inf is no bound)"
        )
    return found


def _check(column: Column, name: str, path: str, space: BoxSpace, context: ImportContext) -> None:
    """Refuse the first row that has an entry beyond a bound; NaN is beyond none."""
    low, high = space.low.reshape(-1), space.high.reshape(-1)
    for first, block in blocks(column):
        values = block.reshape(len(block), -1).astype(space.dtype)
        outside = (values < low) | (values > high)
        if outside.any():
            row, entry = np.argwhere(outside)[0]
            side, bound = ("low", low) if values[row, entry] < low[entry] else ("high", high)
            what = path.removesuffix("s") + (f"_{entry}" if space.dim > 1 else "")
            raise DatasetError(
                f"{context.where}: {context.place(first + int(row))}: {what} is {values[row, entry]:g}, beyond "
                f"{name}_{side}={bound[entry]:g}: correct the row or leave it out, or widen the bound"
            )


def _shown(bounds: Array) -> str:
    values = np.unique(bounds)
    return (
        f"{values[0]:g}"
        if len(values) == 1
        else "[" + ", ".join(f"{value:g}" for value in bounds.reshape(-1)) + "]"
    )


def _first(context: ImportContext, name: str = "") -> str:
    return next(key for key in SETTINGS if key in context.options.settings and key.startswith(name))
