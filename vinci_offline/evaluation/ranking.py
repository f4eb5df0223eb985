"""Ranking of runs without their environment, and how good it proved where they were evaluated in it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vinci_offline.agents import fqe
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.episode_columns import LENGTH, START
from vinci_offline.deviation import finite
from vinci_offline.errors import UsageError
from vinci_offline.evaluation.judging import VALUE, Judge, Judged
from vinci_offline.evaluation.members import Member, members, name_of
from vinci_offline.evaluation.ranks import rank_correlation, regret_at
from vinci_offline.hooks.csv_log import last_values
from vinci_offline.text import counted, did_you_mean

FQE = "fqe"
TRIED = (1, 2, 3)
"""Numbers of first policies for which the regret is told."""
_FEW = 5
_NEAR = 0.02
"""Values of all runs that differ by a smaller share give no order to rely on."""


@dataclass(frozen=True)
class Ranked:
    """A run in a ranking.

    Attributes:
        member: the run.
        name: its agent, and the settings in which runs of the agent differ.
        value: what ranks it.
        standard_error: of ``value`` over initial states; None where it is not known.
    """

    member: Member
    name: str
    value: float
    standard_error: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the run's JSON object."""
        last = self.member.last
        return {
            "run": str(self.member.path),
            "name": self.name,
            "seed": self.member.seed,
            "value": self.value,
            "standard_error": self.standard_error,
            "return_mean": None if last is None else last.mean,
            "episodes": None if last is None else last.episodes,
        }


