"""Action masks: which actions are allowed at an observation and at the next one."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from vinci_offline.batches.names import ACTION_MASK, NEXT_ACTION_MASK, ColumnWish, IfRecorded
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.layout import ACTION_MASKS, NEXT_ACTION_MASKS, NEXT_OBSERVATIONS, OBSERVATIONS
from vinci_offline.errors import DatasetError
from vinci_offline.spec import DictSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.types import Array, Columns

_OBSERVED, _NEXT_OBSERVED = f"{OBSERVATIONS}/{ACTION_MASK}", f"{NEXT_OBSERVATIONS}/{ACTION_MASK}"


def recorded_wishes(dataset: Dataset, wishes: Mapping[str, ColumnWish]) -> dict[str, ColumnWish]:
    """Return the wishes without the masks that are wished if they are recorded, and are not."""
    recorded = observes_masks(dataset.spec) or records_masks(dataset)
    return {name: wish for name, wish in wishes.items() if recorded or not isinstance(wish, IfRecorded)}


def observes_masks(spec: EnvironmentSpec) -> bool:
    """Return True where observations hold a mask of Discrete actions."""
    space, actions = spec.observation_space, spec.action_space
    mask = space.spaces.get(ACTION_MASK) if isinstance(space, DictSpace) else None
    return isinstance(actions, DiscreteSpace) and getattr(mask, "shape", None) == (actions.n,)


def records_masks(dataset: Dataset) -> bool:
    """Return True where infos hold the masks of Discrete actions, and observations do not.

    A policy that obeys them takes the mask beside the observation.
    """
    discrete = isinstance(dataset.spec.action_space, DiscreteSpace)
    return discrete and ACTION_MASKS in dataset.columns and not observes_masks(dataset.spec)


class ActionMasks:
    """Makes the columns ``action_mask`` and ``next_action_mask``: ``[B, n]`` bool.

    A Dict observation with the key ``action_mask`` has both masks. Otherwise ``infos/action_mask`` of row t belongs to
    the observation of row t. The next mask is then ``infos/next_action_mask``, or the mask of the row that follows.
    Where the run is cut and no row follows, every action is allowed. After a terminal row every action is allowed too:
    the value there is multiplied by zero, and a maximum over no action at all would not be finite.

    Args:
        dataset: N rows.
        wished: the columns that the agent asks for; other names are ignored.

    Raises:
        DatasetError: the dataset has no mask, or not one entry an action.

    Attributes:
        paths: the dataset's columns to read.
        looks_ahead: True where the row that follows is needed.
    """

    def __init__(self, dataset: Dataset, wished: Collection[str]) -> None:
        self._wished = [name for name in (ACTION_MASK, NEXT_ACTION_MASK) if name in wished]
        self.paths: tuple[str, ...] = ()
        self.looks_ahead = False
        if not self._wished:
            return
        space = dataset.spec.observation_space
        if isinstance(space, DictSpace) and ACTION_MASK in space.spaces and not records_masks(dataset):
            self._path, self._next_path = _OBSERVED, _NEXT_OBSERVED
        else:
            self._path = self._next_path = ACTION_MASKS
            if NEXT_ACTION_MASKS in dataset.columns:
                self._next_path = NEXT_ACTION_MASKS
        self.looks_ahead = NEXT_ACTION_MASK in self._wished and self._next_path == ACTION_MASKS
        used = {ACTION_MASK: self._path, NEXT_ACTION_MASK: self._next_path}
        self.paths = tuple(dict.fromkeys(used[name] for name in self._wished))
        for path in self.paths:
            _check_column(dataset, path, self._wished[0])

    def make(self, columns: Mapping[str, Array], start: int, last: Array, followed: Array) -> Columns:
        """Return the wished masks of the first M of some consecutive rows.

        Args:
            columns: the dataset's rows from ``start`` on.
            start: the number of the first.
            last: ``[M]`` the row after which the value is bootstrapped, counted from ``start``.
            followed: ``[M]`` 1 where the row after ``last`` continues it, -1 where ``last`` is terminal, 0 at a cut.

        Raises:
            DatasetError: a row allows no action.
        """
        masks = {}
        if ACTION_MASK in self._wished:
            masks[ACTION_MASK] = columns[self._path][: len(last)] != 0
            _check_rows(masks[ACTION_MASK], self._path, start)
        if NEXT_ACTION_MASK in self._wished:
            if self.looks_ahead:
                rows, known = np.minimum(last + 1, len(columns[self._path]) - 1), followed > 0
            else:
                rows, known = last, followed >= 0
            masks[NEXT_ACTION_MASK] = (columns[self._next_path][rows] != 0) | ~known[:, None]
            _check_rows(masks[NEXT_ACTION_MASK], self._next_path, start + rows)
        return masks


def _check_column(dataset: Dataset, path: str, wish: str) -> None:
    space = dataset.spec.action_space
    if not isinstance(space, DiscreteSpace):
        raise DatasetError(
            f"the agent asks for {wish!r}, and only Discrete actions have masks: choose another agent"
        )
    if path not in dataset.columns:
        raise DatasetError(
            f"the agent asks for {wish!r}, and the dataset has neither {_OBSERVED} nor {path}: "
            f"record the mask as the observation key {ACTION_MASK!r} or as {ACTION_MASKS}"
        )
    if (shape := dataset.columns.shape(path)[1:]) != (space.n,):
        raise DatasetError(f"{path} has rows of shape {shape}, and the {space.n} actions need ({space.n},)")


def _check_rows(masks: Array, path: str, rows: int | Array) -> None:
    none = np.flatnonzero(~masks.any(axis=1))
    if len(none):
        row = rows + none[0] if isinstance(rows, int) else rows[none[0]]
        raise DatasetError(f"{path}: row {row} allows no action; leave such rows out (Dataset.rows)")
