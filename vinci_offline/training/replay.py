"""From a dataset's rows to the transitions that losses see: scaled actions, n-step returns, discounts."""

from __future__ import annotations

import numpy as np

from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import SpecError
from vinci_offline.networks.actions import scale_actions
from vinci_offline.spec import DictSpace
from vinci_offline.types import Array, FloatArray, Transitions


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
    if isinstance(dataset.spec.observation_space, DictSpace):
        raise SpecError(
            "training needs one observation array a row, and this dataset's observations are a Dict: "
            "record it through gymnasium.wrappers.FlattenObservation"
        )
    dataset.check_finite()
    columns = dataset.columns
    reward, discount, last = n_step_returns(
        columns["rewards"], columns["terminals"], continues(dataset), gamma=gamma, n_step=n_step
    )
    next_observation = columns["next_observations"]
    return Transitions(
        observation=_compact(columns["observations"]),
        action=scale_actions(dataset.spec.action_space, columns["actions"]),
        reward=reward,
        discount=discount,
        next_observation=_compact(next_observation if n_step == 1 else next_observation[last]),
    )


def continues(dataset: Dataset) -> Array:
    """A mask ``[N]``: where the next row continues this one's episode."""
    columns = dataset.columns
    ends = columns["terminals"] | columns["timeouts"]  # a new array: the columns are read-only
    episodes = dataset.episodes
    ends[(episodes["start"] + episodes["length"] - 1).to_numpy()] = True
    # One-step data has no episodes, whatever its flags say: a row continues only where the next starts where it ended.
    here, there = columns["next_observations"][:-1], columns["observations"][1:]
    follows = (here == there).reshape(len(here), -1).all(axis=1)
    continuing: Array = ~ends & np.append(follows, False)
    return continuing


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