@dataclass(frozen=True)
class Ranking:
    """Runs of one task by an estimate.

    Attributes:
        task: the environment and the data.
        by: what ranks them.
        runs: the best first.
        lower: True where lower values are better.
        episodes: the episodes that judge them; None for a number of their training.
        notes: what to know of the ranking, a line each.
    """

    task: str
    by: str
    runs: tuple[Ranked, ...]
    lower: bool = False
    episodes: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def rank_correlation(self) -> float | None:
        """Spearman's correlation of the ranking with the last evaluations; None with fewer than two of these."""
        estimates, returns = self._evaluated
        return finite(rank_correlation(estimates, returns)) if len(returns) > 1 else None

    @property
    def regret(self) -> dict[int, float]:
        """Return lost by keeping the best of the first 1, 2 or 3 runs, and not the best of all of them."""
        estimates, returns = self._evaluated
        return {k: regret_at(k, estimates, returns) for k in TRIED if k < len(returns)}

    @property
    def verdict(self) -> str:
        """One sentence: how good the ranking proved."""
        _, returns = self._evaluated
        if len(returns) < 2:
            return "nobody knows how good this ranking is: fewer than two of the runs were evaluated online"
        correlation = self.rank_correlation
        told = "none, all are equal" if correlation is None else f"{correlation:.2f}"
        regrets = "".join(f", regret@{k} {regret:.4g}" for k, regret in self.regret.items())
        spread = f"; returns from {returns.min():.4g} to {returns.max():.4g}"
        few = f"; {len(returns)} runs are too few to trust these numbers" if len(returns) < _FEW else ""
        return f"rank correlation with the returns of {len(returns)} runs: {told}{regrets}{spread}{few}"

    def to_json(self) -> dict[str, Any]:
        """Return the ranking's JSON object."""
        return {
            "task": self.task,
            "by": self.by,
            "episodes": self.episodes,
            "runs": [each.to_json() for each in self.runs],
            "rank_correlation": self.rank_correlation,
            "regret": {str(k): regret for k, regret in self.regret.items()},
            "notes": list(self.notes),
            "verdict": self.verdict,
        }

    @property
    def _evaluated(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        sign = -1 if self.lower else 1
        pairs = [(sign * run.value, run.member.last.mean) for run in self.runs if run.member.last is not None]
        estimates, returns = np.array(pairs, np.float64).reshape(-1, 2).T
        return estimates, returns


def rank(
    runs: Sequence[str | Path],
    by: str = FQE,
    data: str | Path | Dataset | None = None,
    *,
    steps: int = 10_000,
    gamma: float = 0.99,
    seed: int = 0,
    progress: bool = True,
) -> list[Ranking]:
    """Rank runs without their environment.

    All runs of a task are judged on the same episodes, with the same seed and settings. ``fqe`` fits a critic of each
    run's last policy, as it acts without sampling, and takes its mean value over first states. A fit is kept in the
    run's directory, and goes on where it was interrupted.

    Args:
        runs: run directories, and directories of several seeds.
        by: ``fqe``, or a column of ``metrics.csv``, of which the last value counts; less is better if ``loss`` is in
            its name.
        data: episodes that judge all runs; None takes those that the runs of a task held out of their own data, and
            all of it if they held out none.
        steps: gradient steps of each fit.
        gamma: its discount.
        seed: its seed.
        progress: show progress.

    Returns:
        A ranking for each task. With ``data`` all runs are one task.

    Raises:
        UsageError: a run lacks what ranks it, or the data does not judge it.
        VinciError: a run or a file is damaged.
    """
    found = members(runs)
    if by != FQE:
        if data is not None:
            raise UsageError(f"--data judges runs by fqe: leave it out, or take --by {FQE}")
        return [_by_metric(task, each, by) for task, each in _tasks(found, lambda member: member.task)]
    judge = Judge(steps, gamma, seed, progress)
    if data is None:
        groups = _tasks(found, lambda member: member.task)
        return [_by_fqe(task, each, judge.own(each), judge) for task, each in groups]
    name = data.path if isinstance(data, Dataset) else data
    dataset = data if isinstance(data, Dataset) else Dataset.open(data)
    task = f"{found[0].environment}, judged on {name}"
    return [_by_fqe(task, found, judge.given(dataset, found), judge)]


def _tasks(found: Sequence[Member], key: Callable[[Member], str]) -> list[tuple[str, list[Member]]]:
    groups: dict[str, list[Member]] = {}
    for member in found:
        groups.setdefault(key(member), []).append(member)
    return list(groups.items())


def _by_metric(task: str, found: Sequence[Member], column: str) -> Ranking:
    ranked = []
    for member in found:
        known = last_values(member.path / "metrics.csv")
        if not math.isfinite(known.get(column, math.nan)):
            near = did_you_mean(column, [*known, FQE])
            raise UsageError(
                f"{member.path / 'metrics.csv'} has no values of {column!r}{near or f': take --by {FQE}'}"
            )
        ranked.append(Ranked(member, name_of(member, found), known[column]))
    lower = "loss" in column
    notes = (f"{column} is a number of each run's own training: it compares runs of one agent at most",)
    return Ranking(task, column, _sorted(ranked, lower=lower), lower, notes=notes)


def _by_fqe(task: str, found: Sequence[Member], judged: Judged, judge: Judge) -> Ranking:
    ranked = []
    for place, member in enumerate(found):
        value: Mapping[str, float] = judge.value(member, judged.data, f"{place + 1} of {len(found)}")
        ranked.append(Ranked(member, name_of(member, found), value[VALUE], value.get("value/standard_error")))
    episodes = len(judged.data.episode_columns[START])
    first = f"fitted on {counted(episodes, 'episode')}, {counted(judge.steps, 'step')} each"
    short = fqe.FQE().too_short(
        {"critic": judge.steps}, judge.gamma, int(judged.data.episode_columns[LENGTH].max())
    )
    notes = (first, *judged.notes, *filter(None, [short]), *_close(ranked, judge.steps))
    return Ranking(task, FQE, _sorted(ranked, lower=False), episodes=episodes, notes=notes)


def _close(ranked: Sequence[Ranked], steps: int) -> tuple[str, ...]:
    """Say so where the values of runs are so near to each other that another seed may turn the order round."""
    values = np.array([run.value for run in ranked])
    if len(values) < 2 or np.ptp(values) >= _NEAR * np.abs(values).max():
        return ()
    return (
        f"the values differ by less than {_NEAR:.0%}: more --steps than {steps:,} may tell the runs apart",
    )


def _sorted(ranked: Sequence[Ranked], *, lower: bool) -> tuple[Ranked, ...]:
    return tuple(sorted(ranked, key=lambda run: run.value if lower else -run.value))
