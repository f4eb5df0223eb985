"""Runs that are compared: their task, their settings and their last evaluation."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.envs.scores import Reference, published_reference, recorded_reference
from vinci_offline.errors import UsageError, VinciWarning
from vinci_offline.hooks.csv_log import last_row
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.runs.sweep_directory import SweepDirectory
from vinci_offline.text import counted

_NOT_SETTINGS = ("seed", "log_every", "checkpoint_every", "eval_every", "eval_episodes")


@dataclass(frozen=True)
class LastEvaluation:
    """The last evaluation of a run.

    Attributes:
        step: its step.
        mean: the mean return of its episodes.
        episodes: their number.
    """

    step: int
    mean: float
    episodes: int


@dataclass(frozen=True)
class Member:
    """One run.

    Attributes:
        path: its directory.
        environment: the environment's id, or what stands for it.
        data: the names of its files, with the beginning of their hash.
        agent: the agent's name.
        settings: all that may differ between runs of one agent, the seed left out, by name.
        seed: the training seed.
        last: its last evaluation; None without one.
        reference: the returns that stand for the scores 0 and 100: those that its data keep, or the published ones of
            its environment; None where none are known.
    """

    path: Path
    environment: str
    data: str
    agent: str
    settings: Mapping[str, str]
    seed: int
    last: LastEvaluation | None
    reference: Reference | None

    @property
    def task(self) -> str:
        """The environment and the dataset."""
        return f"{self.environment}, {self.data}"


def members(runs: Sequence[str | Path]) -> list[Member]:
    """Return the runs of run directories, of directories of several seeds, and the finished cells of sweeps.

    Raises:
        VinciError: one is no run, or is damaged.
    """
    return [_member(path) for run in runs for path in _directories(Path(run))]


def evaluated(found: Sequence[Member]) -> list[Member]:
    """Return the runs.

    Raises:
        UsageError: one has no evaluation.
    """
    for member in found:
        if member.last is None:
            raise UsageError(
                f"{member.path} ends without an evaluation to compare: train with --eval-every N"
            )
    return list(found)


def name_of(member: Member, among: Sequence[Member]) -> str:
    """Return a run's agent, and the settings in which runs of its agent and task differ."""
    alike = [each.settings for each in among if (each.task, each.agent) == (member.task, member.agent)]
    differing = [
        f"{name}={value}"
        for name, value in member.settings.items()
        if any(other.get(name) != value for other in alike)
    ]
    return " ".join([member.agent, *differing])


def _directories(run: Path) -> Iterator[Path]:
    if SweepDirectory(run).exists():
        yield from _finished_cells(run)
        return
    seeds = SeedsDirectory(run)
    if not seeds.exists():
        yield run
        return
    for seed in seeds.read()["seeds"]:
        yield seeds.member(seed).path


def _finished_cells(sweep: Path) -> list[Path]:
    finished, others = SweepDirectory(sweep).runs()
    if not finished:
        raise UsageError(
            f"{sweep} is a sweep without a finished cell: wait for one, or go on with sweep --resume"
        )
    if others:
        told = f"{sweep}: {counted(others, 'cell')} of the sweep, not finished, left out"
        warnings.warn(told, VinciWarning, stacklevel=2)
    return finished


def _member(path: Path) -> Member:
    run = RunDirectory(path)
    config = run.config()
    spec = run.environment()
    with run.explained("config.json"):
        training = dict(config["training"])
        settings: dict[str, Any] = {**config["hyperparameters"], **training}
        settings |= {name: config.get(name) for name in ("steps", "networks", "init")}
        shown = {
            name: json.dumps(value, sort_keys=True)
            for name, value in settings.items()
            if name not in _NOT_SETTINGS
        }
        seed = int(training["seed"])
    row = last_row(path / "evaluations.csv")
    last = None
    if "return_mean" in row:
        last = LastEvaluation(int(row["step"]), float(row["return_mean"]), int(row["episodes"]))
    reference = recorded_reference(run.dataset()) or published_reference(spec.id)
    return Member(path, spec.id or "an environment", _data(run), run.agent(), shown, seed, last, reference)


def _data(run: RunDirectory) -> str:
    content = run.dataset()
    with run.explained("dataset.json"):
        names = "+".join(Path(str(name)).stem for name in content["files"])
        return f"{names} {str(content['hash'])[:8]}"
