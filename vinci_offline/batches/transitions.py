"""From a dataset's rows to the transitions that losses see: scaled actions, n-step returns, discounts."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vinci_offline.data.continuity import continuing, ended
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episodes import last_rows
from vinci_offline.data.layout import ACTIONS, NEXT_OBSERVATIONS, OBSERVATIONS, REWARDS, TERMINALS, TIMEOUTS
from vinci_offline.errors import SpecError
from vinci_offline.spec import DictSpace
from vinci_offline.spec.action_scaling import scale_actions
from vinci_offline.types import Array, FloatArray, Transitions

_READ = (OBSERVATIONS, ACTIONS, REWARDS, NEXT_OBSERVATIONS, TERMINALS, TIMEOUTS)


def load_transitions(dataset: Dataset, gamma: float = 0.99, n_step: int = 1) -> Transitions:
    """Every row of a dataset as a transition, in memory.

    Args:
        dataset: N rows.
        gamma: the discount factor a step.
        n_step: rewards summed before bootstrapping (Sutton and Barto, 2018, eq. 7.1); an episode that ends, or is
            cut, sooner is summed to there and bootstrapped from its last observation unless that is terminal.

    Returns:
        Transitions of NumPy arrays with leading axis N.

    Raises:
        SpecError: the observations are not one array a row.
        DatasetError: a column holds NaN or infinite values.
    """
    reader = TransitionReader(dataset, gamma, n_step)
    dataset.check_finite()
    return reader.transitions(dataset.columns, 0)


def sample_observations(dataset: Dataset, count: int = 4096) -> Array:
    """At most ``count`` observations, of rows spread evenly over the dataset."""
    rows = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).astype(np.int64)
    return _compact(dataset.columns.gather(OBSERVATIONS, rows))


class TransitionReader:
    """Rows of a dataset as transitions, a few or all at a time: the same bytes either way.

    Args:
        dataset: N rows.
        gamma: the discount factor a step.
        n_step: rewards summed before bootstrapping.

    Raises:
        SpecError: the observations are not one array a row.
    """

    def __init__(self, dataset: Dataset, gamma: float = 0.99, n_step: int = 1) -> None:
        if isinstance(dataset.spec.observation_space, DictSpace):
            raise SpecError(
                "training needs one observation array a row, and this dataset's observations are a Dict: "
                "record it through gymnasium.wrappers.FlattenObservation"
            )
        self._dataset = dataset
        self._gamma = gamma
        self._n_step = n_step
        # One step looks at no other row, so where episodes end need not be known.
        self._last = last_rows(dataset.episode_columns) if n_step > 1 else np.empty(0, np.int64)

    def __len__(self) -> int:
        """The number of rows."""
        return len(self._dataset)

    def read(self, start: int, stop: int) -> Transitions:
        """Rows ``start … stop - 1`` as NumPy arrays; nothing else is kept, or read but ``n_step - 1`` rows ahead.

        Raises:
            DatasetError: they cannot be read.
        """
        rows = slice(start, min(stop + self._n_step - 1, len(self)))
        columns = {path: self._dataset.columns.read(path, rows) for path in _READ}
        made = self.transitions(columns, start)
        return Transitions(*(column[: stop - start] for column in made))

    def transitions(self, columns: Mapping[str, Array], start: int) -> Transitions:
        """The transitions of ``columns``, whose first row is the dataset's row ``start``.

        Sums end with the columns: give ``n_step - 1`` rows more than wanted where the dataset has them.
        """
        reward, discount, last = n_step_returns(
            columns[REWARDS],
            columns[TERMINALS],
            self._continues(columns, start),
            gamma=self._gamma,
            n_step=self._n_step,
        )
        following = columns[NEXT_OBSERVATIONS]
        return Transitions(
            observation=_compact(columns[OBSERVATIONS]),
            action=scale_actions(self._dataset.spec.action_space, columns[ACTIONS]),
            reward=reward,
            discount=discount,
            next_observation=_compact(following if self._n_step == 1 else following[last]),
        )

    def _continues(self, columns: Mapping[str, Array], start: int) -> Array:
        """A mask: where the next row continues this one's episode."""
        if self._n_step == 1:
            return np.zeros(len(columns[REWARDS]), np.bool_)
        return continuing(columns, ended(columns, self._last, start))


def n_step_returns(
    rewards: FloatArray, terminals: Array, continues: Array, *, gamma: float, n_step: int
) -> tuple[FloatArray, FloatArray, Array]:
    """n-step rewards and the discounts of what is bootstrapped.

    Args:
        rewards: ``[N]``.
        terminals: ``[N]`` bool, the environment terminated: nothing is bootstrapped past it.
        continues: ``[N]`` bool, the next row continues the episode.
        gamma: the discount factor a step.
        n_step: how many rewards to sum.

    Returns:
        ``[N]`` float32 reward, ``[N]`` float32 discount ``gamma**m * (1 - terminal)`` with ``m <= n_step`` the
        number of rewards summed, and ``[N]`` the last row summed, whose next observation is bootstrapped from.
    """
    total = rewards.astype(np.float64)
    factor = np.full(len(rewards), gamma)
    last = np.arange(len(rewards))
    going = continues.copy()
    for _ in range(n_step - 1):
        rows = np.flatnonzero(going)
        last[rows] += 1
        total[rows] += factor[rows] * rewards[last[rows]]
        factor[rows] *= gamma
        going[rows] = continues[last[rows]]
    return total.astype(np.float32), (factor * ~terminals[last]).astype(np.float32), last


def _compact(observations: Array) -> Array:
    """Observations as networks take them: float32, images as they are, Discrete ones int32."""
    if observations.dtype.kind == "f":
        return observations.astype(np.float32, copy=False)
    return observations if observations.dtype == np.uint8 else observations.astype(np.int32)
