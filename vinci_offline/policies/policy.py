"""What a policy is to the collector and the evaluator: all lanes' observations in, their actions out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec import BoxSpace, DiscreteSpace, Space, describe_space
from vinci_offline.types import Array, FloatArray

Observations: TypeAlias = "Array | dict[str, Array]"
"""``[L, ...]`` observations in the environment's own dtype, or one such array a key of a Dict space."""


class Decision(NamedTuple):
    """What a policy chose for every lane.

    Attributes:
        actions: ``[L, ...]`` environment actions.
        log_probs: ``[L]`` log density (or log mass) of each action under the policy; None where it has none.
    """

    actions: Array
    log_probs: FloatArray | None


class Policy(Protocol):
    """Anything that acts for a fixed number of lanes at once.

    A policy may have an attribute ``deterministic``: True says that its actions depend on the observations
    alone, so that noise added to them has a known density.

    A policy that keeps state has a method ``reset(lanes)``, told in which lanes episodes start before ``act``
    sees their first observations. The first call, and the first of every shard, names all lanes. State must
    belong to a lane and be forgotten there, or the data would depend on who recorded what before.
    """

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose actions; lane l's randomness comes from ``rngs[l]`` alone, its episode's own generator."""
        ...


def to_actions(actions: Any, space: Space, lanes: int | None = None) -> Array:
    """What a policy returned, as ``[L, ...]`` actions of the space's dtype, clipped to a Box's bounds.

    Raises:
        SpecError: the actions do not have the space's shape, are not among a Discrete space's integers, or
            are NaN.
    """
    try:
        array = np.asarray(actions)
    except ValueError as error:
        raise SpecError(f"the policy gave actions of unequal shapes: {error}") from error
    count = len(array) if lanes is None else lanes
    shape = space.shape if isinstance(space, BoxSpace) else ()
    if array.dtype.kind not in "fiub" or array.size != count * int(np.prod(shape)) or (array.ndim == 0):
        raise SpecError(
            f"the policy gave actions of shape {array.shape[1:]} and type {array.dtype}; "
            f"the environment takes {describe_space(space)}"
        )
    array = array.reshape(count, *shape)
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
