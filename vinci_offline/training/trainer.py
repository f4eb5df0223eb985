"""Train an agent from data, a name and options."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from vinci_offline.agents.agent import Agent
from vinci_offline.calls import from_python
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import UsageError
from vinci_offline.hooks.hook import Hook
from vinci_offline.keras_setup import check_process, import_keras
from vinci_offline.locks import Locks
from vinci_offline.progress import doing
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.training.arguments import check_arguments, check_count, default_output, with_preset
from vinci_offline.training.config import DEFAULT_AGENT, TrainingConfig, TrainingOptions
from vinci_offline.training.named import named

if TYPE_CHECKING:
    from vinci_offline.training.result import TrainResult
    from vinci_offline.training.task import Task


@from_python
def train(
    data: str | Path | Dataset | Sequence[str | Path | Dataset],
    agent: str | Agent | None = None,
    *,
    preset: str | None = None,
    output: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    networks: str | Path | Mapping[str, Any] | None = None,
    init: str | Path | None = None,
    env: Any = None,
    env_kwargs: Mapping[str, Any] | None = None,
    hooks: Sequence[Hook] | Callable[[int], Sequence[Hook]] = (),
    seeds: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    **options: Unpack[TrainingOptions],
) -> TrainResult:
    """Train an agent from stored transitions alone.

    Args:
        data: a dataset, its file, a shipped dataset's name, or several of them with the same spaces.
        agent: an agent's name, ``file.py:Class``, or an `Agent`. By default the preset's, and else ``td3bc``.
        preset: ``AGENT/TASK``, the settings that were published for a task (`vinci-offline agents NAME` lists them).
            Whatever else is given replaces the preset's value.
        output: the run directory. By default ``runs/DATASET-AGENT-SEED``, with several seeds
            ``runs/DATASET-AGENT-seeds``.
        settings: hyperparameters, if ``agent`` is a name.
        networks: a Python file or a mapping of functions. Each has the name of one of the agent's networks
            (``actor(env)``, ``critic(env)``) and returns a Keras model.
        init: a run directory; start from its networks and their normalisation.
        env: the environment of evaluations, by default the one that the dataset names, if it is registered with
            Gymnasium.
        env_kwargs: its keyword arguments; they replace those of the dataset's own environment.
        hooks: listeners besides the TensorBoard, CSV, portrait and progress ones; with ``seeds`` a function from
            a seed to its listeners.
        seeds: number of seeds to train: ``seed``, ``seed + 1`` and so on, each in its run directory
            ``output/seed-K``.
        resume: go on with the run in ``output`` from its last checkpoint; start one if there is none.
        overwrite: replace the run in ``output``.
        progress: show a bar where standard error is a terminal and in a notebook, elsewhere a line every
            ``log_every`` steps.
        **options: the fields of `TrainingConfig`.

    Returns:
        The outcome of the run; with ``seeds``, ``members`` holds the outcome of each seed.

    Raises:
        VinciError: the data, the agent, the networks or the options do not fit each other.
    """
    check_process()
    if preset is not None:
        agent, settings, filled = with_preset(preset, agent, settings or {}, options)
        config = TrainingConfig(**filled)
    else:
        config = TrainingConfig(**options)
    agent = DEFAULT_AGENT if agent is None else agent
    told = named(agent, env, env_kwargs)
    if seeds is not None:
        _check_seeds(seeds, hooks, networks)
    datasets, learned, env, env_kwargs = check_arguments(
        data,
        agent,
        config,
        settings=settings,
        networks=networks,
        init=init,
        env=env,
        env_kwargs=env_kwargs,
        output=output,
        seeds=seeds,
        resume=resume,
        overwrite=overwrite,
    )
    given: dict[str, Any] = {"networks": networks, "init": init, "env": env, "env_kwargs": env_kwargs}
    task, config = open_task(datasets, learned, config, **given, named=told)
    path = (
        Path(output)
        if output
        else default_output(datasets, learned, config.seed if seeds is None else "seeds")
    )

    def listeners(seed: int, shown: bool = True) -> tuple[Hook, ...]:
        return (*default_hooks(progress and shown), *(hooks(seed) if callable(hooks) else hooks))

    with closing(task.source), Locks() as locks:
        if seeds is not None:
            from vinci_offline.training.seeds import Seeds

            kept: dict[str, Any] = {"resume": resume, "overwrite": overwrite, "locks": locks}
            return Seeds(task, path, config, seeds, hooks=listeners, **kept).execute()

        def claim() -> None:
            locks.take_folder(path)
            task.claim(directory, config, resume=resume, overwrite=overwrite)

        directory, heard = RunDirectory(path), listeners(config.seed)
        run, info = task.prepare(directory, config, claim=claim, hooks=heard, resume=resume)
        try:
            return run.execute(info)
        finally:
            del run, info
            gc.collect()  # learner and engine refer to each other: give their memory back before the next run


def _check_seeds(
    seeds: int,
    hooks: Sequence[Hook] | Callable[[int], Sequence[Hook]],
    networks: str | Path | Mapping[str, Any] | None,
) -> None:
    """Refuse arguments that several seeds cannot share.

    Raises:
        UsageError: there is one.
    """
    check_count(seeds)
    if not callable(hooks) and hooks:
        raise UsageError("with seeds=, hooks must be a function from a seed to its listeners")
    models = networks if isinstance(networks, Mapping) else {}
    keras = sys.modules.get("keras")  # without it there is no model
    if keras and (made := [name for name, network in models.items() if isinstance(network, keras.Model)]):
        raise UsageError(
            f"with seeds=, the seeds would share the model of {made[0]!r}: give a function that makes it"
        )


def open_task(
    datasets: Sequence[Dataset],
    agent: Agent,
    config: TrainingConfig,
    *,
    networks: str | Path | Mapping[str, Any] | None,
    init: str | Path | None,
    env: Any,
    env_kwargs: Mapping[str, Any] | None,
    named: Mapping[str, Any],
) -> tuple[Task, TrainingConfig]:
    """Import Keras and read the data of runs. The arguments were checked by `check_arguments`.

    Args:
        datasets: the data.
        agent: the algorithm.
        config: the options.
        networks: the user's networks.
        init: the run to start from.
        env: the environment of evaluations.
        env_kwargs: its keyword arguments.
        named: what the user named, as `named` returns it.

    Returns:
        The task, and the options with the memory that was chosen.

    Raises:
        VinciError: they do not fit the data.
    """
    import_keras()  # not before: what can be wrong without it is told at once
    from vinci_offline.batches.opening import choose_memory
    from vinci_offline.training.task import Task

    memory = choose_memory(
        datasets,
        agent.columns,
        memory=config.memory,
        budget=config.budget(),
        trajectories=agent.trajectories,
    )
    config = replace(config, memory=memory)
    doing("reading the data")
    given: dict[str, Any] = {"networks": networks, "init": init, "env": env, "env_kwargs": env_kwargs}
    return Task.of(datasets, agent, config, **given, named=named), config


def default_hooks(progress: bool) -> tuple[Hook, ...]:
    """Return the listeners of every run."""
    from vinci_offline.hooks.csv_log import CsvLog
    from vinci_offline.hooks.distributions import Distributions
    from vinci_offline.hooks.portrait import Portrait
    from vinci_offline.hooks.progress import Progress
    from vinci_offline.hooks.tensorboard import TensorBoard
    from vinci_offline.hooks.value_alarm import ValueAlarm

    board = TensorBoard()
    shown = (board, Distributions(board), Portrait(board), ValueAlarm(board.note))
    return (CsvLog(), *shown, *((Progress(),) if progress else ()))
