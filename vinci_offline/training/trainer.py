"""From data, an agent's name and options to a run: everything is checked before the first step."""

from __future__ import annotations

import difflib
import hashlib
import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.registry import agent_class
from vinci_offline.data.dataset import Dataset
from vinci_offline.data.statistics import observation_moments, summarize
from vinci_offline.envs.making import check_fits as check_environment_fits
from vinci_offline.envs.making import describe_space, environment_spec, make_env
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.hooks.hook import Hook, RunInfo
from vinci_offline.loading import load_module
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec
from vinci_offline.training.checkpoint import latest_checkpoint
from vinci_offline.training.config import TrainingConfig
from vinci_offline.training.engines import compiler, make_engine
from vinci_offline.training.held_out import HeldOut, held_out_sample, split_episodes
from vinci_offline.training.learner import TARGET_PREFIX, Learner
from vinci_offline.training.phases import Phase
from vinci_offline.training.precision import precision
from vinci_offline.training.replay import sample_observations
from vinci_offline.training.run import Run, TrainResult
from vinci_offline.training.run_directory import RunDirectory
from vinci_offline.training.seeds import Seeds, check_count
from vinci_offline.training.source import Source
from vinci_offline.training.streaming import choose_memory, open_source
from vinci_offline.types import Array, FloatArray, Transitions

Normalization = tuple[FloatArray, FloatArray] | None


def train(
    data: str | Path | Dataset | Sequence[str | Path | Dataset],
    agent: str | Agent = "td3bc",
    *,
    output: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    networks: str | Path | Mapping[str, Any] | None = None,
    init: str | Path | None = None,
    env: Any = None,
    hooks: Sequence[Hook] | Callable[[int], Sequence[Hook]] = (),
    seeds: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    **options: Any,
) -> TrainResult:
    """Train an agent from stored transitions alone.

    Args:
        data: a dataset, its file, a shipped dataset's name, or several of them with like spaces.
        agent: an agent's name, ``file.py:Class``, or an `Agent`.
        output: the run directory; ``runs/DATASET-AGENT-SEED``, or ``-seeds`` with several, unless given.
        settings: hyperparameters of the agent, where it is named.
        networks: a Python file, or a mapping, with functions named after the agent's networks (``actor(env)``,
            ``critic(env)``), each returning a Keras model.
        init: a run directory whose networks, and their normalisation, this run starts from.
        env: where to evaluate, if not the environment that the dataset names.
        hooks: listeners besides the TensorBoard, CSV, portrait and progress ones; with ``seeds`` a function from
            a seed to that seed's own.
        seeds: train that many, ``seed``, ``seed + 1`` and so on, each in its own run directory ``output/seed-K``.
        resume: go on with the run in ``output`` from its last checkpoint, or start it.
        overwrite: replace the run in ``output``.
        progress: show a progress bar where standard error is a terminal.
        **options: the fields of `TrainingConfig`.

    Returns:
        What the run came to; with ``seeds``, each seed's in ``members``.

    Raises:
        VinciError: the data, the agent, the networks or the options do not fit each other; the message says which.
    """
    config = TrainingConfig(**options)
    datasets = _open(data)
    learned = agent if isinstance(agent, Agent) else agent_class(agent).from_settings(settings or {})
    if resume and overwrite:
        raise UsageError("--resume goes on with a run and --overwrite starts it again: give one of them")
    if seeds is not None:
        check_count(seeds)
        if not callable(hooks) and hooks:
            raise UsageError("with seeds=, hooks must be a function: each seed needs listeners of its own")
    config = replace(config, memory=choose_memory(datasets, config))
    task = Task.of(datasets, learned, config, networks=networks, init=init, env=env)
    path = (
        Path(output)
        if output
        else _default_output(datasets, learned, config.seed if seeds is None else "seeds")
    )

    def listeners(seed: int, shown: bool = True) -> tuple[Hook, ...]:
        return (*_default_hooks(progress and shown), *(hooks(seed) if callable(hooks) else hooks))

    if seeds is not None:
        with closing(task.source):
            return Seeds(
                task, path, config, seeds, hooks=listeners, resume=resume, overwrite=overwrite
            ).execute()
    run, info = task.prepare(
        directory := RunDirectory(path),
        config,
        claim=lambda: task.claim(directory, config, resume=resume, overwrite=overwrite),
        hooks=listeners(config.seed),
        resume=resume,
    )
    with closing(task.source):
        return run.execute(info)


