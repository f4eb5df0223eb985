"""A dataset of twelve rows, written down by hand, and the numbers that every station must give.

A walker counts places. Row t stands at ``PLACE[t]`` and steps to ``NEXT_PLACE[t]``. Everything else follows from the
place, so one look tells which row a number came from:

- ``observations/state`` is the place, and a clock of large offset, 1.7e9 s plus 1/8 s a place, float64;
- ``observations/tag`` is a whole number beyond 32 bits, 3e9 plus the place, int64;
- the first action is bounded by -2 and 2, the second has one bound, 0;
- the reward of row t is 2^t, so a sum of rewards names its rows.

| rows | end | why it ends |
| --- | --- | --- |
| 0 … 3 | terminal | the environment terminated |
| 4 … 6 | timeout | the observations go on, the episode does not |
| 7, 8 | neither | the episode table ends it; the observations go on |
| 9, 10 | neither | row 11 does not continue it |
| 11 | neither | the recording ends |
"""

from __future__ import annotations

import numpy as np

from vinci_offline import Dataset, EnvironmentSpec
from vinci_offline.spec import BoxSpace, DictSpace

GAMMA = 0.5
ROWS = 12
LENGTHS = [4, 3, 2, 3]
"""Lengths of the episodes in the table. The last one holds the gap between the rows 10 and 11."""

PLACE = np.array([10, 11, 12, 13, 20, 21, 22, 23, 24, 25, 26, 40])
NEXT_PLACE = np.array([11, 12, 13, 14, 21, 22, 23, 24, 25, 26, 27, 41])
TERMINAL_ROW, TIMEOUT_ROW = 3, 6
REWARD = 2.0 ** np.arange(ROWS)
STEER = np.array([-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 1, 0, -1], np.float32)
PUSH = np.array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], np.float32)

BATCHES = {
    # n: (summed reward, discount, place that is bootstrapped from), by row
    1: (
        [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048],
        [0.5, 0.5, 0.5, 0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
        [11, 12, 13, 14, 21, 22, 23, 24, 25, 26, 27, 41],
    ),
    3: (
        # 1 + 2/2 + 4/4; 2 + 4/2 + 8/4; 4 + 8/2; 8; 16 + 32/2 + 64/4; 32 + 64/2; 64; 128 + 256/2; 256; …
        [3, 6, 8, 8, 48, 64, 64, 256, 256, 1024, 1024, 2048],
        [0.125, 0, 0, 0, 0.125, 0.25, 0.5, 0.25, 0.5, 0.25, 0.5, 0.5],
        [13, 14, 14, 14, 23, 23, 23, 25, 25, 27, 27, 41],
    ),
}
"""Batches with the discount `GAMMA`, summed by hand from the table above."""


def clock(place):
    """Return the seconds at a place, float64: float32 has steps of 128 there."""
    return 1.7e9 + np.asarray(place) / 8


def tag(place):
    """Return the whole number of a place: int32 wraps there, and float32 has steps of 256."""
    return 3_000_000_000 + np.asarray(place, np.int64)


def hand_made_spec():
    """Return the environment: a Dict of float64 and int64 parts, and a half-bounded action."""
    state = BoxSpace((2,), "float64", np.full(2, -np.inf), np.full(2, np.inf))
    whole = BoxSpace((1,), "int64", np.array([0]), np.array([2**40]))
    actions = BoxSpace((2,), "float32", np.array([-2, 0], np.float32), np.array([2, np.inf], np.float32))
    return EnvironmentSpec(DictSpace({"state": state, "tag": whole}), actions, id="HandMade-v0")


def observed(place, prefix="observations"):
    """Return the columns of observations at places."""
    return {
        f"{prefix}/state": np.stack([np.asarray(place, np.float64), clock(place)], axis=1),
        f"{prefix}/tag": tag(place)[:, None],
    }


def hand_made():
    """Return the dataset."""
    rows = np.arange(ROWS)
    columns = {
        **observed(PLACE),
        "actions": np.stack([STEER, PUSH], axis=1),
        "rewards": REWARD,
        **observed(NEXT_PLACE, "next_observations"),
        "terminals": rows == TERMINAL_ROW,
        "timeouts": rows == TIMEOUT_ROW,
    }
    return Dataset.from_columns(columns, hand_made_spec(), {"length": LENGTHS}, float64=True)
