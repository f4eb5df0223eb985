"""Types that every room shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.floating[Any]]


class Tensor(Protocol):
    """A tensor of the Keras backend in use, a NumPy array, or a Keras variable.

    The protocol holds what all of them can do: arithmetic with tensors and numbers, comparison, indexing, shape and
    dtype. All else is a function of ``keras.ops``.
    """

    @property
    def shape(self) -> Any:
        """Length of each axis; None for the batch axis of a network's symbolic input."""

    @property
    def dtype(self) -> Any:
        """Type of the numbers."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: Any, /) -> Tensor: ...
    def __neg__(self) -> Tensor: ...
    def __add__(self, other: Any, /) -> Tensor: ...
    def __radd__(self, other: Any, /) -> Tensor: ...
    def __sub__(self, other: Any, /) -> Tensor: ...
    def __rsub__(self, other: Any, /) -> Tensor: ...
    def __mul__(self, other: Any, /) -> Tensor: ...
    def __rmul__(self, other: Any, /) -> Tensor: ...
    def __truediv__(self, other: Any, /) -> Tensor: ...
    def __rtruediv__(self, other: Any, /) -> Tensor: ...
    def __mod__(self, other: Any, /) -> Tensor: ...
    def __pow__(self, other: Any, /) -> Tensor: ...
    def __matmul__(self, other: Any, /) -> Tensor: ...
    def __lt__(self, other: Any, /) -> Tensor: ...
    def __le__(self, other: Any, /) -> Tensor: ...
    def __gt__(self, other: Any, /) -> Tensor: ...
    def __ge__(self, other: Any, /) -> Tensor: ...
    def __float__(self) -> float: ...
    def __int__(self) -> int: ...


Columns: TypeAlias = dict[str, Array]
"""Dataset columns by their path in the file (``observations``, ``infos/action_log_probs`` …), rows first."""

Moments: TypeAlias = tuple[FloatArray, FloatArray]
"""Mean and standard deviation of observations, each of their shape."""

Normalization: TypeAlias = Moments | Mapping[str, Moments] | None
"""The moments inside an agent's networks; of a Dict space by key. None does not normalise."""

Metrics: TypeAlias = dict[str, Tensor]
"""Scalars by name, as a loss reports them."""


class ActionBounds(NamedTuple):
    """Bounds of scaled actions, each ``[A]`` float32. An infinite bound means no bound.

    Attributes:
        low: lower bounds; -1 where the range of the space is the unit.
        high: upper bounds; 1 there.
    """

    low: FloatArray
    high: FloatArray


class Transitions(NamedTuple):
    """A batch of transitions as losses see it; the leading axis is B.

    Attributes:
        observation: ``[B, ...]`` raw observations; normalisation lives inside the networks.
        action: ``[B, A]`` continuous actions, scaled as `vinci_offline.spec.action_scaling` says, or ``[B]`` int32
            indices from zero for a Discrete space.
        reward: ``[B]`` rewards, summed and discounted over n steps.
        discount: ``[B]`` gamma^n * (1 - terminated): the factor of the bootstrapped value, so that a
            truncation cannot be mistaken for a termination.
        next_observation: ``[B, ...]`` the observation that ``discount`` multiplies the value of.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    discount: Tensor
    next_observation: Tensor
