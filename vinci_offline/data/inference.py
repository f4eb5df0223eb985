"""Infer an environment's spaces from columns, for files that do not store them."""

from __future__ import annotations

import numpy as np

from vinci_offline.data.columns import LazyColumns
from vinci_offline.data.layout import ACTIONS, OBSERVATIONS
from vinci_offline.errors import DatasetError
from vinci_offline.spec import BoxSpace, DictSpace, EnvironmentSpec, Space

_ASK = "give the environment with spec=, for instance Dataset.open(path, spec=EnvWrapper(id).spec_json)"


def infer_spec(columns: LazyColumns, ask: str = _ASK) -> EnvironmentSpec:
    """Infer Box spaces of the columns' shapes: observations without bounds (images within 0 and 255).

    Actions are bounded by [-1, 1] if all of them lie inside; otherwise they have no bounds. The number of
    Discrete actions is never guessed: the largest action seen need not be the last one.

    Args:
        columns: at least the observations and the actions.
        ask: advice for a user who must give the spec.

    Raises:
        DatasetError: the actions or the observations are integers, so the spec must be given.
    """
    paths = [path for path in columns if path == OBSERVATIONS or path.startswith(f"{OBSERVATIONS}/")]
    actions = columns.dtype(ACTIONS) if ACTIONS in columns else None
    if actions is None:
        raise DatasetError(f"actions are several columns, which no space of this format is; {ask}")
    if actions.kind != "f":
        raise DatasetError(f"the number of discrete actions cannot be told from the file; {ask}")
    bounded = all(bool((np.abs(block) <= 1).all()) for _, block in columns.blocks(ACTIONS))
    bound = 1.0 if bounded else np.inf
    return EnvironmentSpec(
        observation_space=_space(columns, paths, OBSERVATIONS, ask),
        action_space=_box(columns.shape(ACTIONS)[1:], actions, -bound, bound),
    )


def _space(columns: LazyColumns, paths: list[str], root: str, ask: str) -> Space:
    if root in paths:
        shape, dtype = columns.shape(root)[1:], columns.dtype(root)
        if dtype == np.uint8 and len(shape) > 1:
            return _box(shape, dtype, 0, 255)
        if dtype.kind != "f":
            raise DatasetError(f"the values that {root} can take cannot be told from the file; {ask}")
        return _box(shape, dtype, -np.inf, np.inf)
    keys = sorted(
        {path.removeprefix(f"{root}/").partition("/")[0] for path in paths if path.startswith(f"{root}/")}
    )
    return DictSpace({key: _space(columns, paths, f"{root}/{key}", ask) for key in keys})


def _box(shape: tuple[int, ...], dtype: np.dtype[np.generic], low: float, high: float) -> BoxSpace:
    return BoxSpace(shape, str(dtype), np.full(shape, low, dtype), np.full(shape, high, dtype))
