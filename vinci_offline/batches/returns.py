"""Sums of rewards: n-step returns and returns to go."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vinci_offline.batches.names import ReturnToGo
from vinci_offline.batches.runs import Runs
from vinci_offline.data.columns import LazyColumns
from vinci_offline.data.layout import REWARDS, TERMINALS
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.types import Array, FloatArray

_BLOCK_ROWS = 2**16


def n_step_returns(
    rewards: FloatArray, terminals: Array, continues: Array, *, gamma: float, n_step: int
) -> tuple[FloatArray, FloatArray, Array]:
    """Sum rewards over n steps, and discount what is bootstrapped after them (Sutton and Barto, 2018, eq. 7.1).

    A run that ends sooner is summed to its end. Its last observation is bootstrapped from, unless it is terminal.

    Args:
        rewards: ``[N]``.
        terminals: ``[N]`` bool: the environment terminated, and nothing is bootstrapped past it.
        continues: ``[N]`` bool: the next row continues this one.
        gamma: the discount factor a step.
        n_step: how many rewards to sum.

    Returns:
        ``[N]`` float32 reward; ``[N]`` float32 discount ``gamma**m * (1 - terminal)``, where ``m <= n_step`` rewards
        are summed; and ``[N]`` the last row summed, whose next observation is bootstrapped from.
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


def returns_to_go(
    columns: LazyColumns,
    runs: Runs,
    wish: ReturnToGo,
    gamma: float,
    rewarded: Callable[[Array], Array] = np.asarray,
) -> FloatArray:
    """Return ``[N]`` float32: the discounted sum of rewards from each row to the end of its run.

    Args:
        columns: N rows.
        runs: their runs.
        wish: the discount, and the rule for runs that are cut.
        gamma: the discount factor where ``wish`` names none.
        rewarded: gives rewards in the units of the run; by default as they are.

    Raises:
        DatasetError: runs are cut, and the rule is to refuse them.
        UsageError: a last reward that is paid for ever has no finite sum.
    """
    discount = gamma if wish.discount is None else wish.discount
    last = runs.last
    cut = last[~columns.gather(TERMINALS, last).astype(np.bool_)]
    if wish.unfinished == "refuse" and len(cut):
        raise DatasetError(
            f"return_to_go: {len(cut)} of {len(last)} episodes are cut before they terminate, the first at row "
            f"{cut[0]}, and what they would have returned is unknown: choose ReturnToGo(unfinished='extend') or "
            "'sum' in the agent, or leave these episodes out (Dataset.select_episodes)"
        )
    if wish.unfinished == "extend" and discount == 1.0:
        raise UsageError("return_to_go: unfinished='extend' needs a discount below 1")
    result = np.empty(columns.shape(REWARDS)[0], np.float32)
    later = 0.0  # the return of the first row of the block after this one
    # The blocks are the same for whoever reads, so that the sums are the same bits.
    for start in reversed(range(0, len(result), _BLOCK_ROWS)):
        rows = slice(start, min(start + _BLOCK_ROWS, len(result)))
        rewards = rewarded(columns.read(REWARDS, rows)).astype(np.float64)
        factor = np.full(len(rewards), discount)
        factor[_within(last, rows)] = 0.0
        if wish.unfinished == "extend":
            rewards[_within(cut, rows)] /= 1.0 - discount
        rewards[-1] += factor[-1] * later
        factor[-1] = 0.0
        sums = _discounted_sums(rewards, factor)
        result[rows], later = sums, float(sums[0])
    return result


def _discounted_sums(rewards: FloatArray, factor: FloatArray) -> FloatArray:
    """Return ``total[t] = rewards[t] + factor[t] * total[t + 1]``; the last factor is zero.

    Each round doubles the number of rewards that are summed.
    """
    total, shift = rewards.copy(), 1
    while shift < len(total) and factor.any():
        total[:-shift] += factor[:-shift] * total[shift:]
        factor[:-shift] *= factor[shift:]
        shift *= 2
    return total


def _within(rows: Array, block: slice) -> Array:
    """Return the ascending ``rows`` that are in a block, counted from its start."""
    first, beyond = np.searchsorted(rows, (block.start, block.stop))
    found: Array = rows[first:beyond] - block.start
    return found
