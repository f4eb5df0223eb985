"""Collection: a policy in an environment becomes a dataset file."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.data import layout
from vinci_offline.data.hdf5.writer import DatasetWriter
from vinci_offline.envs.collect.joining import join
from vinci_offline.envs.collect.meter import meter
from vinci_offline.envs.collect.recorder import Job
from vinci_offline.envs.collect.references import (
    RANDOM_STATE,
    check_reference,
    describe_reference,
    is_exploration,
)
from vinci_offline.envs.collect.shards import Plan, ShardFolder, refuse_difference
from vinci_offline.envs.collect.workers import Ledger, check_workers, record_elsewhere, record_here
from vinci_offline.envs.making import EnvironmentLike, make_env
from vinci_offline.envs.options import CollectOptions
from vinci_offline.envs.wrapper import EnvWrapper
from vinci_offline.errors import UsageError
from vinci_offline.files import drop_unfinished_of
from vinci_offline.policies.noise import Noise
from vinci_offline.spec import EnvironmentSpec, environment_spec

if TYPE_CHECKING:
    import os

    import gymnasium

    from vinci_offline.data.dataset import Dataset
    from vinci_offline.data.hdf5.writer import Compression, FrameStorage


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
    record_infos: Sequence[str] = (),
    float64: bool = False,
    compress: Compression = "auto",
    frames: FrameStorage = "auto",
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Dataset:
    """Record a policy in an environment to a dataset file.

    Episode i depends on ``(seed, i)`` and the configuration alone, so the columns are the same whatever the
    number of workers, and after an interruption and ``resume``.

    Args:
        env: what `make_env` takes. An environment that is already made is the only lane and the only worker.
        path: the file to write. Finished shards wait beside it in ``PATH.shards/`` until all are there.
        steps: record exactly so many rows; the cut through the last episode is marked as a timeout.
        episodes: record so many whole episodes; give this or ``steps``.
        policy: what `load_policy` takes, a list of such, which take turns by episode, or ``"random-state"``:
            uniform states and actions one step at a time, where the environment's state can be set; or
            ``"gep"`` (``"gep:file.py:descriptor"``), goal exploration, which learns from earlier shards.
        noise: what `Noise.parse` takes; annealed over the collection. Random policies stay as they are.
        seed: makes the collection repeatable.
        workers: processes to record in; with annealed noise and ``steps``, and with ``gep``, shards wait for each
            other, and one process records them.
        engine: where the workers run: ``local`` processes, or ``ray``, a Ray cluster (the extra ``ray``).
        lanes: environments a process steps side by side, with one policy call a step. Part of the
            configuration: another number may change a Keras policy's last bits.
        env_kwargs: keyword arguments of the environment.
        record_infos: keys of the step's info to record as ``infos/KEY``.
        float64: store float64 as it is rather than as float32.
        compress: a lossless filter for the file.
        frames: ``once`` stores each observation once, ``plain`` also as the next one of the row before; ``auto``
            does the former for images. Both read the same.
        resume: go on with an interrupted collection of the same configuration.
        overwrite: replace an existing file and an interrupted collection.
        progress: show progress on standard error, if that is a terminal.

    Returns:
        The dataset.

    Raises:
        UsageError: an option is not valid or does not fit the environment, or the output exists.
        SpecError: a policy does not fit the environment.
        VinciError: a worker or the disk failed.
    """
    output = Path(path)
    policies = tuple(policy) if isinstance(policy, list | tuple) else (policy,)
    CollectOptions(steps, episodes, seed=seed, workers=workers, engine=engine, lanes=lanes)  # checks them
    check_workers(workers)
    if resume and overwrite:
        raise UsageError(
            "--resume goes on with a collection and --overwrite starts it again: give one of them"
        )
    _check_place(output)
    for one in policies:
        check_reference(one)
    if output.exists() and not (resume or overwrite):
        raise UsageError(f"{output} exists already: choose another name or pass --overwrite")
    made, spec = _open(env, env_kwargs)
    try:
        if made is env:
            lanes = 1
            if workers > 1 or engine != "local":
                raise UsageError(
                    "an environment that is already made has one worker: give its id, or a function"
                )
        job = _job(
            env, env_kwargs, spec, policies, noise, seed, lanes, steps, episodes, record_infos, float64
        )
        configuration = _configuration(job)
        folder = ShardFolder(output)
        if resume or overwrite:
            drop_unfinished_of(output)
        if not _already_done(output, folder, configuration, resume=resume):
            # Made before anything is recorded: what it refuses should not cost an hour first.
            writer = DatasetWriter(
                output,
                spec,
                attributes=_attributes(configuration),
                compress=compress,
                frames=frames,
                float64=float64,
                overwrite=overwrite,
            )
            folder.open(configuration, resume=resume, overwrite=overwrite)
            _record(job, folder, made, workers, engine, show=progress)
            join(job, folder, writer)
            folder.remove()
    finally:
        if made is not env:
            made.close()
    from vinci_offline.data.dataset import Dataset

    return Dataset.open(output)


def _check_place(output: Path) -> None:
    if output.is_dir():
        raise UsageError(f"{output} is a folder: give the name of a file, such as {output / 'data.h5'}")


def _open(
    env: EnvironmentLike, kwargs: Mapping[str, Any] | None
) -> tuple[gymnasium.Env[Any, Any], EnvironmentSpec]:
    made = make_env(env, kwargs)
    if isinstance(made, EnvWrapper):
        return made, made.environment_spec
    if isinstance(env, EnvironmentSpec):
        return made, environment_spec(made, env.id, {**env.kwargs, **(kwargs or {})})
    return made, environment_spec(made, _name(env), None if made is env else dict(kwargs or {}))


def _name(env: EnvironmentLike) -> str | None:
    """What `make_env` will find the environment by again, where that is not its Gymnasium id."""
    if isinstance(env, str):
        return env if ":" in env else None
    name, module = getattr(env, "__qualname__", "<"), getattr(env, "__module__", "__main__")
    return None if "<" in name or module == "__main__" else f"{module}:{name}"


def _job(
    env: EnvironmentLike,
    kwargs: Mapping[str, Any] | None,
    spec: EnvironmentSpec,
    policies: tuple[Any, ...],
    noise_text: str,
    seed: int,
    lanes: int,
    steps: int | None,
    episodes: int | None,
    record_infos: Sequence[str],
    float64: bool,
) -> Job:
    layout.spec_slots(spec)  # refuses what a file cannot hold before anything is recorded
    noise = Noise.parse(noise_text)
    noise.check(spec)
    names = [policy for policy in policies if isinstance(policy, str)]
    if not policies:
        raise UsageError("no policy was given")
    if RANDOM_STATE in names:
        _check_random_states(policies, noise, episodes, record_infos)
        assert steps is not None
        plan = Plan.of_states(steps)
    else:
        if noise.kind != "none" and set(policies) == {"random"}:
            raise UsageError(f"noise {noise_text!r} has no effect on the random policy: leave it out")
        sequential = any(map(is_exploration, policies)) or (noise.annealed and steps is not None)
        plan = Plan.of_episodes(spec, steps=steps, episodes=episodes, lanes=lanes, sequential=sequential)
    _check_infos(record_infos)
    return Job(
        environment=env,
        kwargs=dict(kwargs or {}),
        spec=spec,
        policies=policies,
        noise=noise,
        seed=seed,
        plan=plan,
        record_infos=tuple(record_infos),
        float64=float64,
    )


def _check_random_states(
    policies: tuple[Any, ...], noise: Noise, episodes: int | None, record_infos: Sequence[str]
) -> None:
    if len(policies) > 1:
        raise UsageError("random-state records rows, not episodes: it cannot be mixed with other policies")
    if episodes is not None:
        raise UsageError("random-state records rows, not episodes: give --steps N")
    if noise.kind != "none":
        raise UsageError("random-state takes uniform actions: leave out the noise")
    if record_infos:
        raise UsageError("random-state records no infos: leave out --record-infos")


def _check_infos(keys: Sequence[str]) -> None:
    for key in keys:
        if not all(map(layout.is_name, key.split("/"))):
            raise UsageError(f"--record-infos: {key!r} cannot name a column")
        if f"{layout.INFOS}/{key}" == layout.ACTION_LOG_PROBS:
            raise UsageError(f"--record-infos: {key!r} is recorded by itself")
    if len(set(keys)) != len(keys):
        raise UsageError("--record-infos: a key is named twice")


def _configuration(job: Job) -> dict[str, Any]:
    """All that decides the content of the columns, as JSON."""
    import gymnasium

    return {
        "environment": job.spec.id,
        "env_kwargs": dict(job.spec.kwargs),
        "spaces": replace(job.spec, id=None, kwargs={}).to_json(),
        "policy": [describe_reference(policy) for policy in job.policies],
        "noise": str(job.noise),
        "seed": job.seed,
        "steps": job.plan.steps,
        "episodes": job.plan.episodes,
        "lanes": job.plan.lanes,
        "record_infos": list(job.record_infos),
        "float64": job.float64,
        "gymnasium": gymnasium.__version__,
    }


def _attributes(configuration: dict[str, Any]) -> dict[str, Any]:
    policy = ", ".join(configuration["policy"])
    named = {"policy": policy, "noise": configuration["noise"], "seed": configuration["seed"]}
    return {**named, "collection": configuration}


def _already_done(output: Path, folder: ShardFolder, configuration: dict[str, Any], *, resume: bool) -> bool:
    """Whether an earlier run wrote this very dataset and was stopped after that, if at all."""
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
            print(
                f"stopped; {len(ledger.rows)} finished shards are kept: go on with --resume", file=sys.stderr
            )
        raise
