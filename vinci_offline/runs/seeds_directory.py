"""The directory of a run of several seeds: an ordinary run directory a seed, and their summary."""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.files import publish_text
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.training.run import TrainResult


@dataclass(frozen=True)
class SeedsDirectory:
    """``seeds.json`` and ``seed-K/`` under ``path``."""

    path: Path

    def exists(self) -> bool:
        """Whether a run of several seeds was started here."""
        return (self.path / "seeds.json").is_file()

    def member(self, seed: int) -> RunDirectory:
        """The run directory of one seed."""
        return RunDirectory(self.path / f"seed-{seed}")

    def claim(self, seeds: Sequence[int], *, resume: bool, overwrite: bool) -> None:
        """Make the directory that of these seeds; more of them than before are welcome.

        Raises:
            UsageError: it holds something already and neither flag was given, or seeds that are left out now.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UsageError(f"{self.path} is a file, and a run is a folder: choose another with -o")
        if self.exists() and resume:
            self._check_holds(seeds)
        elif self.path.exists() and any(self.path.iterdir()):
            self._clear(overwrite=overwrite)
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.exists() and resume):
            self._write({"seeds": list(seeds)})

    def save(self, seeds: Sequence[int], result: TrainResult, failures: Mapping[int, str]) -> None:
        """Write ``seeds.json``: what each seed came to, and the mean and deviation over them."""
        self._write({"seeds": list(seeds), **summary(seeds, result, failures)})

    def _check_holds(self, seeds: Sequence[int]) -> None:
        try:
            known = [int(seed) for seed in json.loads((self.path / "seeds.json").read_text())["seeds"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise VinciError(
                f"{self.path / 'seeds.json'} does not describe seeds: restore it from a copy, or train again"
            ) from error
        if not set(known) <= set(seeds):
            raise UsageError(
                f"{self.path} holds the seeds {known[0]} to {known[-1]}: resume with --seed {known[0]} and "
                f"--seeds {len(known)} or more, or choose another -o"
            )

    def _clear(self, *, overwrite: bool) -> None:
        a_run = RunDirectory(self.path).exists()
        if not self.exists() and not a_run:
            # Only what training left is ours to delete.
            raise UsageError(f"{self.path} exists and is no run: choose another with -o")
        if not overwrite:
            advice = (
                "--overwrite replaces it" if a_run else "--resume goes on with it, --overwrite replaces it"
            )
            kind = "a run of one seed, without --seeds" if a_run else "a run of several seeds"
            raise UsageError(f"{self.path} exists, {kind}: {advice}")
        shutil.rmtree(self.path)

    def _write(self, content: Mapping[str, Any]) -> None:
        marked = {"format": "vinci-offline-seeds", "version": 1, **content}
        publish_text(self.path / "seeds.json", json.dumps(marked, indent=2, allow_nan=False))


def summary(seeds: Sequence[int], result: TrainResult, failures: Mapping[int, str]) -> dict[str, Any]:
    """What a run of several seeds came to, as JSON values; what is not finite is null.

    ``std`` is the sample's standard deviation, n - 1 below the line, and null for a single seed.
    """
    members = [
        {
            "seed": seed,
            "run": str(member.run),
            "steps": member.steps,
            "steps_per_second": _finite(member.steps_per_second),
            "final_metrics": {name: _finite(value) for name, value in member.final_metrics.items()},
            **({"error": failures[seed]} if seed in failures else {}),
        }
        for seed, member in zip(seeds, result.members, strict=True)
    ]
    return {
        "steps": result.steps,
        "steps_per_second": _finite(result.steps_per_second),
        "final_metrics": {name: _finite(value) for name, value in result.final_metrics.items()},
        "final_metrics_std": {n: _finite(v) for n, v in over_seeds(result.members, deviation).items()},
        "members": members,
    }


def over_seeds(
    members: Sequence[TrainResult], reduce: Callable[[Sequence[float]], float]
) -> dict[str, float]:
    """Each final metric reduced over the members that have it."""
    names = dict.fromkeys(name for member in members for name in member.final_metrics)
    return {
        name: reduce([m.final_metrics[name] for m in members if name in m.final_metrics]) for name in names
    }


def mean(values: Sequence[float]) -> float:
    """The mean; NaN where a value is."""
    return math.fsum(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The sample's standard deviation; NaN of a single value, and where a value is not finite."""
    sound = len(values) > 1 and all(map(math.isfinite, values))
    return statistics.stdev(values) if sound else math.nan


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
