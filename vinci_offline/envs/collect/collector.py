"""Collection: a policy in an environment becomes a dataset file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from vinci_offline.calls import from_python
from vinci_offline.data.hdf5.comparison import is_as_written
from vinci_offline.data.hdf5.target import check_target
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.envs.collect.job import Job, policies_of
from vinci_offline.envs.collect.joining import join
from vinci_offline.envs.collect.measuring import measured_reference
from vinci_offline.envs.collect.meter import meter
from vinci_offline.envs.collect.references import check_reference, refuse_recording_only
from vinci_offline.envs.collect.shards import ShardFolder, refuse_difference
from vinci_offline.envs.collect.workers import Ledger, check_workers, record_elsewhere, record_here
from vinci_offline.envs.making import EnvironmentLike, limited, make_env
from vinci_offline.envs.options import CollectOptions
from vinci_offline.envs.repeatable import check_repeats
from vinci_offline.envs.scores import REFERENCE_RETURNS
from vinci_offline.envs.wrapper import EnvWrapper
from vinci_offline.errors import UsageError, VinciWarning
from vinci_offline.files import disk_errors, drop_unfinished_of, settle
from vinci_offline.locks import Locks
from vinci_offline.spec import EnvironmentSpec, environment_spec

if TYPE_CHECKING:
    import gymnasium

    from vinci_offline.data.dataset import Dataset
    from vinci_offline.data.hdf5.filters import Compression
    from vinci_offline.data.hdf5.writer import FrameStorage


@from_python
def collect(
    env: EnvironmentLike,
    path: str | os.PathLike[str],
    *,
    steps: int | None = None,
    episodes: int | None = None,
    policy: Any = "random",
    noise: str = "none",
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    lanes: int = 16,
    env_kwargs: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    expert: Any = None,
    record_infos: Sequence[str] = (),
    float64: bool = False,
    compress: Compression = "auto",
    frames: FrameStorage = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Dataset:
    """Record a policy in an environment to a dataset file.

    Episode i depends on ``(seed, i)`` and the configuration alone. So the columns are the same for any number of
    workers, and after an interruption and ``resume``.

    Args:
        env: a reference that `make_env` takes. An environment that is already made has one lane and one worker.
        path: the file to write. Finished shards wait beside it in ``PATH.shards/`` until all are there.
        steps: record exactly this many rows. The cut through the last episode is marked as a timeout.
        episodes: record this many whole episodes. Give this or ``steps``.
        policy: a reference that `load_policy` takes, or a list of references that take turns by episode; or
            ``"gep"`` (``"gep:file.py:descriptor"``), goal exploration, which learns from earlier shards; or
            ``"random-state"``, uniform states and actions one step at a time, where the environment's state can
            be set.
        noise: a text that `Noise.parse` takes. It anneals over the collection. Random policies ignore it.
        seed: the same seed records the same data.
        workers: processes to record in. With ``gep``, and with noise that anneals over ``steps``, each shard
            depends on earlier ones, so one process records them.
        engine: where the workers run: ``local`` processes, or ``ray``, a Ray cluster (the extra ``ray``).
        lanes: environments that a process steps together, with one policy call a step. Part of the
            configuration: another number may change a Keras policy's last bits.
        env_kwargs: keyword arguments of the environment.
        max_episode_steps: the time limit; None keeps the environment's own.
        expert: a policy that `evaluate` takes. Its mean return and that of the random policy are measured and kept with
            the data, as the references of normalised scores.
        record_infos: keys of the step's info to record as ``infos/KEY``.
        float64: store float64 values as they are. Otherwise they become float32.
        compress: a lossless filter for the file.
        frames: ``once`` stores each observation once; ``plain`` stores it again as the next observation of the
            row before; ``auto`` is ``once`` for images. All read the same.
        resume: go on with an interrupted collection of the same configuration.
        overwrite: replace an existing file and an interrupted collection.
        progress: show a bar where standard error is a terminal and in a notebook, elsewhere a line now and then.

    Returns:
        The dataset.

    Raises:
        UsageError: an option is not valid or does not fit the environment, or the output exists or is being written.
        SpecError: a policy does not fit the environment.
        VinciError: a worker or the disk failed.
    """
    env, kwargs = limited(env, env_kwargs or {}, max_episode_steps)
    options = CollectOptions(
        steps=steps,
        episodes=episodes,
        policy=policy,
        noise=noise,
        env_kwargs=kwargs,
        max_episode_steps=max_episode_steps,
        seed=seed,
        workers=workers,
        engine=engine,
        lanes=lanes,
        expert=expert,
        record_infos=tuple(record_infos),
        float64=float64,
        compress=compress,
        frames=frames,
        resume=resume,
        overwrite=overwrite,
    )
    output = Path(path)
    _check(options, output)
    made, spec = _open(env, kwargs)
    try:
        if made is env:
            options = _of_one_environment(options)
        job = Job.of_options(env, spec, options)
        check_repeats(made, spec)
        with Locks() as locks:
            locks.take_file(output)
            _collect(job, output, made, options, show=progress)
    finally:
        if made is not env:
            made.close()
    from vinci_offline.data.dataset import Dataset
    from vinci_offline.quality.precision import recorded_coarsely

    dataset = Dataset.open(output)
    for line in recorded_coarsely(dataset):
        warnings.warn(line, VinciWarning, stacklevel=2)
    return dataset


def _check(options: CollectOptions, output: Path) -> None:
    """Refuse what can be refused before an environment is made."""
    check_workers(options.workers)
    if options.resume and options.overwrite:
        raise UsageError(
            "--resume goes on with a collection and --overwrite starts it again: give one of them"
        )
    check_target(output, overwrite=options.resume or options.overwrite)
    for policy in policies_of(options.policy):
        check_reference(policy)
    if options.expert is not None:
        refuse_recording_only(options.expert)
        check_reference(options.expert)


def _of_one_environment(options: CollectOptions) -> CollectOptions:
    if options.workers > 1 or options.engine != "local":
        raise UsageError("an environment that is already made has one worker: give its id, or a function")
    return replace(options, lanes=1)


def _collect(
    job: Job, output: Path, env: gymnasium.Env[Any, Any], options: CollectOptions, *, show: bool
) -> None:
    """Record the shards that are missing, and join all of them to the output."""
    configuration = job.configuration()
    folder = ShardFolder(output)
    if options.resume or options.overwrite:
        drop_unfinished_of(output)
    if _already_done(output, folder, configuration, resume=options.resume):
        return
    attributes = _attributes(configuration)
    if options.expert is not None:
        attributes[REFERENCE_RETURNS] = measured_reference(job, env, options, show=show).to_json()
    # The writer checks its options. Make it first, so that an error costs no recording.
    writer = DatasetWriter(
        output,
        job.spec,
        attributes=attributes,
        compress=cast("Compression", options.compress),
        frames=cast("FrameStorage", options.frames),
        float64=options.float64,
        # A resumed collection that gets here replaces a dataset that is not what was written.
        overwrite=options.overwrite or output.exists(),
    )
    folder.open(configuration, resume=options.resume, overwrite=options.overwrite)
    _record(job, folder, env, options.workers, options.engine, show=show)
    join(job, folder, writer)
    folder.remove()


def _open(
    env: EnvironmentLike, kwargs: Mapping[str, Any] | None
) -> tuple[gymnasium.Env[Any, Any], EnvironmentSpec]:
    """Make the environment and describe it."""
    made = make_env(env, kwargs)
    if isinstance(made, EnvWrapper):
        return made, made.environment_spec
    if isinstance(env, EnvironmentSpec):
        return made, environment_spec(made, env.id, {**env.kwargs, **(kwargs or {})})
    return made, environment_spec(made, _name(env), None if made is env else dict(kwargs or {}))


def _name(env: EnvironmentLike) -> str | None:
    """Return the name by which `make_env` finds the environment again; None for its Gymnasium id."""
    if isinstance(env, str):
        return env if ":" in env else None
    name, module = getattr(env, "__qualname__", "<"), getattr(env, "__module__", "__main__")
    return None if "<" in name or module == "__main__" else f"{module}:{name}"


def _attributes(configuration: dict[str, Any]) -> dict[str, Any]:
    policy = ", ".join(configuration["policy"])
    named = {"policy": policy, "noise": configuration["noise"], "seed": configuration["seed"]}
    return {**named, "collection": configuration}


def _already_done(output: Path, folder: ShardFolder, configuration: dict[str, Any], *, resume: bool) -> bool:
    """Return True where an earlier run has written this very dataset already."""
    if not (resume and output.exists()):
        return False
    from vinci_offline.data.dataset import Dataset

    stored = Dataset.open(output).attributes.get("collection")
    if not isinstance(stored, dict):
        raise UsageError(
            f"{output} was not recorded by collect, so it cannot be resumed: choose another name"
        )
    refuse_difference(stored, configuration, output)
    if folder.path.exists():
        # The shards are there still: the disk may have failed, or the power, before the dataset was safe.
        if not is_as_written(output):
            return False
        with disk_errors(output):
            settle(output)
        folder.remove()
    return True


def _record(
    job: Job, folder: ShardFolder, env: gymnasium.Env[Any, Any], workers: int, engine: str, *, show: bool
) -> None:
    ledger = Ledger(job, folder.finished())
    try:
        with meter(job, folder, dict(ledger.rows), show=show) as report:
            if engine == "ray" and not job.sequential:
                from vinci_offline.envs.collect.ray_workers import record_on_ray

                record_on_ray(job, folder, ledger, workers, report)
            elif workers == 1 or job.sequential:
                record_here(job, folder, ledger, env, report)
            else:
                record_elsewhere(job, folder, ledger, workers, report)
    except BaseException as error:
        if not ledger.rows:
            folder.remove()
        elif isinstance(error, KeyboardInterrupt):
            error.add_note(f"{len(ledger.rows)} finished shards are kept: go on with --resume")
        raise