@dataclass
class Task:
    """What to learn from what: all that runs of several seeds share.

    Attributes:
        agent: the algorithm.
        spec: the dataset's environment.
        summary: the content of ``dataset.json``.
        source: the dataset's transitions.
        observations: ``[M, ...]`` a sample of the dataset's, for hooks.
        normalization: mean and deviation inside the networks.
        networks: the user's, as `train` takes them.
        origin: the run that networks start from, or None.
        env: where to evaluate, or None.
        held_out: transitions of held-out episodes, or None.
        rows: the dataset's row of each transition; None where they are the same.
    """

    agent: Agent
    spec: EnvironmentSpec
    summary: dict[str, Any]
    source: Source
    observations: Array
    normalization: Normalization
    networks: str | Path | Mapping[str, Any] | None
    origin: RunDirectory | None
    env: Any
    held_out: Transitions | None = None
    rows: Array | None = None

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
    ) -> Task:
        """Read and check what does not depend on the seed.

        Raises:
            VinciError: the data, the agent and the options do not fit each other.
        """
        dataset = datasets[0] if len(datasets) == 1 else Dataset.concatenate(datasets)
        _check_action_kind(agent, dataset.spec)
        origin = RunDirectory(Path(init)) if init else None
        split = split_episodes(dataset, config.validation)
        normalization = _normalization(agent, split.training, origin)
        evaluation_env = _evaluation_environment(config, dataset.spec, env)
        source = open_source(split.training, config)
        summary = {**summarize(dataset), "files": [str(d.path) for d in datasets], "hash": _hash(datasets)}
        sample = sample_observations(split.training)
        return cls(
            agent,
            dataset.spec,
            summary,
            source,
            sample,
            normalization,
            networks,
            origin,
            evaluation_env,
            held_out_sample(split, config),
            split.rows,
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
        """A run ready to take its next step; nothing is written before everything is checked and ``claim`` called.

        Raises:
            VinciError: the networks, the plan or the directory do not fit.
        """
        learner = _make_learner(self.agent, self.spec, self.normalization, self.networks, config)
        trained = _initialise(learner, self.origin)
        _check_phases(learner, config.plan(), trained)
        engine = make_engine(
            learner, self.source, batch_size=config.batch_size, seed=config.seed, jit=config.jit
        )
        engine.check()
        claim()
        run = Run(
            directory,
            learner,
            engine,
            config=config,
            env=self.env,
            hooks=hooks,
            trained=trained,
            held_out=self.held_out and HeldOut(engine, self.held_out),
            rows=self.rows,
        )
        if resume:
            run.resume()
        return run, RunInfo(
            directory=directory.path,
            agent=self.agent.name,
            config=directory.config(),
            dataset=self.summary,
            spec=self.spec,
            start_step=run.step,
            steps=run.phases[-1].stop,
            nets=learner.nets,
            policy=learner.policy,
            observations=self.observations,
        )

    def claim(
        self, directory: RunDirectory, config: TrainingConfig, *, resume: bool, overwrite: bool
    ) -> None:
        """Make the directory this run's own.

        Raises:
            UsageError: it is another's.
        """
        if resume:
            _check_not_past(directory, config.plan()[-1].stop)
        init = self.origin and self.origin.path
        content = _config_json(self.agent, config, self.spec, self.normalization, self.networks, init)
        directory.claim(content, self.summary, resume=resume, overwrite=overwrite)


def _open(data: str | Path | Dataset | Sequence[str | Path | Dataset]) -> list[Dataset]:
    sources = [data] if isinstance(data, str | Path | Dataset) else list(data)
    if not sources:
        raise UsageError(
            "no dataset was given: name a file, or a shipped dataset (see `vinci-offline datasets`)"
        )
    return [source if isinstance(source, Dataset) else Dataset.open(source) for source in sources]


def _hash(datasets: Sequence[Dataset]) -> str:
    hashes = [dataset.hash for dataset in datasets]
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _check_action_kind(agent: Agent, spec: EnvironmentSpec) -> None:
    kind = "discrete" if isinstance(spec.action_space, DiscreteSpace) else "continuous"
    if kind not in agent.action_kinds:
        raise SpecError(
            f"agent {agent.name!r} learns {' or '.join(agent.action_kinds)} actions and the dataset's are {kind}: "
            "see `vinci-offline agents` for the ones that fit"
        )


def _default_output(datasets: Sequence[Dataset], agent: Agent, ending: object) -> Path:
    stem = Path(datasets[0].path).stem if datasets[0].path else "dataset"
    return Path("runs") / f"{stem}-{agent.name}-{ending}"


def _normalization(agent: Agent, dataset: Dataset, origin: RunDirectory | None) -> Normalization:
    """The mean and deviation inside the networks; with ``init`` that run's, which its networks learned with."""
    space = dataset.spec.observation_space
    if origin is not None:
        stored = origin.normalization()
        if stored is not None and stored[0].shape != getattr(space, "shape", None):
            raise SpecError(
                f"--init {origin.path}: its observations have shape {stored[0].shape}, the dataset's are "
                f"{describe_space(space)}: start from a run on this environment"
            )
        return stored
    plain = isinstance(space, BoxSpace) and space.dtype != "uint8"
    return observation_moments(dataset) if agent.normalize_observations and plain else None


def _make_learner(
    agent: Agent,
    spec: EnvironmentSpec,
    normalization: Normalization,
    networks: str | Path | Mapping[str, Any] | None,
    config: TrainingConfig,
) -> Learner:
    mean, std = normalization or (None, None)
    functions = networks if isinstance(networks, Mapping) else _network_functions(networks)
    build = NetworkBuilder(spec, mean, std, functions)
    with precision(config.precision):
        learner = Learner(agent, build, config.seed, config.optimization())
    _check_user_networks(learner, functions, build.unused)
    return learner


def _check_user_networks(learner: Learner, functions: Mapping[str, Any], unused: Sequence[str]) -> None:
    """Refuse networks that would be silently left out: none of them has a network's name, or one is misspelt.

    Others may be helpers, or networks of another agent that shares the file.
    """
    if not unused:
        return
    free = [name for name in learner.nets if not name.startswith(TARGET_PREFIX) and name not in functions]
    close = [(name, match[0]) for name in unused if (match := difflib.get_close_matches(name, free, 1, 0.75))]
    told = ", ".join(f"{name!r} (did you mean {meant!r}?)" for name, meant in close)
    if not told and len(unused) == len(functions):
        told = ", ".join(map(repr, unused))
    if told:
        raise UsageError(
            f"--networks: agent {learner.agent.name!r} has no network {told}: name a function after one of its "
            f"networks, {', '.join(n for n in learner.nets if not n.startswith(TARGET_PREFIX))}; "
            "begin the names of helpers with _"
        )


def _network_functions(path: str | Path | None) -> Mapping[str, Any]:
    """The public functions that a user's file defines; the builder takes those named after a network."""
    if path is None:
        return {}
    if not str(path).endswith(".py"):
        raise UsageError(f"--networks {path}: give a Python file, with functions such as actor(env)")
    module = load_module(str(path))
    found = {
        name: value
        for name, value in vars(module).items()
        if callable(value)
        and not name.startswith("_")
        and getattr(value, "__module__", None) == module.__name__
    }
    if not found:
        raise UsageError(
            f"--networks {path} defines no function: write one named after a network, as actor(env)"
        )
    return found


def _initialise(learner: Learner, origin: RunDirectory | None) -> dict[str, int]:
    """Take over the networks of an earlier run; the steps each role was trained for there."""
    if origin is None:
        return {"critic": 0, "actor": 0}
    checkpoint = latest_checkpoint(origin.checkpoints) if origin.exists() else None
    if checkpoint is None:
        raise UsageError(
            f"--init {origin.path}: there is no checkpoint there; give the directory of a trained run"
        )
    taken = 0
    for name, net in learner.nets.items():
        values = [checkpoint.state.get(f"networks/{name}/{i}") for i in range(len(net.variables))]
        if f"networks/{name}/0" not in checkpoint.state:
            continue
        for variable, value in zip(net.variables, values, strict=True):
            if value is None or value.shape != tuple(variable.shape):
                raise SpecError(
                    f"--init {origin.path}: its network {name!r} has other layers than this run's; "
                    "use the same agent settings and --networks"
                )
            variable.assign(value)
        taken += 1
    if not taken:
        raise UsageError(
            f"--init {origin.path}: it has none of this agent's networks ({', '.join(learner.nets)})"
        )
    learner.start_averages()
    return dict(checkpoint.trained)


def _check_phases(learner: Learner, phases: Sequence[Phase], trained: Mapping[str, int]) -> None:
    """Refuse an agent without the role, and an actor that would learn from a critic nobody trained."""
    critic_steps = trained.get("critic", 0)
    has_critic = any(bound.update.role == "critic" for bound in learner.updates)
    for phase in phases:
        learner.select(phase.role)
        if phase.role == "actor" and has_critic and not critic_steps:
            raise UsageError(
                f"training only the actor of {learner.agent.name!r} needs a trained critic: "
                "train one with --only critic and pass its run with --init RUN_DIR, or plan --phases critic:N,actor:M"
            )
        if phase.role != "actor":
            critic_steps += phase.stop - phase.start


def _check_not_past(directory: RunDirectory, stop: int) -> None:
    checkpoint = latest_checkpoint(directory.checkpoints)
    if checkpoint is not None and checkpoint.step > stop:
        raise UsageError(
            f"{directory.path} is at step {checkpoint.step} already: resume with more steps than that, not {stop}"
        )


def _evaluation_environment(config: TrainingConfig, spec: EnvironmentSpec, env: Any) -> Any:
    """What evaluations run in; made once here, so that a missing environment shows before training."""
    if config.eval_every is None:
        if env is not None:
            raise UsageError(
                "--env is where evaluations run, and there are none: say how often with --eval-every"
            )
        return None
    if env is None and spec.id is None:
        raise UsageError("--eval-every: the dataset names no environment; name one with --env")
    chosen = spec if env is None else env
    probe = make_env(chosen)
    check_environment_fits(spec, environment_spec(probe, id=chosen if isinstance(chosen, str) else None))
    probe.close()
    return chosen


def _config_json(
    agent: Agent,
    config: TrainingConfig,
    spec: EnvironmentSpec,
    normalization: Normalization,
    networks: Any,
    init: Any,
) -> dict[str, Any]:
    options = asdict(config)
    options.pop("steps")
    if config.optimization().depends_on_steps:
        options["schedule_steps"] = config.plan()[-1].stop
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
        "normalization": normalization
        and {"mean": normalization[0].tolist(), "std": normalization[1].tolist()},
        "networks": None
        if networks is None
        else str(networks)
        if not isinstance(networks, Mapping)
        else sorted(networks),
        "init": init and str(init),
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("vinci-offline", "keras", keras.backend.backend(), "numpy")
        },
    }


def _default_hooks(progress: bool) -> tuple[Hook, ...]:
    from vinci_offline.hooks.csv_log import CsvLog
    from vinci_offline.hooks.portrait import Portrait
    from vinci_offline.hooks.progress import Progress
    from vinci_offline.hooks.tensorboard import TensorBoard
    from vinci_offline.hooks.value_alarm import ValueAlarm

    board = TensorBoard()
    return (CsvLog(), board, Portrait(board), ValueAlarm(board.note), *((Progress(),) if progress else ()))
