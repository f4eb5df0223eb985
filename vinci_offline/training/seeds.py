"""Runs of several seeds on the same data: together if the engine can, otherwise one after another."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.deviation import finite, sample_deviation
from vinci_offline.errors import ResumableError, VinciError
from vinci_offline.hooks.csv_log import last_values
from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.interrupts import interrupt_flag
from vinci_offline.locks import Locks
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.training.arguments import check_count
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.lockstep import Lockstep, Outcome
from vinci_offline.training.run import Run, TrainResult

if TYPE_CHECKING:
    from vinci_offline.training.task import Task


class Seeds:
    """Runs of one task with the seeds ``config.seed … config.seed + count - 1``.

    Args:
        task: agent and data.
        path: folder of the seeds' run directories.
        config: options of the first seed; the others differ in ``seed`` only.
        count: number of seeds.
        hooks: function from a seed, and True for the seed that may draw on the terminal, to its listeners.
        resume: go on with the runs in ``path``.
        overwrite: replace them.
        locks: receives the locks of the folders.

    Raises:
        UsageError: ``count`` is below one.
    """

    def __init__(
        self,
        task: Task,
        path: Path,
        config: TrainingConfig,
        count: int,
        *,
        hooks: Callable[[int, bool], Sequence[Hook]],
        resume: bool,
        overwrite: bool,
        locks: Locks,
    ) -> None:
        check_count(count)
        self._task = task
        self._directory = SeedsDirectory(path)
        self._configs = [replace(config, seed=config.seed + place) for place in range(count)]
        self._hooks = hooks
        self._resume = resume
        self._overwrite = overwrite
        self._locks = locks
        self._outcomes: dict[int, Outcome] = {}
        self._claimed = False
        self._steps, self._seconds = 0, 0.0

    def execute(self) -> TrainResult:
        """Train every seed that is not finished. A seed that diverges does not stop the others.

        Raises:
            VinciError: the options do not fit, or a seed failed. The other seeds are on disk.
        """
        left = [config for config in self._configs if not self._finished(config)]
        if not left:
            self._claim()
        with interrupt_flag() as interrupted:
            while left and not interrupted.is_set():
                batch = [self._prepare(left.pop(0), first=True)]
                while left and batch[0][0].engine.side_by_side:
                    batch.append(self._prepare(left.pop(0), first=False))
                lockstep = Lockstep(batch)
                seeds = [run.config.seed for run, _ in batch]
                self._outcomes.update(zip(seeds, lockstep.execute(interrupted), strict=True))
                self._steps += lockstep.steps
                self._seconds += lockstep.seconds
                self._save()
                del batch, lockstep
                gc.collect()  # learners and compiled loops refer to each other; free them before the next batch
        return self._conclude()

    def _prepare(self, config: TrainingConfig, *, first: bool) -> tuple[Run, RunInfo]:
        directory = self._directory.member(config.seed)
        hooks = self._hooks(config.seed, first)
        return self._task.prepare(directory, config, claim=self._claim, hooks=hooks, resume=True)

    def _claim(self) -> None:
        if self._claimed:
            return
        self._locks.take_folder(self._directory.path)
        seeds = [config.seed for config in self._configs]
        self._directory.claim(seeds, resume=self._resume, overwrite=self._overwrite)
        for config in self._configs:
            self._locks.take_folder(self._directory.member(config.seed).path)
            self._task.claim(self._directory.member(config.seed), config, resume=True, overwrite=False)
        self._claimed = True

    def _finished(self, config: TrainingConfig) -> bool:
        if not self._resume:
            return False
        checkpoint = latest_checkpoint(self._directory.member(config.seed).checkpoints)
        return checkpoint is not None and checkpoint.step == config.plan()[-1].stop

    def _save(self) -> TrainResult:
        members = tuple(self._member(config) for config in self._configs)
        result = TrainResult(
            self._directory.path,
            min(member.steps for member in members),
            self._steps / self._seconds if self._seconds else math.nan,
            over_seeds(members, mean),
            interrupted=any(member.interrupted for member in members),
            stopped_early=any(member.stopped_early for member in members),
            notes=tuple(dict.fromkeys(note for member in members for note in member.notes)),
            members=members,
        )
        failures = {seed: str(o) for seed, o in self._outcomes.items() if isinstance(o, VinciError)}
        seeds = [config.seed for config in self._configs]
        self._directory.save(seeds, summary(seeds, result, failures))
        return result

    def _member(self, config: TrainingConfig) -> TrainResult:
        """Return a seed's result. The metrics come from its tables, which also hold those of earlier processes."""
        directory, outcome = self._directory.member(config.seed), self._outcomes.get(config.seed)
        metrics = final_metrics(directory)
        if isinstance(outcome, TrainResult):
            return replace(outcome, final_metrics=metrics)
        checkpoint = latest_checkpoint(directory.checkpoints)
        steps = checkpoint.step if checkpoint else 0
        unfinished = outcome is None and steps < config.plan()[-1].stop
        done = checkpoint is not None and steps == config.plan()[-1].stop
        notes = self._task.notes(checkpoint.trained, config) if checkpoint and done else ()
        return TrainResult(directory.path, steps, math.nan, metrics, interrupted=unfinished, notes=notes)

    def _conclude(self) -> TrainResult:
        result = self._save()
        failed = {seed: o for seed, o in self._outcomes.items() if isinstance(o, VinciError)}
        if failed:
            seed, error = next(iter(failed.items()))
            others = f"{len(failed)} of {len(self._configs)} seeds failed; " if len(failed) > 1 else ""
            where = f"(the others are in {self._directory.path})"
            if isinstance(error, ResumableError):
                raise ResumableError(f"{others}seed {seed}: {error.reason} {where}") from error
            raise VinciError(f"{others}seed {seed}: {error} {where}")
        return result


def final_metrics(directory: RunDirectory) -> dict[str, float]:
    """Read the last value of each metric, and of the mean return of evaluations, from a run's tables."""
    metrics = last_values(directory.path / "metrics.csv")
    returns = last_values(directory.path / "evaluations.csv").get("return_mean")
    return metrics if returns is None else {**metrics, "return/mean": returns}


def summary(seeds: Sequence[int], result: TrainResult, failures: Mapping[int, str]) -> dict[str, Any]:
    """Summarize a run of several seeds as JSON values. NaN and infinite numbers become None.

    The deviation is the sample standard deviation (n - 1); it is None for a single seed.
    """
    members = [
        {
            "seed": seed,
            "run": str(member.run),
            "steps": member.steps,
            "steps_per_second": finite(member.steps_per_second),
            "final_metrics": {name: finite(value) for name, value in member.final_metrics.items()},
            **({"error": failures[seed]} if seed in failures else {}),
        }
        for seed, member in zip(seeds, result.members, strict=True)
    ]
    return {
        "steps": result.steps,
        "steps_per_second": finite(result.steps_per_second),
        "final_metrics": {name: finite(value) for name, value in result.final_metrics.items()},
        "final_metrics_std": {n: finite(v) for n, v in over_seeds(result.members, sample_deviation).items()},
        "members": members,
    }


def over_seeds(
    members: Sequence[TrainResult], reduce: Callable[[Sequence[float]], float]
) -> dict[str, float]:
    """Reduce each final metric over the members that have it."""
    names = dict.fromkeys(name for member in members for name in member.final_metrics)
    return {
        name: reduce([m.final_metrics[name] for m in members if name in m.final_metrics]) for name in names
    }


def mean(values: Sequence[float]) -> float:
    """Return the mean; NaN if a value is NaN."""
    return math.fsum(values) / len(values)
