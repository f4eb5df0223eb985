"""The few types that every room shares."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
FloatArray: TypeAlias = NDArray[np.floating[Any]]
Tensor: TypeAlias = Any
"""A tensor of the Keras backend in use."""

Columns: TypeAlias = dict[str, Array]
"""Dataset columns by their path in the file (``observations``, ``infos/action_log_probs`` …), rows first."""

Metrics: TypeAlias = dict[str, Tensor]
"""Scalars by name, as a loss reports them."""


class Transitions(NamedTuple):
    """A batch of transitions as losses see it; the leading axis is B.

    Attributes:
        observation: ``[B, ...]`` raw observations; normalisation lives inside the networks.
        action: ``[B, A]`` continuous actions scaled to [-1, 1] where the space is bounded, or ``[B]`` int32
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
