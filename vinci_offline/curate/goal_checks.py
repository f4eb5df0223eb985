"""Check that a dataset can be relabelled: its spaces, and that a reward is the recorded one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from vinci_offline.curate.goals import GoalReward
from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.indexing import spaced_rows
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.spec import DictSpace, difference
from vinci_offline.types import Array

ACHIEVED = f"{layout.NEXT_OBSERVATIONS}/achieved_goal"
DESIRED = (f"{layout.OBSERVATIONS}/desired_goal", f"{layout.NEXT_OBSERVATIONS}/desired_goal")
_CHECKED = 20_000
_MOST_UNLIKE = 0.1
_ADVICE = "give an environment (--env) with a compute_terminated method"


def check_space(dataset: Dataset) -> None:
    """Refuse observations without goals.

    Raises:
        SpecError: they are no Dict with an achieved and a desired goal of one shape.
    """
    space = dataset.spec.observation_space
    if not isinstance(space, DictSpace) or not {"achieved_goal", "desired_goal"} <= set(space.spaces):
        raise SpecError(
            "relabelling needs Dict observations with achieved_goal and desired_goal, as goal environments have them"
        )
    achieved, desired = space.spaces["achieved_goal"], space.spaces["desired_goal"]
    if isinstance(achieved, DictSpace) or isinstance(desired, DictSpace):
        raise SpecError("relabelling needs goals that are arrays, not Dicts of them")
    if dataset.columns.shape(ACHIEVED) != dataset.columns.shape(DESIRED[0]):
        raise SpecError(f"achieved_goal and desired_goal differ in shape: {difference(achieved, desired)}")


def check_rewards(dataset: Dataset, reward: GoalReward) -> list[str]:
    """Compare the reward with the recorded one in at most twenty thousand rows, and return notes.

    Raises:
        UsageError: they differ in more than a tenth of the rows.
    """
    rows = spaced_rows(len(dataset), _CHECKED)
    gather = dataset.columns.gather
    achieved, desired = gather(ACHIEVED, rows), gather(DESIRED[1], rows)
    said = {
        layout.REWARDS: reward.rewards(achieved, desired),
        layout.TERMINALS: reward.terminals(achieved, desired),
    }
    notes = []
    for path, values in said.items():
        if values is None:
            continue
        unlike = ~np.isclose(values, gather(path, rows), rtol=1e-4, atol=1e-5)
        count = int(unlike.sum())
        if count > _MOST_UNLIKE * len(rows):
            raise UsageError(
                f"{path} of relabelled rows would not follow the rule of the recorded ones: they differ in {count:,} "
                f"of {len(rows):,} rows, the first is row {rows[int(np.argmax(unlike))]}; choose the environment or "
                "the threshold by which the data were recorded"
            )
        notes.append(f"{path} are the recorded ones in {len(rows) - count:,} of {len(rows):,} rows looked at")
    return notes


def terminal_rule(dataset: Dataset, reward: GoalReward) -> Callable[[Array, Array], Array]:
    """Return a function of achieved and desired goals that tells relabelled rows' terminals.

    Raises:
        UsageError: episodes terminate elsewhere than where they reach their goals.
    """

    def never(achieved: Array, desired: Array) -> Array:
        return np.zeros(len(achieved), np.bool_)

    def told(achieved: Array, desired: Array) -> Array:
        return np.asarray(reward.terminals(achieved, desired), np.bool_)

    def reached(achieved: Array, desired: Array) -> Array:
        return np.asarray(reward.reached(achieved, desired), np.bool_)

    first = [dataset.columns.read(path, slice(0, 1)) for path in (ACHIEVED, DESIRED[1])]
    if reward.terminals(*first) is not None:
        return told
    if not any(flags.any() for _, flags in dataset.columns.blocks(layout.TERMINALS)):
        return never
    if reward.reached(*first) is None:
        raise UsageError(
            f"the data have terminals, and the reward does not say which goals end an episode: {_ADVICE}"
        )
    paths = (ACHIEVED, DESIRED[1], layout.TERMINALS)
    for start, block in dataset.columns.together(paths):
        unlike = reached(block[ACHIEVED], block[DESIRED[1]]) != block[layout.TERMINALS]
        if unlike.any():
            row = start + int(np.argmax(unlike))
            raise UsageError(f"terminals are not where the goal is reached (row {row}): {_ADVICE}")
    return reached
