"""Check that what an environment gives is an element of its space: shapes, and whole numbers that their dtype holds.

NumPy broadcasts a smaller array into a row, cuts fractions and wraps large integers, all without a word. Whoever stores
or hands on what an environment gave asks here first.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec.comparison import describe_space
from vinci_offline.spec.spaces import BoxSpace, DictSpace, Space
from vinci_offline.types import Array


class ObservationCheck:
    """Check of each observation that an environment gives.

    Args:
        space: the observation space.

    Attributes:
        float_shape: the shape that alone makes an observation right, so that a step needs one comparison; None where
            more must be looked at.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        parts = space.spaces if isinstance(space, DictSpace) else {}
        places = space.places if isinstance(space, DictSpace) else {}
        self._parts = [(places[key], *_kind(part)) for key, part in parts.items()]
        self._shape, self._integers = ((), None) if parts else _kind(space)
        self.float_shape = self._shape if not parts and self._integers is None else None

    def __call__(self, observation: Any) -> None:
        """Check an observation.

        Raises:
            SpecError: it has another shape, lacks a part, or holds a number that the space's integers cannot be.
        """
        if not self._parts:
            self._check(observation, self._shape, self._integers)
            return
        for place, shape, integers in self._parts:
            try:
                part = observation[place]
            except (KeyError, IndexError, TypeError) as error:
                raise SpecError(
                    f"the environment gave an observation without {place!r}, and its observation space is "
                    f"{describe_space(self._space)}: correct the environment"
                ) from error
            self._check(part, shape, integers)

    def _check(self, part: Any, shape: tuple[int, ...], integers: np.dtype[Any] | None) -> None:
        # First what almost every observation is: an array as the space says, or a plain number.
        if getattr(part, "shape", None) == shape and integers in (None, part.dtype):
            return
        if type(part) is int and shape == () and integers == np.int64:
            return
        values = _array(part)
        if values.shape != shape or values.dtype.kind not in "biuf":
            raise SpecError(
                f"the environment gave an observation of shape {values.shape}, "
                f"and its observation space is {describe_space(self._space)}: correct the environment"
            )
        if integers is None:
            return
        with np.errstate(invalid="ignore"):
            held = values.astype(integers)
        if (held != values).any():
            wrong = values[held != values].reshape(-1)[0]
            raise SpecError(
                f"the environment gave {wrong} in an observation, which {integers} of its observation space "
                f"{describe_space(self._space)} cannot hold: correct the environment"
            )


def check_reward(reward: Any) -> None:
    """Check that a reward is one number.

    Raises:
        SpecError: it is an array, or no number.
    """
    if isinstance(reward, float):  # NumPy's float64 too
        return
    values = _array(reward)
    if values.shape != () or values.dtype.kind not in "biuf":
        raise SpecError(
            f"the environment gave a reward of shape {values.shape} and type {values.dtype}, not one number: "
            "correct the environment"
        )


def _array(given: Any) -> Array:
    try:
        return np.asarray(given)
    except ValueError:  # rows of different lengths
        return np.empty(0, np.object_)


def _kind(space: Space) -> tuple[tuple[int, ...], np.dtype[Any] | None]:
    """Return the shape of an element, and its dtype where it holds integers."""
    if not isinstance(space, BoxSpace):
        return (), np.dtype(np.int64)
    dtype = np.dtype(space.dtype)
    return space.shape, None if dtype.kind == "f" else dtype
