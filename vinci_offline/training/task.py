"""Training task: data, agent and options, checked against each other before the first step."""

from __future__ import annotations

import importlib.metadata
import itertools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import keras

from vinci_offline.agents.agent import Agent
from vinci_offline.batches.first_read import first_read, sampled_actions, sampled_observations
from vinci_offline.batches.masks import records_masks
from vinci_offline.batches.names import INFOS, column_name
from vinci_offline.batches.opening import open_source
from vinci_offline.batches.source import Source
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.digest import joint_hash
from vinci_offline.data.episode_columns import LENGTH
from vinci_offline.envs.scores import REFERENCE_RETURNS, recorded_reference
from vinci_offline.errors import VinciWarning
from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.keras_setup import wide_dtype
from vinci_offline.options import options_of
from vinci_offline.quality.doubts import doubts
from vinci_offline.quality.statistics import summarize
from vinci_offline.quality.survey import Survey
from vinci_offline.runs.normalization import normalization_to_json
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.spec.units import Units
from vinci_offline.training.arguments import check_action_kind, check_not_past
from vinci_offline.training.config import REPORTS, TrainingConfig
from vinci_offline.training.engines import compiler, make_engine
from vinci_offline.training.held_out import HeldOut, held_out_sample, split_episodes
from vinci_offline.training.initial_value import States, first_states
from vinci_offline.training.phases import check_roles
from vinci_offline.training.run import Run
from vinci_offline.training.starting import (
    check_phases,
    choose_normalization,
    choose_units,
    initialise,
    make_learner,
)
from vinci_offline.types import Array, Columns, Normalization

_MACHINE = {"jit", "memory", "memory_budget"}
"""Options that say how to compute."""


