"""Outcome of a run. Nothing heavy is imported for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from vinci_offline.errors import VinciError
from vinci_offline.keras_setup import load_keras_model
from vinci_offline.runs.run_directory import RunDirectory

if TYPE_CHECKING:
    import keras
    import pandas as pd


@dataclass(frozen=True)
class TrainResult:
    """Outcome of a run.

    Attributes:
        run: the run directory.
        steps: the global step reached.
        steps_per_second: gradient steps a second in compiled calls, without compilation.
        final_metrics: the last chunk's mean metrics, and the last evaluation's ``return/mean``.
        interrupted: True if Ctrl-C or another signal ended the run early; the checkpoint holds all ``steps``.
        compiler: the compiler of the steps: ``XLA`` or ``TensorFlow graph``.
        compile_seconds: time of compilation.
        stopped_early: True if the held-out loss ended the run before its last step.
        best_step: the step of the state in ``run/best``, or None.
        untrained: roles that have learned nothing yet: ``actor`` after ``only="critic"``.
        notes: what to know of the result, a sentence each, such as that a fit is too short.
        members: each seed's result, for a run of several seeds. Then ``steps`` is the least over seeds,
            ``steps_per_second`` counts the steps of all seeds, and ``final_metrics`` are means over seeds.
    """

    run: Path
    steps: int
    steps_per_second: float
    final_metrics: Mapping[str, float]
    interrupted: bool = False
    compiler: str = "XLA"
    compile_seconds: float = 0.0
    stopped_early: bool = False
    best_step: int | None = None
    untrained: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    members: tuple[TrainResult, ...] = ()

    def __repr__(self) -> str:
        told = [f"{self.steps:,} steps"]
        if math.isfinite(self.steps_per_second):
            told[0] += f" at {self.steps_per_second:,.0f} a second"
        told += [f"{len(self.members)} seeds"] if self.members else []
        told += ["interrupted"] if self.interrupted else []
        told += [
            f"{name} {value:.4g}"
            for name, value in self.final_metrics.items()
            if name in ("return/mean", "value/initial") or name.startswith("loss/")
        ]
        return f"<TrainResult {self.run}: {', '.join(told)}>"

    @property
    def history(self) -> pd.DataFrame:
        """The run's metrics: a row for every ``log_every`` steps, a column for each metric, the step as the index.

        Of several seeds, those of all, with the seed's folder as a first index.

        Raises:
            VinciError: nothing was logged.
        """
        import pandas as pd

        if self.members:
            return pd.concat({each.run.name: each.history for each in self.members}, names=["seed", "step"])
        table = self.run / "metrics.csv"
        if not table.is_file():
            raise VinciError(f"{table} does not exist: the run ended before its first row of metrics")
        return pd.read_csv(table, index_col="step")

    @property
    def policy(self) -> keras.Model:
        """The trained policy, from a raw observation to an environment action, loaded from ``run/policy.keras``.

        Raises:
            VinciError: training has stored no policy, or these are several seeds: take one of ``members``.
        """
        if self.members:
            raise VinciError(
                f"{self.run} holds {len(self.members)} policies: take one, such as result.members[0].policy"
            )
        model: keras.Model = load_keras_model(RunDirectory(self.run).policy_file())
        return model


Outcome: TypeAlias = TrainResult | VinciError
"""The result of a run, or the error that ended it."""
