"""The contract of policies: observations of all lanes in, actions of all lanes out.

A lane is one environment of several that are stepped together. Episodes run in it one after another.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec import BoxSpace, DiscreteSpace, Space, describe_space
from vinci_offline.types import Array, FloatArray

Observations: TypeAlias = "Array | dict[str, Array]"
"""``[L, ...]`` observations in the environment's own dtype, or one such array a key of a Dict space."""


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
    """

    deterministic: bool = False

    @abstractmethod
    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose an action for each lane.

        Args:
            observations: one observation a lane. The arrays are filled anew for the next step: keep copies.
            rngs: one generator a lane, that of the lane's episode. Draw for lane l from ``rngs[l]`` alone, or
                episodes will depend on their neighbours.
        """

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


def to_actions(actions: Any, space: Space, lanes: int) -> Array:
    """Turn a policy's output into ``[L, ...]`` actions of the space's dtype, clipped to a Box's bounds.

    An action may be flat, and axes of length one do not count. One lane may leave its axis out.

    Args:
        actions: the policy's output.
        space: the action space.
        lanes: L.

    Raises:
        SpecError: the output has another shape, is not among a Discrete space's integers, or is NaN.
    """
    try:
        array = np.asarray(actions)
    except ValueError as error:
        raise SpecError(f"the policy gave actions of unequal shapes: {error}") from error
    shape = space.shape if isinstance(space, BoxSpace) else ()
    if lanes == 1 and array.shape == shape != ():
        array = array[None]
    if array.dtype.kind not in "fiub" or array.ndim == 0 or not _alike(array.shape[1:], shape):
        raise SpecError(
            f"the policy gave actions of shape {array.shape[1:]} and type {array.dtype}; "
            f"the environment takes {describe_space(space)}"
        )
    check_lanes(array, lanes)
    array = array.reshape(lanes, *shape)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise SpecError("the policy gave an action that is NaN: check its observations and weights")
    if isinstance(space, BoxSpace):
        if np.dtype(space.dtype).kind in "iu" and array.dtype.kind == "f":
            array = np.rint(array)
        clipped: Array = np.clip(array, space.low, space.high).astype(space.dtype)
        return clipped
    assert isinstance(space, DiscreteSpace)
    whole = array.astype(np.int64)
    outside = (whole != array) | (whole < space.start) | (whole >= space.start + space.n)
    if outside.any():
        raise SpecError(
            f"the policy gave the action {array[outside][0]}; the environment takes {describe_space(space)}: "
            f"{space.start} to {space.start + space.n - 1}"
        )
    return whole


def check_lanes(output: Array, lanes: int) -> None:
    """Check that a policy's output has a row for each lane. NumPy would spread a single row over all lanes.

    Raises:
        SpecError: it has another number of rows.
    """
    if len(output) != lanes:
        raise SpecError(
            f"the policy gave {len(output)} rows for {lanes} lanes: its output needs one for each observation"
        )


def _alike(given: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return True where two shapes differ by axes of length one at most, or one of them is flat."""
    one, other = ([size for size in each if size != 1] for each in (given, shape))
    return one == other or (len(one) <= 1 and math.prod(given) == math.prod(shape))