@dataclass
class Task:
    """Agent and data: everything that the runs of several seeds share.

    Attributes:
        agent: the algorithm.
        spec: the dataset's environment.
        summary: the content of ``dataset.json``.
        source: the training rows.
        observations: ``[M, ...]`` sample of observations for hooks; by key for a Dict space.
        actions: ``[M, ...]`` the recorded actions of the same rows.
        normalization: mean and deviation of observations, used inside the networks.
        units: the units of observations, actions and rewards.
        networks: the user's networks, as in `train`.
        origin: the run whose networks to start from, or None.
        env: the environment of evaluations, or None.
        env_kwargs: its keyword arguments.
        named: what the user named, as `named` returns it.
        held_out: rows of held-out episodes, or None.
        rows: the dataset row of each training row; None if they are equal.
        first: the first states of whole episodes, for an agent that evaluates a policy; None for others.
        longest: rows of the longest episode.
        number: the task's number in this process.
        masked: True where infos hold masks of actions, which the policies then take.
    """

    agent: Agent
    spec: EnvironmentSpec
    summary: dict[str, Any]
    source: Source
    observations: Array | Mapping[str, Array]
    actions: Array
    normalization: Normalization
    units: Units
    networks: str | Path | Mapping[str, Any] | None
    origin: RunDirectory | None
    env: Any
    env_kwargs: Mapping[str, Any]
    named: Mapping[str, Any] = field(default_factory=dict)
    held_out: Columns | None = None
    rows: Array | None = None
    first: States | None = None
    longest: int = 0
    number: int = field(default_factory=itertools.count().__next__)
    masked: bool = False

    @classmethod
    def of(
        cls,
        datasets: Sequence[Dataset],
        agent: Agent,
        config: TrainingConfig,
        *,
        networks: str | Path | Mapping[str, Any] | None,
        init: str | Path | None,
        env: Any,
        env_kwargs: Mapping[str, Any] | None = None,
        named: Mapping[str, Any] | None = None,
    ) -> Task:
        """Read the data and check everything that does not depend on the seed.

        ``env`` and ``env_kwargs`` are those that `check_arguments` returned, ``named`` is what the user named.

        Raises:
            VinciError: the data, the agent and the options do not fit each other.
        """
        dataset = datasets[0] if len(datasets) == 1 else Dataset.concatenate(datasets)
        check_action_kind(agent, dataset.spec)
        check_roles(agent.name, agent.roles, config.plan())
        config.optimization().check_roles(agent.name, agent.roles)
        origin = RunDirectory(Path(init)) if init else None
        split = split_episodes(dataset, config.validation)
        wanted: dict[str, Any] = {"memory": config.memory, "trajectories": agent.trajectories}
        known = first_read(split.training, agent.columns, **wanted)
        units = choose_units(agent, split.training, origin, known, config.reward)
        normalization = choose_normalization(agent, split.training, origin, known, units)
        source = open_source(
            split.training,
            agent.columns,
            gamma=config.gamma,
            n_step=config.n_step,
            budget=config.budget(),
            batch_size=config.batch_size,
            known=known,
            units=units,
            **wanted,
        )
        _tell_doubts(split.training, agent, known, units)
        held_out, whole = None, known
        if split.held_out is not None:
            rest = first_read(split.held_out, agent.columns, **wanted)
            whole = known.joined(rest)
            held_out = held_out_sample(split.held_out, agent, config, rest, units)
        return cls(
            agent,
            dataset.spec,
            _summary(datasets, dataset, whole),
            source,
            sampled_observations(known),
            sampled_actions(known),
            normalization,
            units,
            networks,
            origin,
            env,
            dict(env_kwargs or {}),
            dict(named or {}),
            held_out,
            split.rows,
            _first_states(agent, dataset, units),
            int(max(dataset.episode_columns[LENGTH], default=0)),
            masked=records_masks(dataset),
        )

    def prepare(
        self,
        directory: RunDirectory,
        config: TrainingConfig,
        *,
        claim: Callable[[], None],
        hooks: Sequence[Hook],
        resume: bool,
    ) -> tuple[Run, RunInfo]:
        """Return a run that is ready for its next step. Check everything before ``claim``; write nothing before it.

        Raises:
            VinciError: the networks, the plan or the directory do not fit.
        """
        learner = make_learner(
            self.agent, self.spec, self.normalization, self.networks, config, self.units, masked=self.masked
        )
        trained = initialise(learner, self.origin)
        check_phases(learner, config.plan(), trained)
        engine = make_engine(
            learner,
            self.source,
            batch_size=config.batch_size,
            seed=config.seed,
            jit=config.jit,
            like=self._like(config),
        )
        engine.check()
        claim()
        run = Run(
            directory,
            learner,
            engine,
            config=config,
            env=self.env,
            env_kwargs=self.env_kwargs,
            hooks=hooks,
            trained=trained,
            held_out=HeldOut(engine, self.held_out) if self.held_out else None,
            rows=self.rows,
            first=self.first,
            factor=1.0 if self.units.rewards is None else self.units.rewards.factor,
            notes=lambda trained: self.notes(trained, config),
        )
        if resume:
            run.resume()
        return run, self._info(run)

    def notes(self, trained: Mapping[str, int], config: TrainingConfig) -> tuple[str, ...]:
        """Return what to know of a finished run, a line each.

        Args:
            trained: gradient steps of each role.
            config: the options of the run.
        """
        short = self.agent.too_short(trained, config.gamma, self.longest, config.n_step)
        return () if short is None else (f"the fit is too short: {short}",)

    def _like(self, config: TrainingConfig) -> str:
        """Return a text that is equal for runs whose compiled steps differ in nothing but variables and seed.

        A user's agent or networks may change between two calls of `train`, so only the seeds of one call are alike.
        """
        own = self.networks is not None or not type(self.agent).__module__.startswith("vinci_offline.")
        content = self._config_json(config)
        for name in ("seed", "log_every", "checkpoint_every", "eval_every", "eval_episodes", "patience"):
            del content["training"][name]
        del content["steps"]
        content.pop("named", None)
        of_keras = (keras.config.floatx(), keras.config.epsilon(), keras.config.dtype_policy().name)
        return json.dumps([content, of_keras, str(self.number) if own else None], sort_keys=True)

    def _config_json(self, config: TrainingConfig) -> dict[str, Any]:
        init = self.origin.path if self.origin else None
        content = _config_json(
            self.agent, config, self.spec, self.normalization, self.units, self.networks, init
        )
        return {**content, **({"named": dict(self.named)} if self.named else {})}

    def _info(self, run: Run) -> RunInfo:
        """Return the information for the run's hooks."""
        return RunInfo(
            directory=run.directory.path,
            agent=self.agent.name,
            config=run.directory.config(),
            dataset=self.summary,
            spec=self.spec,
            start_step=run.step,
            steps=run.phases[-1].stop,
            nets=run.learner.nets,
            policy=run.learner.policy,
            observations=self.observations,
            actions=self.actions,
            units=self.units,
            chosen=_chosen(self.agent, run.config),
            evaluation_due=run.evaluation_due,
        )

    def claim(
        self, directory: RunDirectory, config: TrainingConfig, *, resume: bool, overwrite: bool
    ) -> None:
        """Claim the directory for this run.

        Raises:
            UsageError: the directory belongs to another run.
        """
        if resume:
            check_not_past(directory, config.plan()[-1].stop)
        content = self._config_json(config)
        directory.claim(content, self.summary, resume=resume, overwrite=overwrite)

    def check_same(self, directory: RunDirectory, config: TrainingConfig) -> None:
        """Refuse a run that was begun with another configuration or dataset. Change nothing.

        Raises:
            UsageError: it was.
        """
        directory.check_same(self._config_json(config), self.summary)


