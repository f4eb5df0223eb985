"""Hindsight relabelling: add copies of transitions with goals that were reached.

Hindsight experience replay (Andrychowicz et al. 2017, arXiv 1707.01495) learns from episodes that missed their goals by
replaying them with goals that they did reach (section 3.3 there). Here the copies are rows of the dataset.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np

from vinci_offline.curate.goal_checks import ACHIEVED, DESIRED, check_rewards, check_space, terminal_rule
from vinci_offline.curate.goals import GoalReward
from vinci_offline.data import layout
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.continuity import runs
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import (
    FRAGMENT,
    LENGTH,
    RELABELLED,
    RETURN,
    START,
    TERMINATED,
    TRUNCATED,
)
from vinci_offline.data.episodes import last_rows
from vinci_offline.errors import UsageError
from vinci_offline.types import Array, Columns

Strategy: TypeAlias = Literal["future", "random"]


@dataclass(frozen=True)
class Relabelling:
    """Source of new goals.

    Attributes:
        strategy: ``future``: a goal that the same episode reached in this row or later, before any gap in its rows;
            ``random``: a goal that any row of the dataset reached (section 4.5 of the paper).
        copies: relabelled copies of each row (k in the paper).
        seed: seed of the draws. The k-th goal of a row depends on the seed, k and the row's number alone.
    """

    strategy: Strategy
    copies: int
    seed: int = 0

    @classmethod
    def parse(cls, text: str, seed: int = 0) -> Relabelling:
        """Read ``future:4`` or ``random:1``.

        Raises:
            UsageError: the text is neither.
        """
        strategy, _, copies = text.partition(":")
        if strategy not in get_args(Strategy) or not copies.isdecimal() or int(copies) < 1:
            raise UsageError(
                f"relabel {text!r}: write future:K or random:K, with K copies of each row, as in future:4"
            )
        return cls(cast("Strategy", strategy), int(copies), seed)


@dataclass(frozen=True)
class Relabelled:
    """A dataset with its relabelled copies, and notes.

    Attributes:
        dataset: the recorded rows, then all of them again for each copy.
        notes: one line for each finding and decision.
    """

    dataset: Dataset
    notes: tuple[str, ...]


def relabel(dataset: Dataset, how: Relabelling, reward: GoalReward) -> Relabelled:
    """Add copies of all rows with goals that were reached.

    A copy keeps the observation, the action and the next observation. Its goal is an achieved goal, and its reward and
    terminal are computed for that goal. Each copy has a goal of its own, so it is an episode of one row: no return and
    no n-step target may reach across two goals. A copy is a fragment, and a timeout unless it is terminal.
    ``relabelled`` in the episode table numbers the copies; it is 0 for recorded episodes. Goals are looked up when they
    are read. Each new row takes about 70 bytes.

    Args:
        dataset: rows whose observations are a Dict with ``achieved_goal`` and ``desired_goal``.
        how: where goals come from, and how many.
        reward: the reward of a transition under a goal.

    Raises:
        SpecError: the observations have no such goals.
        UsageError: the recorded rewards are not those of ``reward``, or it cannot tell where episodes terminate.
    """
    check_space(dataset)
    notes = check_rewards(dataset, reward)
    ending = terminal_rule(dataset, reward)
    parts = [_recorded(dataset)]
    rng = np.random.default_rng([how.seed, 4])
    parts += [
        _copy(dataset, _goals(dataset, how.strategy, rng), reward, ending, copy)
        for copy in range(1, how.copies + 1)
    ]
    told = {"strategy": how.strategy, "copies": how.copies, "seed": how.seed}
    if layout.ACTION_LOG_PROBS in dataset.columns:
        notes.append("action_log_probs are left out: they are densities under the recorded goals")
    joined = Dataset.concatenate(parts)
    parents = dataset.attributes.get("parents", [dataset.hash])
    return Relabelled(joined.with_attributes({"relabelling": told, "parents": parents}), tuple(notes))


def _goals(dataset: Dataset, strategy: Strategy, rng: np.random.Generator) -> Array:
    """Draw ``[N]``: the row whose achieved goal each row is given."""
    draws = rng.random(len(dataset))
    if strategy == "random":
        return (draws * len(dataset)).astype(np.int64)
    table, rows = dataset.episode_columns, np.arange(len(dataset))
    start, length = runs(dataset.columns, last_rows(table))
    left = np.repeat(start + length, length) - rows
    return rows + (draws * left).astype(np.int64)


def _recorded(dataset: Dataset) -> Dataset:
    """Return the recorded rows; the episode table marks them as no copies."""

    def table() -> Columns:
        mine = dataset.episode_columns
        return {**mine, RELABELLED: np.zeros(len(mine[START]), np.int64)}

    return Dataset(dataset.columns, dataset.spec, table=table, attributes=dataset.attributes)


def _copy(
    dataset: Dataset,
    goals: Array,
    reward: GoalReward,
    ending: Callable[[Array, Array], Array],
    number: int,
) -> Dataset:
    """Return all rows with other goals.

    Args:
        dataset: the recorded rows.
        goals: ``[N]`` the row whose achieved goal each row is given.
        reward: the reward of a transition under a goal.
        ending: tells terminals from achieved and desired goals.
        number: the number of the copy.
    """
    rewards = np.empty(len(dataset), dataset.columns.dtype(layout.REWARDS))
    terminals = np.empty(len(dataset), np.bool_)
    for first, achieved in dataset.columns.blocks(ACHIEVED):
        rows = slice(first, first + len(achieved))
        desired = dataset.columns.gather(ACHIEVED, goals[rows])
        rewards[rows] = reward.rewards(achieved, desired)
        terminals[rows] = ending(achieved, desired)
    computed = {layout.REWARDS: rewards, layout.TERMINALS: terminals, layout.TIMEOUTS: ~terminals}
    return Dataset(
        _columns(dataset, goals, computed),
        dataset.spec,
        table=lambda: _table(dataset, rewards, terminals, number),
        attributes=dataset.attributes,
    )


def _columns(dataset: Dataset, goals: Array, computed: Mapping[str, Array]) -> LazyColumns:
    """Return the columns of a copy. Goals are looked up when they are read.

    Args:
        dataset: the recorded rows.
        goals: ``[N]`` the row whose achieved goal each row is given.
        computed: columns that depend on the goal, by path.
    """

    def part(path: str) -> Callable[[slice], Array]:
        if path in computed:
            return computed[path].__getitem__
        if path in DESIRED:
            dtype = dataset.columns.dtype(path)
            return lambda rows: dataset.columns.gather(ACHIEVED, goals[rows]).astype(dtype)
        return lambda rows: dataset.columns.read(path, rows)

    return LazyColumns(
        {
            path: Column(
                dataset.columns.shape(path),
                computed[path].dtype if path in computed else dataset.columns.dtype(path),
                part(path),
            )
            for path in dataset.columns
            if path != layout.ACTION_LOG_PROBS
        }
    )


def _table(dataset: Dataset, rewards: Array, terminals: Array, number: int) -> Columns:
    """Return the episode table of a copy: each row is a fragment of an episode, with the facts of the recorded one."""
    recorded = dataset.episode_columns
    episodes = np.repeat(np.arange(len(recorded[START])), recorded[LENGTH])
    facts: dict[str, Any] = {name: values[episodes] for name, values in recorded.items()}
    return {
        **facts,
        START: np.arange(len(dataset)),
        LENGTH: np.ones(len(dataset), np.int64),
        RETURN: rewards.astype(np.float64),
        TERMINATED: terminals,
        TRUNCATED: ~terminals,
        FRAGMENT: np.ones(len(dataset), np.bool_),
        RELABELLED: np.full(len(dataset), number),
    }
