"""From a dataset's rows to the columns that an agent asks for: scaled actions, n-step returns, what follows a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np

from vinci_offline.batches.masks import ActionMasks, recorded_wishes
from vinci_offline.batches.names import (
    ACTION,
    DISCOUNT,
    FIRST_ROW,
    HAS_NEXT_ACTION,
    INFOS,
    LAST_ROW,
    NEXT_ACTION,
    NEXT_OBSERVATION,
    OBSERVATION,
    RETURN_TO_GO,
    REWARD,
    TRANSITION,
    ColumnWish,
    ReturnToGo,
    complete_wishes,
)
from vinci_offline.batches.returns import n_step_returns, returns_to_go
from vinci_offline.batches.runs import Runs, dataset_runs
from vinci_offline.data.continuity import continuing, ended
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import last_rows
from vinci_offline.data.indexing import spaced_rows
from vinci_offline.data.layout import (
    ACTIONS,
    NEXT_OBSERVATIONS,
    OBSERVATIONS,
    REWARDS,
    TERMINALS,
    TIMEOUTS,
    space_slots,
)
from vinci_offline.errors import DatasetError
from vinci_offline.quality.survey import Survey
from vinci_offline.spec.units import Units
from vinci_offline.types import Array, Columns, FloatArray

_INT32 = np.iinfo(np.int32)


class ColumnReader:
    """Reads rows of a dataset as the columns of a pool, a few or all at a time: the same bytes either way.

    ``next_action`` is the action recorded in the row that follows the last summed row. Where no row follows, the row's
    own action stands in. ``has_next_action`` is 1 where the action is recorded, and 1 at a terminal row, where the
    discount is 0 and the action is not used. It is 0 where the run is cut and a bootstrapped value would need it.

    Args:
        dataset: N rows.
        wishes: the columns that the agent asks for; the transition is always among them.
        gamma: the discount factor a step.
        n_step: rewards summed before bootstrapping.
        trajectories: True where the agent looks at other rows of a run.
        known: what `batches.first_read.first_read` found; None finds the runs where they are needed.
        units: the units of observations, actions and rewards; None takes those that the spaces alone give.

    Raises:
        DatasetError: the dataset lacks a column.
        UsageError: a column does not exist.

    Attributes:
        paths: the dataset's columns that are read.
        trajectories: as given.
    """

    def __init__(
        self,
        dataset: Dataset,
        wishes: Sequence[ColumnWish] = TRANSITION,
        *,
        gamma: float = 0.99,
        n_step: int = 1,
        trajectories: bool = False,
        known: Survey | None = None,
        units: Units | None = None,
    ) -> None:
        self._dataset = dataset
        self._known = known
        self._units = units or Units.of(dataset.spec)
        self._wishes = recorded_wishes(dataset, complete_wishes(wishes))
        self._gamma = gamma
        self._n_step = n_step
        self.trajectories = trajectories
        self._masks = ActionMasks(dataset, self._wishes)
        self._infos = [name for name in self._wishes if name.startswith(INFOS)]
        _check_infos(dataset, self._infos)
        self._observed = tuple(space_slots(OBSERVATIONS, dataset.spec.observation_space))
        following = [NEXT_OBSERVATIONS + path.removeprefix(OBSERVATIONS) for path in self._observed]
        required = (*self._observed, ACTIONS, REWARDS, *following, TERMINALS, TIMEOUTS)
        self.paths = tuple(dict.fromkeys((*required, *self._masks.paths, *self._infos)))
        looks_ahead = self._masks.looks_ahead or NEXT_ACTION in self._wishes
        self._ahead = n_step if looks_ahead else n_step - 1
        # A row by itself does not need to know where episodes end.
        self._last_rows = last_rows(dataset.episode_columns) if self._ahead else np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._dataset)

    @property
    def needs_runs(self) -> bool:
        """True where a column needs to know the runs."""
        return self.trajectories or RETURN_TO_GO in self._wishes

    @cached_property
    def runs(self) -> Runs:
        """The runs of the dataset. Where they are not known the first access compares all observations."""
        if self._known is not None and self._known.runs is not None:
            return Runs(*self._known.runs)
        return dataset_runs(self._dataset)

    def check_finite(self) -> None:
        """Make sure that no column that is read holds NaN or an infinite value. Nothing learns from the others.

        Raises:
            DatasetError: it names the column and the first such row.
        """
        if self._known is None:
            self._dataset.check_finite(self.paths)
        else:
            self._known.check_finite(self.paths)

    def read(self, start: int, stop: int) -> Columns:
        """Read the columns of rows ``start … stop - 1``. Nothing else is kept, and only a few rows more are read.

        Raises:
            DatasetError: they cannot be read.
        """
        rows = slice(start, min(stop + self._ahead, len(self)))
        return self.make({path: self._dataset.columns.read(path, rows) for path in self.paths}, start, stop)

    def make(self, columns: Mapping[str, Array], start: int, stop: int) -> Columns:
        """Make the columns of rows ``start … stop - 1`` from the dataset's.

        Args:
            columns: the dataset's rows from ``start`` to ``stop`` and, where there are more, ``n_step`` beyond.
            start: the first row.
            stop: the row after the last.
        """
        count = stop - start
        continues = self._continues(columns, start)
        reward, discount, last = n_step_returns(
            self._units.rewarded(columns[REWARDS]),
            columns[TERMINALS],
            continues,
            gamma=self._gamma,
            n_step=self._n_step,
        )
        last = last[:count]
        action = self._units.scaled(columns[ACTIONS])
        made: Columns = {}
        for path in self._observed:
            made[OBSERVATION + path.removeprefix(OBSERVATIONS)] = self._seen(path, columns[path][:count])
        made |= {ACTION: action[:count], REWARD: reward[:count], DISCOUNT: discount[:count]}
        for path in self._observed:
            following = columns[NEXT_OBSERVATIONS + path.removeprefix(OBSERVATIONS)]
            taken = following[:count] if self._n_step == 1 else following[last]
            made[NEXT_OBSERVATION + path.removeprefix(OBSERVATIONS)] = self._seen(path, taken)
        followed = np.where(columns[TERMINALS][last], -1, continues[last].astype(np.int8))
        if NEXT_ACTION in self._wishes:
            made |= _next_actions(action, last, followed)
        if RETURN_TO_GO in self._wishes:
            made[RETURN_TO_GO] = self._returns_to_go[start:stop]
        made |= self._masks.make(columns, start, last, followed)
        made |= {path: _compact_info(columns[path][:count], path) for path in self._infos}
        return made

    def _seen(self, path: str, values: Array) -> Array:
        """Return rows of a column of observations, or of its next observations, as networks see them."""
        return self._units.observed(path.removeprefix(OBSERVATIONS).removeprefix("/"), values)

    @cached_property
    def _returns_to_go(self) -> FloatArray:
        wish = self._wishes[RETURN_TO_GO]
        assert isinstance(wish, ReturnToGo)
        return returns_to_go(self._dataset.columns, self.runs, wish, self._gamma, self._units.rewarded)

    def _continues(self, columns: Mapping[str, Array], start: int) -> Array:
        """Return ``[M]``: whether the next row continues each row; all False where nobody needs to know."""
        if not self._ahead:
            return np.zeros(len(columns[REWARDS]), np.bool_)
        return continuing(columns, ended(columns, self._last_rows, start))


def load_columns(
    dataset: Dataset,
    wishes: Sequence[ColumnWish] = TRANSITION,
    *,
    gamma: float = 0.99,
    n_step: int = 1,
    trajectories: bool = False,
    known: Survey | None = None,
    units: Units | None = None,
) -> Columns:
    """Load every row of a dataset as the columns of one pool. Each column of the dataset is read once.

    Args:
        dataset: N rows.
        wishes: the columns that the agent asks for; the transition is always among them.
        gamma: the discount factor a step.
        n_step: rewards summed before bootstrapping.
        trajectories: add the first and the last row of each row's run.
        known: what `batches.first_read.first_read` found.
        units: the units of observations, actions and rewards; None takes those that the spaces alone give.

    Returns:
        NumPy arrays with leading axis N, by name.

    Raises:
        DatasetError: a column is missing, or holds NaN or infinite values.
        UsageError: a column does not exist.
    """
    reader = ColumnReader(
        dataset, wishes, gamma=gamma, n_step=n_step, trajectories=trajectories, known=known, units=units
    )
    # Loaded columns stay in memory: the checks and the sums below read them there.
    columns = {path: dataset.columns[path] for path in reader.paths}
    reader.check_finite()
    made = reader.make(columns, 0, len(dataset))
    if trajectories:
        first, last = reader.runs.bounds(0, len(dataset))
        made |= {FIRST_ROW: first.astype(np.int32), LAST_ROW: last.astype(np.int32)}
    return made


def row_bytes(dataset: Dataset, wishes: Sequence[ColumnWish] = TRANSITION, trajectories: bool = False) -> int:
    """Return the bytes that a row of a pool takes. One row is read."""
    wished = complete_wishes(wishes)
    held = wished.pop(RETURN_TO_GO, None) is not None
    row = ColumnReader(dataset, list(wished.values())).read(0, 1)
    # A return to go is a float32, the ends of a run are two int32.
    return sum(column.nbytes for column in row.values()) + 4 * held + 8 * trajectories


def sample_observations(dataset: Dataset, count: int = 4096) -> Array | dict[str, Array]:
    """Return at most ``count`` observations, of rows spread evenly over the dataset; by key where they are a Dict."""
    rows = spaced_rows(len(dataset), count)
    paths = space_slots(OBSERVATIONS, dataset.spec.observation_space)
    return by_key({path: dataset.columns.gather(path, rows) for path in paths})


def by_key(observations: Mapping[str, Array]) -> Array | dict[str, Array]:
    """Return columns of observations as they are: one array, or arrays by key where they are a Dict."""
    found = {path.removeprefix(f"{OBSERVATIONS}/"): values for path, values in observations.items()}
    return found.get(OBSERVATIONS, found)


def _next_actions(action: Array, last: Array, followed: Array) -> Columns:
    """Return the action after each row's last summed row, and whether it is known or not needed."""
    recorded = (followed > 0).reshape(-1, *[1] * (action.ndim - 1))
    after = np.minimum(last + 1, len(action) - 1)
    return {
        NEXT_ACTION: np.where(recorded, action[after], action[: len(last)]),
        HAS_NEXT_ACTION: (followed != 0).astype(np.float32),
    }


def _check_infos(dataset: Dataset, names: Sequence[str]) -> None:
    for name in names:
        if name not in dataset.columns:
            there = [path for path in dataset.columns if path.startswith(INFOS)]
            raise DatasetError(
                f"the agent asks for the column {name!r}, and the dataset has {', '.join(there) or 'no infos'}: "
                "record it (see docs/collecting.md), or choose another agent"
            )


def _compact_info(values: Array, path: str) -> Array:
    """Return an infos column as float32, int32, bytes or flags.

    Raises:
        DatasetError: an integer does not fit.
    """
    if values.dtype.kind == "b":
        return values
    if (
        values.dtype.kind in "iu"
        and values.size
        and not _INT32.min <= values.min() <= values.max() <= _INT32.max
    ):
        raise DatasetError(f"{path} holds integers beyond 32 bits: record them as floats")
    if values.dtype.kind == "f":
        return values.astype(np.float32, copy=False)
    return values if values.dtype == np.uint8 else values.astype(np.int32)
