"""Outcomes of several seeds, and ``seeds.json``. Nothing heavy is imported for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vinci_offline.deviation import finite, sample_deviation
from vinci_offline.errors import ResumableError, VinciError
from vinci_offline.hooks.csv_log import last_values
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.result import Outcome, TrainResult


class SeedsRecord:
    """What became of each seed.

    Args:
        directory: the folder of the seeds.
        configs: options of each seed.
        notes: function from the steps of each role and the options of a finished seed to what to know of it.

    Attributes:
        outcomes: the outcome of each seed that this process has trained, by the seed.
    """

    def __init__(
        self,
        directory: SeedsDirectory,
        configs: Sequence[TrainingConfig],
        notes: Callable[[Mapping[str, int], TrainingConfig], tuple[str, ...]] = lambda *_: (),
    ) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self._directory, self._configs, self._notes = directory, configs, notes

    def finished(self, config: TrainingConfig) -> bool:
        """Return True where a seed has taken its last step."""
        checkpoint = latest_checkpoint(self._directory.member(config.seed).checkpoints)
        return checkpoint is not None and checkpoint.step == config.plan()[-1].stop

    def save(self, rate: float) -> TrainResult:
        """Write ``seeds.json``, and return the result so far.

        Args:
            rate: steps a second of all seeds together.
        """
        members = tuple(self._member(config) for config in self._configs)
        result = TrainResult(
            self._directory.path,
            min(member.steps for member in members),
            rate,
            over_seeds(members, mean),
            interrupted=any(member.interrupted for member in members),
            stopped_early=any(member.stopped_early for member in members),
            notes=tuple(dict.fromkeys(note for member in members for note in member.notes)),
            members=members,
        )
        failures = {seed: str(o) for seed, o in self.outcomes.items() if isinstance(o, VinciError)}
        seeds = [config.seed for config in self._configs]
        self._directory.save(seeds, summary(seeds, result, failures))
        return result

    def conclude(self, rate: float) -> TrainResult:
        """Write ``seeds.json``, and return the result.

        Raises:
            VinciError: a seed failed. The other seeds are on disk.
        """
        result = self.save(rate)
        failed = {seed: o for seed, o in self.outcomes.items() if isinstance(o, VinciError)}
        if failed:
            seed, error = next(iter(failed.items()))
            others = f"{len(failed)} of {len(self._configs)} seeds failed; " if len(failed) > 1 else ""
            where = f"(the others are in {self._directory.path})"
            if isinstance(error, ResumableError):
                raise ResumableError(f"{others}seed {seed}: {error.reason} {where}") from error
            raise VinciError(f"{others}seed {seed}: {error} {where}")
        return result

    def _member(self, config: TrainingConfig) -> TrainResult:
        """Return a seed's result. The metrics come from its tables, which also hold those of earlier processes."""
        directory, outcome = self._directory.member(config.seed), self.outcomes.get(config.seed)
        metrics = final_metrics(directory)
        if isinstance(outcome, TrainResult):
            return replace(outcome, final_metrics=metrics)
        checkpoint = latest_checkpoint(directory.checkpoints)
        steps = checkpoint.step if checkpoint else 0
        stop = config.plan()[-1].stop
        notes = self._notes(checkpoint.trained, config) if checkpoint and steps == stop else ()
        unfinished = outcome is None and steps < stop
        return TrainResult(directory.path, steps, math.nan, metrics, interrupted=unfinished, notes=notes)


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
