"""Options of ``vinci-offline train`` besides those of `TrainingConfig`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.cli.options import key_values
from vinci_offline.envs.options import json_object
from vinci_offline.options import option
from vinci_offline.training.config import DEFAULT_AGENT, HOW, LEARNS, REPORTS

_WHERE = "Where it goes"


@dataclass(frozen=True)
class Learner:
    """Options that say what learns."""

    agent: str | None = option(
        None,
        f"An agent's name (see [b]agents[/b]), or FILE.py:Class; else the preset's, or {DEFAULT_AGENT}.",
        panel=LEARNS,
    )
    preset: str | None = option(
        None,
        "What was published for a task, as rebrac/hopper-medium; other options replace its values.",
        panel=LEARNS,
        metavar="AGENT/TASK",
    )
    settings: dict[str, str] | None = option(
        None,
        "A hyperparameter of the agent. Repeat it for more.",
        panel=LEARNS,
        flags=("--set",),
        metavar="KEY=VALUE",
        parse=key_values,
        repeat=True,
    )
    networks: Path | None = option(
        None,
        "Your own Keras networks: functions such as actor(env), critic(env).",
        panel=LEARNS,
        metavar="FILE.py",
    )
    init: Path | None = option(None, "Start from the networks of this run.", panel=LEARNS, metavar="RUN_DIR")


@dataclass(frozen=True)
class Machine:
    """Options that say what computes, and how many runs."""

    seeds: int | None = option(
        None, "Train N seeds from --seed on, each in RUN_DIR/seed-K.", panel=HOW, metavar="N"
    )
    workers: int | None = option(
        None,
        "Processes of one thread that train the seeds; one for each core on a CPU unless given, 1 takes none.",
        panel=HOW,
        metavar="N",
        low=1,
    )
    backend: str | None = option(
        None, "Library that computes; KERAS_BACKEND unless given.", panel=HOW, choices=("tensorflow", "jax")
    )


@dataclass(frozen=True)
class Place:
    """Options that say where the run is evaluated and kept."""

    env: str | None = option(
        None, "Evaluate in this environment instead of the dataset's own.", panel=REPORTS, metavar="ENV"
    )
    env_kwargs: dict[str, Any] | None = option(
        None,
        """Its arguments, as '{"g": 9.81}'; the dataset's own environment keeps its others.""",
        panel=REPORTS,
        metavar="JSON",
        parse=json_object,
    )
    output: Path | None = option(
        None,
        "Default: runs/DATASET-AGENT-SEED, or -seeds with --seeds.",
        panel=_WHERE,
        flags=("-o", "--output"),
        metavar="RUN_DIR",
    )
    resume: bool = option(False, "Go on from the run's last checkpoint.", panel=_WHERE)
    overwrite: bool = option(False, "Replace the run that is there.", panel=_WHERE)
