"""Comparison of runs: which agent is better on a task, over seeds, and whether the seeds are enough to tell."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.deviation import finite
from vinci_offline.errors import UsageError
from vinci_offline.evaluation.intervals import Interval, t_interval
from vinci_offline.evaluation.statistics import (
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
)
from vinci_offline.hooks.csv_log import last_row
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.types import FloatArray

ENOUGH = 5
"""Fewer seeds than this do not tell two agents apart, unless their intervals are far from each other."""
_NOT_SETTINGS = ("seed", "log_every", "checkpoint_every", "eval_every", "eval_episodes")


@dataclass(frozen=True)
class Member:
    """One run's last evaluation.

    Attributes:
        task: the environment and the dataset.
        agent: the agent's name.
        settings: all that may differ between runs of one agent, the seed left out, by name.
        seed: the training seed.
        step: the step of the evaluation.
        score: the mean return of its episodes.
        episodes: their number.
    """

    task: str
    agent: str
    settings: Mapping[str, str]
    seed: int
    step: int
    score: float
    episodes: int


@dataclass(frozen=True)
class Group:
    """Runs that differ in their seeds alone.

    Attributes:
        task: the environment and the dataset.
        name: the agent, and the settings in which groups of the task differ.
        scores: ``[R]`` the mean return of each seed's last evaluation.
        episodes: the fewest episodes of an evaluation.
        steps: the steps at which they were evaluated.
    """

    task: str
    name: str
    scores: FloatArray
    episodes: int
    steps: tuple[int, ...]

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
        runs: run directories, and directories of several seeds.

    Returns:
        The groups, the best of each task first, and the two best of each task with more than one.

    Raises:
        UsageError: a run has no evaluation, or two have the same seed.
    """
    groups = _groups([_member(path) for run in runs for path in _directories(Path(run))])
    duels = []
    for task in dict.fromkeys(group.task for group in groups):
        better, *rest = [group for group in groups if group.task == task]
        if rest:
            pair = better.scores[:, None], rest[0].scores[:, None]
            ends = stratified_bootstrap(probability_of_improvement, *pair)
            duels.append(Duel(task, better, rest[0], probability_of_improvement(*pair), ends))
    return groups, duels


def _directories(run: Path) -> Iterator[Path]:
    seeds = SeedsDirectory(run)
    if not seeds.exists():
        yield run
        return
    for seed in seeds.read()["seeds"]:
        yield seeds.member(seed).path


def _member(path: Path) -> Member:
    run = RunDirectory(path)
    config = run.config()
    last = last_row(path / "evaluations.csv")
    if "return_mean" not in last:
        raise UsageError(f"{path} ends without an evaluation to compare: train with --eval-every N")
    environment = run.environment().id or "an environment"
    with run.explained("config.json"):
        training = dict(config["training"])
        settings = {**config["hyperparameters"], **training}
        settings |= {name: config.get(name) for name in ("steps", "networks", "init")}
        return Member(
            f"{environment}, {_data(run)}",
            run.agent(),
            {
                name: json.dumps(value, sort_keys=True)
                for name, value in settings.items()
                if name not in _NOT_SETTINGS
            },
            int(training["seed"]),
            int(last["step"]),
            float(last["return_mean"]),
            int(last["episodes"]),
        )


def _data(run: RunDirectory) -> str:
    """Return the names of a run's files, with the beginning of the dataset's hash."""
    content = run.dataset()
    with run.explained("dataset.json"):
        names = "+".join(Path(str(name)).stem for name in content["files"])
        return f"{names} {str(content['hash'])[:8]}"


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
        others = [member.settings for member in members if (member.task, member.agent) == (task, agent)]
        differing = [
            f"{name}={value}"
            for name, value in each[0].settings.items()
            if any(other.get(name) != value for other in others)
        ]
        groups.append(
            Group(
                task,
                " ".join([agent, *differing]),
                np.array([member.score for member in each]),
                min(member.episodes for member in each),
                tuple(sorted({member.step for member in each})),
            )
        )
    return sorted(groups, key=lambda group: (group.task, -group.mean))