def _first_states(agent: Agent, dataset: Dataset, units: Units) -> States | None:
    """Return the first states of whole episodes where the agent needs them. Warn if there are none."""
    if type(agent).values is Agent.values:
        return None
    found = first_states(dataset, units)
    if units.rewards is not None and units.rewards.shift:
        warnings.warn(
            "--reward shifts the rewards, so the value of the policy counts the shift of every step: leave it out",
            VinciWarning,
            stacklevel=3,
        )
    if found is None:
        warnings.warn(
            "no episode of the data is whole, so nothing tells where episodes begin: the run reports no value of the "
            "policy",
            VinciWarning,
            stacklevel=3,
        )
    return found


def _tell_doubts(dataset: Dataset, agent: Agent, known: Survey, units: Units) -> None:
    """Warn of what may make training come out wrong, a line each."""
    infos = [name for name in map(column_name, agent.columns) if name.startswith(INFOS)]
    told = doubts(dataset, known, infos=infos, normalized=agent.normalize_observations)
    if units.offsets and wide_dtype() == "float32":
        told.append(
            "JAX computes in float32, so the policy acts on rounded observations where training shifts them in "
            "float64: use --backend tensorflow"
        )
    for line in told:
        warnings.warn(line, VinciWarning, stacklevel=3)


def _chosen(agent: Agent, config: TrainingConfig) -> dict[str, Any]:
    """Return the options that bear on what is learned, and the hyperparameters, that differ from their defaults."""
    others = {name for name, option in options_of(config).items() if option.panel == REPORTS} | _MACHINE
    return {
        field.name: value
        for part in (config, agent)
        for field in fields(part)
        if (part is agent or field.name not in others)
        and (value := getattr(part, field.name))
        != (field.default if field.default_factory is MISSING else field.default_factory())
    }


def _summary(datasets: Sequence[Dataset], whole: Dataset, known: Survey) -> dict[str, Any]:
    """Return the content of ``dataset.json``."""
    reference = recorded_reference(whole.attributes)
    return {
        **summarize(whole, known),
        "files": [str(dataset.path) for dataset in datasets],
        "hash": joint_hash([dataset.hash for dataset in datasets]),
        **({} if reference is None else {REFERENCE_RETURNS: reference.to_json()}),
    }


def _config_json(
    agent: Agent,
    config: TrainingConfig,
    spec: EnvironmentSpec,
    normalization: Normalization,
    units: Units,
    networks: str | Path | Mapping[str, Any] | None,
    init: Path | None,
) -> dict[str, Any]:
    options = asdict(config)
    options.pop("steps")
    if config.optimization().depends_on_steps:
        options["schedule_steps"] = config.plan()[-1].stop
    by_data = units.to_json()  # the data seldom decide units: the spaces do
    options["memory_budget"] = config.budget() if config.memory == "stream" else None
    return {
        "format": "vinci-offline-run",
        "version": 1,
        "agent": agent.name,
        "hyperparameters": agent.to_json(),
        "environment": spec.to_object(),
        "steps": config.plan()[-1].stop,
        "backend": keras.backend.backend(),
        "compiler": compiler(config.jit),
        "training": options,
        "normalization": normalization_to_json(normalization),
        **({} if by_data is None else {"units": by_data}),
        "networks": sorted(networks)
        if isinstance(networks, Mapping)
        else None
        if networks is None
        else str(networks),
        "init": None if init is None else str(init),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("vinci-offline", "keras", keras.backend.backend(), "numpy")
        },
    }
