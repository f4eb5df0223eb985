"""Checks of a run's arguments that need no Keras: a mistake is answered before a backend is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.registry import agent_class, agents
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import DiscreteSpace, EnvironmentSpec, MultiDiscreteSpace
from vinci_offline.spec.action_scaling import SEVERAL_CHOICES
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.phases import check_roles

Data = str | Path | Dataset | Sequence[str | Path | Dataset]
"""A dataset, its file, a shipped dataset's name, or several of them."""


def check_arguments(
    data: Data,
    agent: str | Agent,
    config: TrainingConfig,
    *,
    settings: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    seeds: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> tuple[list[Dataset], Agent]:
    """Check the arguments of `train` against each other, and return the opened data and the agent.

    Raises:
        VinciError: one of them is wrong, or they do not fit each other.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite starts it anew: give one of them")
    learned = agent if isinstance(agent, Agent) else agent_class(agent).from_settings(settings or {})
    check_roles(learned.name, learned.roles, config.plan())
    config.optimization().check_roles(learned.name, learned.roles)
    datasets = _open(data)
    check_action_kind(learned, datasets[0].spec)  # the others have the same spaces, as joining them checks
    if seeds is None:
        path = output or default_output(datasets, learned, config.seed)
        RunDirectory(Path(path)).check_claim(resume=resume, overwrite=overwrite)
    return datasets, learned


def check_action_kind(agent: Agent, spec: EnvironmentSpec) -> None:
    """Refuse an agent that does not learn the kind of actions of an environment.

    Raises:
        SpecError: it does not; the message names agents that do.
    """
    if isinstance(spec.action_space, MultiDiscreteSpace):
        raise SpecError(f"agent {agent.name!r}: {SEVERAL_CHOICES}")
    kind = "discrete" if isinstance(spec.action_space, DiscreteSpace) else "continuous"
    if kind not in agent.action_kinds:
        fit = ", ".join(name for name, cls in agents().items() if kind in cls.action_kinds)
        raise SpecError(
            f"agent {agent.name!r} learns {' or '.join(agent.action_kinds)} actions and the dataset's are {kind}: "
            f"choose one of {fit}"
        )


def default_output(datasets: Sequence[Dataset], agent: Agent, ending: object) -> Path:
    """Return the run directory of a run without ``output``."""
    stem = Path(datasets[0].path).stem if datasets[0].path else "dataset"
    return Path("runs") / f"{stem}-{agent.name}-{ending}"


def _open(data: Data) -> list[Dataset]:
    sources = [data] if isinstance(data, str | Path | Dataset) else list(data)
    if not sources:
        raise UsageError(
            "no dataset was given: name a file, or a shipped dataset (see `vinci-offline datasets`)"
        )
    return [source if isinstance(source, Dataset) else Dataset.open(source) for source in sources]
