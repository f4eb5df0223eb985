"""Agents over several tasks: interquartile means and optimality gaps of their scores, and who improves on whom."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vinci_offline.evaluation.comparison import ENOUGH, Group
from vinci_offline.evaluation.intervals import Interval
from vinci_offline.evaluation.statistics import (
    interquartile_mean,
    optimality_gap,
    probability_of_improvement,
    stratified_bootstrap,
)
from vinci_offline.types import FloatArray

OPTIMUM = 100.0
"""The score of an expert."""


@dataclass(frozen=True)
class Overall:
    """An agent with the same settings on all tasks.

    Attributes:
        name: the agent, and the settings in which those of its name differ.
        scores: ``[R, M]`` the normalised score of each seed's last evaluation, of each task.
        episodes: the fewest episodes of an evaluation.
    """

    name: str
    scores: FloatArray
    episodes: int

    @property
    def interquartile_mean(self) -> tuple[float, Interval]:
        """The interquartile mean of all scores, with its interval."""
        return self._with_interval(interquartile_mean)

    @property
    def optimality_gap(self) -> tuple[float, Interval]:
        """By how much scores fall short of an expert's, on average, with its interval."""
        return self._with_interval(lambda scores: optimality_gap(scores, OPTIMUM))

    def to_json(self) -> dict[str, Any]:
        """Return the agent's JSON object."""
        told: dict[str, Any] = {
            "name": self.name,
            "seeds": self.scores.shape[0],
            "tasks": self.scores.shape[1],
            "episodes": self.episodes,
            "mean": float(self.scores.mean()),
        }
        for key in ("interquartile_mean", "optimality_gap"):
            value, ends = getattr(self, key)
            told |= {key: value, f"{key}_low": ends.low, f"{key}_high": ends.high}
        return told

    def _with_interval(self, statistic: Callable[[FloatArray], float]) -> tuple[float, Interval]:
        return statistic(self.scores), stratified_bootstrap(statistic, self.scores)


@dataclass(frozen=True)
class Summary:
    """Agents over the same tasks, the greatest interquartile mean first.

    Attributes:
        agents: the agents.
        tasks: the names of the tasks.
    """

    agents: tuple[Overall, ...]
    tasks: tuple[str, ...]

    @property
    def verdict(self) -> str | None:
        """One sentence on the two best agents; None for a single one."""
        if len(self.agents) < 2:
            return None
        better, other = self.agents[:2]
        value = probability_of_improvement(better.scores, other.scores)
        ends = stratified_bootstrap(probability_of_improvement, better.scores, other.scores)
        seeds = min(len(each.scores) for each in (better, other))
        told = (
            f"over {len(self.tasks)} tasks {better.name} scores above {other.name} with probability {value:.2f} "
            f"(95% interval {ends.low:.2f} to {ends.high:.2f})"
        )
        if seeds < ENOUGH:
            return f"{told}; {seeds} seed{'s' if seeds > 1 else ''} a task may be too few to tell"
        return f"{told}: {'it is better' if ends.low > 0.5 else 'that does not tell them apart'}"

    def to_json(self) -> dict[str, Any]:
        """Return the summary's JSON object."""
        return {
            "tasks": list(self.tasks),
            "agents": [each.to_json() for each in self.agents],
            "verdict": self.verdict,
        }


def summarize(groups: Sequence[Group]) -> Summary | str | None:
    """Return the agents that have runs with the same settings of all tasks.

    Args:
        groups: of several tasks.

    Returns:
        None for a single task; a text that says why there is no summary of several.
    """
    tasks = tuple(dict.fromkeys(group.task for group in groups))
    if len(tasks) < 2:
        return None
    if without := next((group.task for group in groups if group.reference is None), None):
        return (
            f"no summary over tasks: {without} has no references of scores (collect --expert measures them)"
        )
    found: dict[tuple[str, str], dict[str, Group]] = {}
    for group in groups:
        key = group.agent, json.dumps(dict(group.settings), sort_keys=True)
        found.setdefault(key, {})[group.task] = group
    whole = [each for each in found.values() if len(each) == len(tasks)]
    if not whole:
        return "no summary over tasks: no agent has runs of all tasks with the same settings"
    if uneven := next(
        (each for each in whole if len({len(group.scores) for group in each.values()}) > 1), None
    ):
        name = next(iter(uneven.values())).agent
        return f"no summary over tasks: {name} has not as many seeds on each task"
    agents = [
        _overall([each[task] for task in tasks], [next(iter(one.values())) for one in whole])
        for each in whole
    ]
    return Summary(tuple(sorted(agents, key=lambda agent: -interquartile_mean(agent.scores))), tasks)


def _overall(groups: Sequence[Group], others: Sequence[Group]) -> Overall:
    first = groups[0]
    differing = [
        f"{name}={value}"
        for name, value in first.settings.items()
        if any(other.agent == first.agent and other.settings.get(name) != value for other in others)
    ]
    scores = np.stack([each for group in groups if (each := group.normalized) is not None], axis=1)
    return Overall(" ".join([first.agent, *differing]), scores, min(group.episodes for group in groups))
