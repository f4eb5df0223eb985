"""Checks of a run's arguments that need no Keras: a mistake is answered before a backend is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.registry import agent_class, agents
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.joining import joined_spec
from vinci_offline.envs.making import kwargs_of, make_env
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.inputs import meant_path
from vinci_offline.locks import refuse_used_folder
from vinci_offline.presets.library import preset_named
from vinci_offline.runs.checkpoint import latest_checkpoint
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.runs.seeds_directory import SeedsDirectory
from vinci_offline.spec import (
    DictSpace,
    DiscreteSpace,
    EnvironmentSpec,
    MultiDiscreteSpace,
    check_fits,
    environment_spec,
)
from vinci_offline.spec.action_scaling import SEVERAL_CHOICES
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.phases import check_roles

Data = str | Path | Dataset | Sequence[str | Path | Dataset]
"""A dataset, its file, a shipped dataset's name, or several of them."""


class Checked(NamedTuple):
    """Arguments of a run that fit each other.

    Attributes:
        datasets: the opened data.
        agent: the algorithm.
        env: the environment of evaluations, or None.
        env_kwargs: its keyword arguments.
    """

    datasets: list[Dataset]
    agent: Agent
    env: Any
    env_kwargs: dict[str, Any]


def check_arguments(
    data: Data,
    agent: str | Agent,
    config: TrainingConfig,
    *,
    settings: Mapping[str, Any] | None = None,
    networks: str | Path | Mapping[str, Any] | None = None,
    init: str | Path | None = None,
    env: Any = None,
    env_kwargs: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    seeds: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> Checked:
    """Check the arguments of `train` against each other.

    Raises:
        VinciError: one of them is wrong, or they do not fit each other.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite starts it anew: give one of them")
    if seeds is not None:
        check_count(seeds)
    learned = agent if isinstance(agent, Agent) else agent_class(agent).from_settings(settings or {})
    check_roles(learned.name, learned.roles, config.plan())
    config.optimization().check_roles(learned.name, learned.roles)
    if isinstance(networks, str | Path):
        check_networks_file(networks)
    if init is not None:
        RunDirectory(Path(init)).config()  # raises where it is no run
    datasets = _open(data)
    spec = joined_spec([each.spec for each in datasets], [str(each.path) for each in datasets])
    check_action_kind(learned, spec)
    checked = Checked(datasets, learned, *evaluation_environment(config, spec, env, env_kwargs))
    path = Path(output or default_output(datasets, learned, config.seed if seeds is None else "seeds"))
    refuse_used_folder(path)  # and again when the run takes it: what comes before that takes a while
    if seeds is not None:
        numbers = range(config.seed, config.seed + seeds)
        SeedsDirectory(path).check_claim(numbers, resume=resume, overwrite=overwrite)
        return checked
    RunDirectory(path).check_claim(resume=resume, overwrite=overwrite)
    if resume:
        check_not_past(RunDirectory(path), config.plan()[-1].stop)
    return checked


def with_preset(
    name: str, agent: str | Agent | None, settings: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return an agent's name, its hyperparameters and the options of a run: those given, and else a preset's.

    Args:
        name: the preset.
        agent: the agent that was given, or None.
        settings: the hyperparameters that were given.
        options: the options that were given, by their names in Python.

    Raises:
        UsageError: there is no such preset, or the agent that was given does not have its hyperparameters.
    """
    preset = preset_named(name)
    if isinstance(agent, Agent):
        raise UsageError(f"preset {name!r} sets hyperparameters: name the agent, and give yours as settings")
    if agent is not None:
        try:
            agent_class(agent).from_settings(preset.settings)
        except UsageError as error:
            raise UsageError(f"--preset {name} sets what only {preset.agent} has: {error}") from error
    return agent or preset.agent, {**preset.settings, **settings}, {**preset.options, **options}


def check_count(seeds: int) -> None:
    """Refuse a number of seeds below one.

    Raises:
        UsageError: the number is below one.
    """
    if seeds < 1:
        raise UsageError(f"--seeds must be at least 1, not {seeds}")


def check_networks_file(path: str | Path) -> None:
    """Refuse what is no file of the user's networks. Import nothing.

    Raises:
        UsageError: it does not exist, or is no Python file.
    """
    if not str(path).endswith(".py"):
        raise UsageError(f"--networks {path}: give a Python file with functions such as actor(env)")
    if not Path(path).is_file():
        raise UsageError(f"--networks {path} does not exist{meant_path(Path(path))}")


def check_not_past(directory: RunDirectory, stop: int) -> None:
    """Refuse to resume a run that is further than its new end.

    Raises:
        UsageError: it is.
    """
    checkpoint = latest_checkpoint(directory.checkpoints)
    if checkpoint is not None and checkpoint.step > stop:
        raise UsageError(
            f"{directory.path} is already at step {checkpoint.step}: resume with more steps than that, not {stop}"
        )


def evaluation_environment(
    config: TrainingConfig, spec: EnvironmentSpec, env: Any, own: Mapping[str, Any] | None
) -> tuple[Any, dict[str, Any]]:
    """Return the environment of evaluations and its arguments. Make it once, so that a missing one is found early.

    The dataset's environment keeps the arguments that it was recorded with, also where the user names it.

    Args:
        config: the options of the run.
        spec: the dataset's environment.
        env: the user's; None takes the dataset's.
        own: the keyword arguments that the user gives.

    Raises:
        UsageError: there is none, or the dataset names what only the user may name.
        SpecError: its spaces are not the dataset's.
    """
    if config.eval_every is None:
        if env is not None or own is not None:
            flag = "--env-kwargs" if env is None else "--env"
            raise UsageError(f"{flag} needs evaluations: say how often with --eval-every")
        return None, {}
    if env is None and spec.id is None:
        raise UsageError("--eval-every: the dataset names no environment; name one with --env")
    chosen, kwargs = spec if env is None else env, kwargs_of(env, spec, own)
    probe = make_env(chosen, kwargs)
    try:
        check_fits(spec, environment_spec(probe, id=chosen if isinstance(chosen, str) else None))
    finally:
        if probe is not env:
            probe.close()
    return chosen, kwargs


def check_action_kind(agent: Agent, spec: EnvironmentSpec) -> None:
    """Refuse an agent that does not learn the kind of actions of an environment.

    Raises:
        SpecError: it does not; the message names agents that do.
    """
    if isinstance(spec.action_space, MultiDiscreteSpace):
        raise SpecError(f"agent {agent.name!r}: {SEVERAL_CHOICES}")
    if isinstance(spec.action_space, DictSpace):
        raise SpecError(
            f"agent {agent.name!r}: the actions are several at once (Dict or Tuple), which no agent learns: record the "
            "environment through a wrapper whose action space is a Box or Discrete"
        )
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
