"""Comparison of runs: which agent is better on a task, over seeds, and whether the seeds are enough to tell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.deviation import finite
from vinci_offline.envs.scores import Reference
from vinci_offline.errors import UsageError
from vinci_offline.evaluation.intervals import Interval, t_interval
from vinci_offline.evaluation.members import Member, evaluated, members, name_of
from vinci_offline.evaluation.statistics import (
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
)
from vinci_offline.types import FloatArray

ENOUGH = 5
"""Fewer seeds than this do not tell two agents apart, unless their intervals are far from each other."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds alone.

    Attributes:
        task: the environment and the dataset.
        name: the agent, and the settings in which groups of the task differ.
        scores: ``[R]`` the mean return of each seed's last evaluation.
        episodes: the fewest episodes of an evaluation.
        steps: the steps at which they were evaluated.
        agent: the agent.
        settings: all its settings by name.
        reference: the returns that stand for the scores 0 and 100; None where none are known.
        members: the runs, in the order of ``scores``.
    """

    task: str
    name: str
    scores: FloatArray
    episodes: int
    steps: tuple[int, ...]
    agent: str
    settings: Mapping[str, str]
    reference: Reference | None
    members: tuple[Member, ...] = ()

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return float(self.scores.mean())

    @property
    def interquartile_mean(self) -> float:
        """The mean of the middle half of the seeds."""
        return interquartile_mean(self.scores)

    @property
    def interval(self) -> Interval:
        """Student's 95% interval of the mean over seeds; NaN for one seed."""
        return t_interval(self.mean, self.scores - self.mean)

    @property
    def normalized(self) -> FloatArray | None:
        """``[R]`` the normalised scores; None without a reference."""
        return None if self.reference is None else self.reference.score(self.scores)

    @property
    def normalized_mean(self) -> float | None:
        """The mean over seeds as a score; None without a reference."""
        return None if self.reference is None else self.reference.score(self.mean)

    def to_json(self) -> dict[str, Any]:
        """Return the group's JSON object."""
        low, high = self.interval
        return {
            "task": self.task,
            "name": self.name,
            "seeds": len(self.scores),
            "episodes": self.episodes,
            "steps": list(self.steps),
            "mean": self.mean,
            "low": finite(low),
            "high": finite(high),
            "interquartile_mean": self.interquartile_mean,
            "normalized_mean": self.normalized_mean,
            "reference": None if self.reference is None else self.reference.to_json(),
            "scores": self.scores.tolist(),
        }


@dataclass(frozen=True)
class Duel:
    """The two best groups of a task.

    Attributes:
        task: the task.
        better: the group with the greater mean.
        other: the next one.
        probability: how probable a seed of the first is above a seed of the second.
        interval: its 95% bootstrap interval over seeds.
    """

    task: str
    better: Group
    other: Group
    probability: float
    interval: Interval

    @property
    def verdict(self) -> str:
        """One sentence: which is better, or that the seeds are too few to tell."""
        count = min(len(self.better.scores), len(self.other.scores))
        apart = self.better.interval.low > self.other.interval.high
        told = f"{self.better.name} above {self.other.name} in {self.probability:.0%} of pairs of seeds"
        if count > 1:
            told += f" (95% interval {self.interval.low:.0%} to {self.interval.high:.0%})"
        if apart or (count >= ENOUGH and self.interval.low > 0.5):
            return f"{self.better.name} is better than {self.other.name}: {told}"
        few = f"; {count} seed{'s are' if count > 1 else ' is'} too few to tell" if count < ENOUGH else ""
        return f"these runs do not tell {self.better.name} and {self.other.name} apart: {told}{few}"

    def to_json(self) -> dict[str, Any]:
        """Return the duel's JSON object."""
        return {
            "task": self.task,
            "better": self.better.name,
            "other": self.other.name,
            "probability": self.probability,
            "low": self.interval.low,
            "high": self.interval.high,
            "verdict": self.verdict,
        }


def compare(runs: Sequence[str | Path]) -> tuple[list[Group], list[Duel]]:
    """Compare runs by their last evaluations, never by their best.

    Runs of one agent with the same settings on the same data are one group, over their seeds.

    Args:
        runs: run directories, directories of several seeds, and directories of sweeps, whose finished cells count.

    Returns:
        The groups, the best of each task first, and the two best of each task with more than one.

    Raises:
        UsageError: a run has no evaluation, or two have the same seed.
    """
    return compare_members(members(runs))


def compare_members(found: Sequence[Member]) -> tuple[list[Group], list[Duel]]:
    """Compare runs as `compare` does.

    Args:
        found: the runs.

    Raises:
        UsageError: as `compare`.
    """
    groups = _groups(evaluated(found))
    duels = []
    for task in dict.fromkeys(group.task for group in groups):
        better, *rest = [group for group in groups if group.task == task]
        if rest:
            pair = better.scores[:, None], rest[0].scores[:, None]
            ends = stratified_bootstrap(probability_of_improvement, *pair)
            duels.append(Duel(task, better, rest[0], probability_of_improvement(*pair), ends))
    return groups, duels


def _groups(members: Sequence[Member]) -> list[Group]:
    found: dict[tuple[str, str, str], list[Member]] = {}
    for member in members:
        key = member.task, member.agent, json.dumps(member.settings, sort_keys=True)
        found.setdefault(key, []).append(member)
    groups = []
    for (task, agent, _), each in found.items():
        seeds = [member.seed for member in each]
        if twice := [seed for seed in seeds if seeds.count(seed) > 1]:
            raise UsageError(f"two runs of {agent} on {task} have seed {twice[0]}: leave one out")
        last = [member.last for member in each if member.last is not None]
        groups.append(
            Group(
                task,
                name_of(each[0], members),
                np.array([score.mean for score in last]),
                min(score.episodes for score in last),
                tuple(sorted({score.step for score in last})),
                agent,
                each[0].settings,
                each[0].reference,
                tuple(each),
            )
        )
    return sorted(groups, key=lambda group: (group.task, -group.mean))
