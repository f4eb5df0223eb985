"""The contract of policies: observations of all lanes in, actions of all lanes out.

A lane is one environment of several that are stepped together. Episodes run in it one after another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from vinci_offline.types import Array, FloatArray

Observations: TypeAlias = "Array | dict[str, Array]"
"""``[L, ...]`` observations in the environment's own dtype, or one such array a key of a Dict space."""


OBSERVATION, ACTION_MASK = "observation", "action_mask"
"""Names of what a policy with masks gets."""


class Decision(NamedTuple):
    """The actions of all lanes.

    Attributes:
        actions: ``[L, ...]`` environment actions.
        log_probs: ``[L]`` log density (or log mass) of each action under the policy; None where it is unknown.
    """

    actions: Array
    log_probs: FloatArray | None


class Policy(ABC):
    """A policy without a history: it chooses by the current observations and the lanes' generators alone.

    Attributes:
        deterministic: True where actions depend on the observations alone. Only then does noise added to the
            actions have a known density.
        takes_masks: True where the policy takes the mask of allowed actions beside the observation: it gets a dict with
            `ACTION_MASK`, and the observation under `OBSERVATION` or, of a Dict space, under its keys.
    """

    deterministic: bool = False
    takes_masks: bool = False

    @abstractmethod
    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose an action for each lane.

        Args:
            observations: one observation a lane. The arrays are filled anew for the next step: keep copies.
            rngs: one generator a lane, that of the lane's episode. Draw for lane l from ``rngs[l]`` alone, or
                episodes will depend on their neighbours.
        """

    def log_probs_of(self, observations: Observations, actions: Array) -> FloatArray | None:
        """Return ``[L]`` the log density (or log mass) of given actions; None where it is unknown, as by default.

        Args:
            observations: one observation a lane.
            actions: ``[L, ...]`` environment actions.
        """
        return None

    def fresh(self) -> Policy:
        """Return this policy as new, for a shard that may not know what an earlier shard did."""
        return self


class HistoryPolicy(Policy):
    """A policy with a memory of the episode: a recurrent state, earlier actions, earlier rewards.

    Memory belongs to a lane. For each step the calls are ``act``, then `observe` for the lanes that took the
    step, then `reset` for those whose next episode starts. So an episode's actions cannot depend on the other
    lanes, on the number of workers, or on an earlier episode.
    """

    @abstractmethod
    def reset(self, lanes: Sequence[int]) -> None:
        """Forget the episode of some lanes: another one starts there.

        Args:
            lanes: the numbers of the lanes. The first call of all, and the first of each shard, names every lane.
        """

    def observe(self, lanes: Sequence[int], actions: Array, rewards: FloatArray) -> None:
        """Take note of a step's outcome. The default does nothing.

        Args:
            lanes: ``K`` numbers of the lanes that took the step. A lane without an episode is left out.
            actions: ``[K, ...]`` actions that the environments received, noise included.
            rewards: ``[K]`` float64 rewards.
        """
