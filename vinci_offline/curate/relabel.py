"""Hindsight relabelling: add copies of transitions with goals that were reached.

Hindsight experience replay (Andrychowicz et al. 2017, arXiv 1707.01495) learns from episodes that missed their goals by
replaying them with goals that they did reach (section 3.3 there). Here the copies are rows of the dataset.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

import numpy as np

from vinci_offline.curate.goals import GoalReward
from vinci_offline.data import layout
from vinci_offline.data.columns import Column, LazyColumns
from vinci_offline.data.continuity import runs
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, RELABELLED, RETURN, START, TERMINATED, TRUNCATED
from vinci_offline.data.episodes import last_rows
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.spec import DictSpace, difference
from vinci_offline.types import Array, Columns

Strategy: TypeAlias = Literal["future", "random"]

_ACHIEVED = f"{layout.NEXT_OBSERVATIONS}/achieved_goal"
_DESIRED = (f"{layout.OBSERVATIONS}/desired_goal", f"{layout.NEXT_OBSERVATIONS}/desired_goal")
_CHECKED = 20_000
_MOST_UNLIKE = 0.1
_ADVICE = "give an environment (--env) with a compute_terminated method"


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
    no n-step target may reach across two goals. A copy is a timeout unless it is terminal. ``relabelled`` in the
    episode table numbers the copies; it is 0 for recorded episodes. Goals are looked up when they are read. Each new
    row takes about 70 bytes.

    Args:
        dataset: rows whose observations are a Dict with ``achieved_goal`` and ``desired_goal``.
        how: where goals come from, and how many.
        reward: the reward of a transition under a goal.

    Raises:
        SpecError: the observations have no such goals.
        UsageError: the recorded rewards are not those of ``reward``, or it cannot tell where episodes terminate.
    """
    _check_space(dataset)
    notes = _check_rewards(dataset, reward)
    ending = _ending(dataset, reward)
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


def _check_space(dataset: Dataset) -> None:
    space = dataset.spec.observation_space
    if not isinstance(space, DictSpace) or not {"achieved_goal", "desired_goal"} <= set(space.spaces):
        raise SpecError(
            "relabelling needs Dict observations with achieved_goal and desired_goal, as goal environments have them"
        )
    achieved, desired = space.spaces["achieved_goal"], space.spaces["desired_goal"]
    if isinstance(achieved, DictSpace) or isinstance(desired, DictSpace):
        raise SpecError("relabelling needs goals that are arrays, not Dicts of them")
    if dataset.columns.shape(_ACHIEVED) != dataset.columns.shape(_DESIRED[0]):
        raise SpecError(f"achieved_goal and desired_goal differ in shape: {difference(achieved, desired)}")


def _check_rewards(dataset: Dataset, reward: GoalReward) -> list[str]:
    """Compare the reward with the recorded one in at most twenty thousand rows, and return notes."""
    rows = np.unique(np.linspace(0, len(dataset) - 1, min(len(dataset), _CHECKED)).astype(np.int64))
    gather = dataset.columns.gather
    achieved, desired = gather(_ACHIEVED, rows), gather(_DESIRED[1], rows)
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


def _ending(dataset: Dataset, reward: GoalReward) -> Callable[[Array, Array], Array]:
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

    first = [dataset.columns.read(path, slice(0, 1)) for path in (_ACHIEVED, _DESIRED[1])]
    if reward.terminals(*first) is not None:
        return told
    if not any(flags.any() for _, flags in dataset.columns.blocks(layout.TERMINALS)):
        return never
    if reward.reached(*first) is None:
        raise UsageError(
            f"the data have terminals, and the reward does not say which goals end an episode: {_ADVICE}"
        )
    paths = (_ACHIEVED, _DESIRED[1], layout.TERMINALS)
    for start, block in dataset.columns.together(paths):
        unlike = reached(block[_ACHIEVED], block[_DESIRED[1]]) != block[layout.TERMINALS]
        if unlike.any():
            row = start + int(np.argmax(unlike))
            raise UsageError(f"terminals are not where the goal is reached (row {row}): {_ADVICE}")
    return reached


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
    for first, achieved in dataset.columns.blocks(_ACHIEVED):
        rows = slice(first, first + len(achieved))
        desired = dataset.columns.gather(_ACHIEVED, goals[rows])
        rewards[rows] = reward.rewards(achieved, desired)
        terminals[rows] = ending(achieved, desired)
    known = {layout.REWARDS: rewards, layout.TERMINALS: terminals, layout.TIMEOUTS: ~terminals}

    def part(path: str) -> Callable[[slice], Array]:
        if path in known:
            return known[path].__getitem__
        if path in _DESIRED:
            return lambda rows: dataset.columns.gather(_ACHIEVED, goals[rows]).astype(
                dataset.columns.dtype(path)
            )
        return lambda rows: dataset.columns.read(path, rows)

    columns = {
        path: Column(
            dataset.columns.shape(path),
            known[path].dtype if path in known else dataset.columns.dtype(path),
            part(path),
        )
        for path in dataset.columns
        if path != layout.ACTION_LOG_PROBS
    }

    def table() -> Columns:
        mine = dataset.episode_columns
        episodes = np.repeat(np.arange(len(mine[START])), mine[LENGTH])
        facts: dict[str, Any] = {name: values[episodes] for name, values in mine.items()}
        return {
            **facts,
            START: np.arange(len(dataset)),
            LENGTH: np.ones(len(dataset), np.int64),
            RETURN: rewards.astype(np.float64),
            TERMINATED: terminals,
            TRUNCATED: ~terminals,
            RELABELLED: np.full(len(dataset), number),
        }

    return Dataset(LazyColumns(columns), dataset.spec, table=table, attributes=dataset.attributes)
