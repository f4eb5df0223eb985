"""Check that what an environment gives is an element of its space: shapes, types, and numbers that survive the cast.

NumPy broadcasts a smaller array into a row, cuts fractions, wraps large integers and reads numbers from texts, all
without a word. Whoever stores or hands on what an environment gave asks here first. A cast that loses nothing passes
(2.0 for a Discrete space), and so does the rounding of floats to the floats of their space.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec.comparison import describe_space
from vinci_offline.spec.spaces import BoxSpace, DictSpace, Space
from vinci_offline.types import Array

_NUMBERS = "biuf"
_ADVICE = "correct the environment"


class ObservationCheck:
    """Check of each observation that an environment gives.

    Args:
        space: the observation space.

    Attributes:
        shape: the shape of an observation of one part; None for a Dict or Tuple.
        dtype: its dtype. An array of this dtype and shape is right: callers in a hot loop look at these two first.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        parts = space.spaces if isinstance(space, DictSpace) else {}
        places = space.places if isinstance(space, DictSpace) else {}
        self._parts = [(places[key], *_kind(part)) for key, part in parts.items()]
        self.shape: tuple[int, ...] | None = None
        self.dtype: np.dtype[Any] | None = None
        if not parts:
            self.shape, self.dtype = _kind(space)

    def __call__(self, observation: Any) -> None:
        """Check an observation.

        Raises:
            SpecError: it has another shape, lacks a part, is no number, or loses something in the space's dtype.
        """
        if self.shape is not None and self.dtype is not None:
            self._check(observation, self.shape, self.dtype)
            return
        for place, shape, dtype in self._parts:
            try:
                part = observation[place]
            except (KeyError, IndexError, TypeError) as error:
                raise SpecError(
                    f"the environment gave an observation without {place!r}, and its observation space is "
                    f"{describe_space(self._space)}: {_ADVICE}"
                ) from error
            self._check(part, shape, dtype)

    def _check(self, part: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        # First what almost every observation is: an array as the space says, or a plain number.
        if isinstance(part, np.ndarray | np.generic) and part.dtype == dtype and part.shape == shape:
            return
        if type(part) is int and shape == () and dtype == np.int64:
            return
        values = _array(part)
        if values.dtype.kind not in _NUMBERS:
            raise SpecError(
                f"the environment gave an observation of shape {values.shape} and type {values.dtype}, and its "
                f"observation space is {describe_space(self._space)}: {_ADVICE}"
            )
        if values.shape != shape:
            raise SpecError(
                f"the environment gave an observation of shape {values.shape}, "
                f"and its observation space is {describe_space(self._space)}: {_ADVICE}"
            )
        lost = _lost(values, dtype)
        if lost is not None:
            raise SpecError(
                f"the environment gave {lost} in an observation, which {dtype} of its observation space "
                f"{describe_space(self._space)} cannot hold: {_ADVICE}"
            )


def check_reward(reward: Any) -> None:
    """Check that a reward is one number.

    Raises:
        SpecError: it is an array, or no number.
    """
    if isinstance(reward, float):  # NumPy's float64 too
        return
    values = _array(reward)
    if values.shape != () or values.dtype.kind not in _NUMBERS:
        raise SpecError(
            f"the environment gave a reward of shape {values.shape} and type {values.dtype}, not one number: "
            f"{_ADVICE}"
        )


def check_flags(terminated: Any, truncated: Any) -> None:
    """Check that the flags of an episode's end are true or false. A text or an array would pass for true.

    Raises:
        SpecError: one is neither a truth value nor 0 or 1.
    """
    for name, flag in (("terminated", terminated), ("truncated", truncated)):
        if isinstance(flag, bool | np.bool_):
            continue
        values = _array(flag)
        if values.shape != () or values.dtype.kind not in _NUMBERS or values not in (0, 1):
            raise SpecError(f"the environment gave {name} = {flag!r}, neither True nor False: {_ADVICE}")


def _lost(values: Array, dtype: np.dtype[Any]) -> Any:
    """Return the first number that ``dtype`` would change by more than the rounding of a float; None without one."""
    if np.can_cast(values.dtype, dtype) or values.dtype.kind == dtype.kind == "f":
        return None
    with np.errstate(invalid="ignore", over="ignore"):
        held = values.astype(dtype)
        # Back too: compared as floats, 2^53 and 2^53 + 1 would be equal.
        changed = (held != values) | (held.astype(values.dtype) != values)
    return values[changed].reshape(-1)[0] if changed.any() else None


def _array(given: Any) -> Array:
    try:
        return np.asarray(given)
    except ValueError:  # rows of different lengths
        return np.empty(0, np.object_)


def _kind(space: Space) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return the shape and dtype of an element."""
    return (space.shape, np.dtype(space.dtype)) if isinstance(space, BoxSpace) else ((), np.dtype(np.int64))
