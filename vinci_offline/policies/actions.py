"""Between a policy's output and an environment's action: the only conversion, for every policy and every space.

`to_actions` and `to_choices` turn what a policy gives into actions, which a recording stores; `to_environment` turns
these, or stored ones, into what ``env.step`` takes. So what is stored is what acted.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.spec import BoxSpace, DiscreteSpace, MultiDiscreteSpace, Space, describe_space
from vinci_offline.types import Array


class ActionError(SpecError):
    """Output of a policy that is no action of its environment.

    Attributes:
        lane: the lane whose output it is; None where all lanes' output is wrong.
    """

    lane: int | None = None

    @classmethod
    def of(cls, message: str, lane: int | None = None) -> ActionError:
        """Return the error of one lane, or of all."""
        error = cls(message)
        error.lane = lane
        return error


def to_actions(actions: Any, space: Space, lanes: int) -> Array:
    """Turn a policy's output into ``[L, ...]`` actions of the space's dtype, clipped to a Box's bounds.

    An action may be flat, and axes of length one do not count. One lane may leave its axis out. Floats may stand for
    whole numbers, if they are whole.

    Args:
        actions: the policy's output.
        space: the action space.
        lanes: L.

    Raises:
        ActionError: the output has another shape, is NaN, holds fractions where the space has whole numbers, or is not
            among a space's choices.
    """
    try:
        array = np.asarray(actions)
    except ValueError as error:
        raise ActionError(f"the policy gave actions of unequal shapes: {error}") from error
    shape = space.shape if isinstance(space, BoxSpace) else ()
    if lanes == 1 and array.shape == shape:
        array = array[None]
    if array.dtype.kind not in "fiub" or array.ndim == 0 or not _alike(array.shape[1:], shape):
        raise ActionError(
            f"the policy gave actions of shape {array.shape[1:]} and type {array.dtype}; "
            f"the environment takes {describe_space(space)}"
        )
    check_lanes(array, lanes)
    array = array.reshape(lanes, *shape)
    check_no_nan(array, "an action")
    if isinstance(space, DiscreteSpace):
        return _choices(array, space, np.int64, space.start, space.start + space.n - 1)
    assert isinstance(space, BoxSpace)
    dtype = np.dtype(space.dtype)
    if isinstance(space, MultiDiscreteSpace):
        return _choices(array, space, dtype, space.low, space.high)
    if dtype.kind != "f":
        return _whole_numbers(array, space, dtype)
    return _numbers(array, space, dtype)


def to_choices(scores: Array, space: DiscreteSpace, lanes: int) -> Array:
    """Return the choice of the greatest score of each lane.

    Args:
        scores: ``[L, n]``.
        space: the action space.
        lanes: L.

    Raises:
        ActionError: a score is NaN, or a lane has none.
    """
    check_lanes(scores, lanes)
    check_no_nan(scores, "a score")
    choices: Array = scores.reshape(lanes, space.n).argmax(axis=1) + space.start
    return choices


def to_environment(actions: Array, space: Space) -> list[Any]:
    """Return each action as ``env.step`` takes it.

    An action of a Discrete space is an int; others are arrays of the space's shape and dtype, and copies, because an
    environment may write to its argument.

    Args:
        actions: ``[L, ...]`` actions that `to_actions` returned, or stored ones.
        space: the action space.
    """
    if not isinstance(space, BoxSpace):
        choices: list[Any] = actions.tolist()
        return choices
    copied = np.array(actions, space.dtype)
    # A row of one axis would be a scalar, and Gymnasium's spaces hold arrays.
    return (
        list(copied)
        if copied.ndim > 1
        else [copied[lane : lane + 1].reshape(()) for lane in range(len(copied))]
    )


def check_lanes(output: Array, lanes: int) -> None:
    """Check that a policy's output has a row for each lane. NumPy would spread a single row over all lanes.

    Raises:
        ActionError: it has another number of rows.
    """
    if len(output) != lanes:
        raise ActionError(
            f"the policy gave {len(output)} rows for {lanes} lanes: its output needs one for each observation"
        )


def check_no_nan(output: Array, what: str) -> None:
    """Check that a policy's output holds no NaN.

    Args:
        output: ``[L, ...]``.
        what: what an entry is, for the message.

    Raises:
        ActionError: it does.
    """
    if output.dtype.kind == "f" and np.isnan(output).any():
        raise ActionError.of(
            f"the policy gave {what} that is NaN: check its observations and weights",
            _first(np.isnan(output)),
        )


def _numbers(array: Array, space: BoxSpace, dtype: np.dtype[Any]) -> Array:
    clipped = np.clip(array, space.low, space.high)
    if clipped.dtype == dtype:
        return clipped
    with np.errstate(over="ignore"):
        held: Array = clipped.astype(dtype)
    lost = np.isinf(held) & np.isfinite(clipped)
    if lost.any():
        raise ActionError.of(
            f"the policy gave the action {clipped[lost][0]}, which {dtype} cannot hold; the environment takes "
            f"{describe_space(space)}",
            _first(lost),
        )
    return held


def _whole_numbers(array: Array, space: BoxSpace, dtype: np.dtype[Any]) -> Array:
    """Return whole numbers of a Box, clipped to its bounds."""
    low, high = space.low.astype(dtype), space.high.astype(dtype)
    fractions = array != np.rint(array)
    if fractions.any():
        raise ActionError.of(
            f"the policy gave the action {array[fractions][0]}, and the environment takes whole numbers, "
            f"{describe_space(space)}: round it in the policy",
            _first(fractions),
        )
    # Compare before the cast: a number beyond the dtype would wrap.
    with np.errstate(invalid="ignore"):
        held = array.astype(dtype)
    clipped: Array = np.where(array <= low, low, np.where(array >= high, high, held))
    return clipped


def _choices(array: Array, space: Space, dtype: Any, low: Any, high: Any) -> Array:
    """Return choices, which are labels: none stands for another, so none is clipped."""
    outside = (array < low) | (array > high)
    if array.dtype.kind == "f":
        outside |= array != np.rint(array)
    if outside.any():
        to = "" if isinstance(space, BoxSpace) else f": {low} to {high}"
        raise ActionError.of(
            f"the policy gave the action {array[outside][0]}; the environment takes {describe_space(space)}{to}",
            _first(outside),
        )
    return array.astype(dtype)


def _first(wrong: Array) -> int:
    """Return the first lane with a wrong entry."""
    return int(np.argmax(wrong.reshape(len(wrong), -1).any(axis=1)))


def _alike(given: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Return True where two shapes differ by axes of length one at most, or one of them is flat."""
    one, other = ([size for size in each if size != 1] for each in (given, shape))
    return one == other or (len(one) <= 1 and math.prod(given) == math.prod(shape))
