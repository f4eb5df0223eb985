"""Evaluation: the returns of a policy over seeded, whole episodes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.calls import from_python
from vinci_offline.deviation import finite, sample_deviation, wilson
from vinci_offline.envs.collect.references import refuse_recording_only
from vinci_offline.envs.collect.workers import check_workers
from vinci_offline.envs.episode_infos import WantedInfo
from vinci_offline.envs.evaluation_job import EvaluationJob
from vinci_offline.envs.making import EnvironmentLike, kwargs_of, limited, make_env
from vinci_offline.envs.options import EvaluateOptions
from vinci_offline.envs.repeatable import check_repeats
from vinci_offline.envs.scores import Reference, published_reference, recorded_reference
from vinci_offline.envs.seeding import EvaluationSeeds
from vinci_offline.envs.video import FILM_KWARGS, check_renders, check_video
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.files import disk_errors, publish_text, published_folder, refuse_existing
from vinci_offline.policies.named import check_policy_name
from vinci_offline.progress import doing, line_if_due, live_console, never_silent, shown_bar
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import EnvironmentSpec, check_fits, environment_spec
from vinci_offline.types import FloatArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        env: the environment's id; None without one.
        episodes: the number of episodes.
        returns: undiscounted returns in the order of the episodes.
        lengths: steps of each episode.
        terminated: for each episode, True where it terminated and False where a time limit ended it.
        infos: the numbers of each episode that were asked for with ``infos``, by name.
        recorded_reference: the returns that stand for the scores 0 and 100, if the data of a run keep such.
        path: ``[T + 1, 2]`` the observations of the first episode where each is two numbers; None for others.
    """

    env: str | None
    episodes: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    terminated: tuple[bool, ...] = ()
    infos: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    recorded_reference: Reference | None = None
    path: FloatArray | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        spread = "" if self.episodes == 1 else f" ± {self.return_std:.4g}"
        count = f"{self.episodes} episode{'s' if self.episodes > 1 else ''} of {self.length_mean:.4g} steps"
        where = f" {self.env}" if self.env else ""
        return f"<Evaluation{where}: return {self.return_mean:.6g}{spread} over {count}>"

    @property
    def return_mean(self) -> float:
        """The mean return."""
        return float(np.mean(self.returns))

    @property
    def return_std(self) -> float:
        """The sample standard deviation (n - 1) of the returns over the episodes; NaN for a single episode."""
        return sample_deviation(self.returns)

    @property
    def length_mean(self) -> float:
        """The mean number of steps."""
        return float(np.mean(self.lengths))

    @property
    def reference(self) -> Reference | None:
        """The references of scores: those of the data, or else the published ones of the environment; None without."""
        return self.recorded_reference or published_reference(self.env)

    @property
    def normalized_mean(self) -> float | None:
        """The mean return as a score from a random policy, 0, to an expert, 100; None without `reference`."""
        return None if self.reference is None else self.reference.score(self.return_mean)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object that ``vinci-offline evaluate --json`` prints."""
        return {
            "env": self.env,
            "episodes": self.episodes,
            "return_mean": self.return_mean,
            "return_std": finite(self.return_std),
            "returns": list(self.returns),
            "length_mean": self.length_mean,
            "normalized_mean": self.normalized_mean,
            "reference": None if self.reference is None else self.reference.to_json(),
            **({"infos": self._infos_json()} if self.infos else {}),
        }

    def rate_interval(self, name: str) -> tuple[float, float] | None:
        """Return Wilson's 95% interval of the rate at which an info is 1; None if it is not 0 or 1 in every episode."""
        values = self.infos[name]
        return wilson(int(sum(values)), len(values)) if set(values) <= {0.0, 1.0} else None

    def to_frame(self) -> pd.DataFrame:
        """Return a table of the episodes: ``episode``, ``return``, ``length``, ``terminated``, and each info."""
        import pandas as pd

        columns = {"return": self.returns, "length": self.lengths, "terminated": self.terminated}
        return pd.DataFrame({**columns, **self.infos}, index=pd.RangeIndex(self.episodes, name="episode"))

    def _infos_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, values in self.infos.items():
            found[name] = {"mean": float(np.mean(values)), "std": finite(sample_deviation(values))}
            if (ends := self.rate_interval(name)) is not None:
                found[name] |= {"low": ends[0], "high": ends[1]}
        return found


@from_python
def evaluate(
    policy: Any,
    env: EnvironmentLike | None = None,
    *,
    episodes: int = 100,
    seed: int = 0,
    workers: int = 1,
    engine: str = "local",
    lanes: int = 16,
    stochastic: bool = False,
    selection: bool = False,
    env_kwargs: Mapping[str, Any] | None = None,
    max_episode_steps: int | None = None,
    infos: Sequence[str] = (),
    csv: str | Path | None = None,
    overwrite: bool = False,
    video: str | Path | None = None,
    video_format: str = "mp4",
    progress: bool = False,
) -> Evaluation:
    """Run a policy for whole episodes and report their returns.

    Episode i starts from a state that (seed, i) alone determines, in lane i mod ``lanes``. Every episode runs
    to its end and counts once, so short episodes are not favoured. The policy's batch always has ``lanes``
    rows: ``workers`` and ``episodes`` do not change the return of episode i.

    Args:
        policy: a reference that `load_policy` takes: a run directory, a ``.keras`` or ``.onnx`` file, ``"random"``,
            ``sb3:ALGO:FILE.zip[:VECNORMALIZE]``, ``module:object``, ``file.py:object``, a Keras model, a
            callable ``obs -> action`` or ``(obs, rng) -> action``, or a policy.
        env: a Gymnasium id, ``module:EnvId``, ``module:Class``, an `EnvironmentSpec`, a callable that makes
            an environment, or one environment (then with a single lane). None takes the environment of the
            run directory ``policy``.
        episodes: the number of episodes.
        seed: seeds the starting states and a stochastic policy's draws.
        workers: processes that share the episodes.
        engine: ``local`` for processes of this machine, or ``ray`` for the workers of a Ray cluster.
        lanes: environments stepped together with one batched call of the policy.
        stochastic: sample from the policy's distribution or its sampler, instead of taking its mean or most
            likely action.
        selection: take the starting states of evaluations that choose among policies, such as those in training. They
            differ from the others of the same seed, so a policy can be scored on states that did not choose it.
        env_kwargs: keyword arguments of the environment. They replace those that a run directory has for it.
        max_episode_steps: the time limit; None keeps the environment's own.
        infos: numbers to report of each episode: a key of the last step's info, such as ``is_success``; with ``max:``,
            ``mean:`` or ``sum:`` before the key, of all its steps.
        csv: a new file for a row an episode, as `Evaluation.to_frame` has them.
        overwrite: replace the file of ``csv`` that is there.
        video: a new folder for films of the first episodes; needs ``vinci-offline[video]``.
        video_format: ``mp4`` or ``gif``.
        progress: show a bar where standard error is a terminal and in a notebook, elsewhere a line now and then.

    Raises:
        UsageError: no environment is known, an option is out of range, or a package for ``video`` is missing.
        SpecError: the spaces of policy and environment differ, or the policy's actions do not fit.
        VinciError: the policy cannot be loaded.
    """
    import gymnasium

    film, table = _path(video), _path(csv)
    EvaluateOptions(  # checks them
        episodes,
        seed,
        workers,
        engine,
        lanes,
        max_episode_steps=max_episode_steps,
        infos=tuple(infos),
        video=film,
        video_format=video_format,
    )
    check_workers(workers)
    if table is not None:
        refuse_existing(table, overwrite=overwrite)
    refuse_recording_only(policy)
    check_policy_name(policy)
    trained_for = _trained_for(policy)
    kwargs = kwargs_of(env, trained_for, env_kwargs)
    if env is None:
        env = _known_environment(trained_for, policy)
    env, kwargs = limited(env, kwargs, max_episode_steps)
    if isinstance(env, gymnasium.Env):
        if workers > 1 or engine != "local":
            raise UsageError("workers cannot share one environment: give its id, or a callable that makes it")
        lanes = 1
    spec = _describe(env, kwargs, film)
    if trained_for is not None:
        _check_fits(trained_for, spec)
    seeds = EvaluationSeeds(seed, selection)
    with _progress_bar(episodes, progress) as tell, _new_folder(film) as folder:
        wanted = tuple(map(WantedInfo.parse, infos))
        job = EvaluationJob(policy, env, spec, lanes, seeds, stochastic, kwargs, folder, video_format, wanted)
        done = job.execute(episodes, workers, tell, engine)
    found = Evaluation(
        env=spec.id,
        episodes=episodes,
        returns=tuple(episode.total_reward for episode in done),
        lengths=tuple(episode.length for episode in done),
        terminated=tuple(episode.terminated for episode in done),
        infos={name: tuple(episode.infos[place] for episode in done) for place, name in enumerate(infos)},
        recorded_reference=_reference(policy, trained_for, spec),
        path=next((episode.path for episode in done), None),
    )
    if table is not None:
        with disk_errors(table):
            publish_text(table, found.to_frame().to_csv(lineterminator="\n"))
    return found


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


@contextmanager
def _new_folder(film: Path | None) -> Iterator[Path | None]:
    """Give a folder for films that appears when all of them are there."""
    if film is None:
        yield None
        return
    with disk_errors(film), published_folder(film) as folder:
        yield folder


def _trained_for(policy: Any) -> EnvironmentSpec | None:
    """Return the environment of a run directory; None where ``policy`` is not a directory."""
    if not isinstance(policy, str | Path) or not Path(policy).is_dir():
        return None
    return RunDirectory(Path(policy)).environment()


def _known_environment(spec: EnvironmentSpec | None, policy: Any) -> EnvironmentSpec:
    if spec is None:
        raise UsageError(f"{policy!s} does not say which environment it is for: name one with --env ENV")
    if spec.id is None:
        raise UsageError(f"the data that {policy} learned from name no environment: name one with --env ENV")
    return spec


def _reference(policy: Any, trained_for: EnvironmentSpec | None, spec: EnvironmentSpec) -> Reference | None:
    """Return the references that a run's data keep, if this is their environment with its arguments and time limit."""
    run = None if trained_for is None else RunDirectory(Path(policy))
    if trained_for is None or run is None or not run.has_dataset():
        return None
    same = (trained_for.id, dict(trained_for.kwargs), trained_for.max_episode_steps) == (
        spec.id,
        dict(spec.kwargs),
        spec.max_episode_steps,
    )
    return recorded_reference(run.dataset()) if same else None


def _check_fits(trained_for: EnvironmentSpec, spec: EnvironmentSpec) -> None:
    """Check that an environment has the spaces that a run was trained for; say what may make another one fit."""
    try:
        check_fits(trained_for, spec)
    except SpecError as error:
        own = dict(trained_for.kwargs)
        if not own or own == dict(spec.kwargs):
            raise
        raise SpecError(
            f"{error} The run's data was recorded with --env-kwargs '{json.dumps(own)}'."
        ) from error


def _describe(env: EnvironmentLike, kwargs: dict[str, Any], film: Path | None) -> EnvironmentSpec:
    """Describe the environment. Where films are wanted, check that it can be filmed."""
    if film is not None:
        check_video(film)
    made = make_env(env, kwargs if film is None else kwargs | FILM_KWARGS)
    try:
        if film is not None:
            check_renders(made)
        spec = environment_spec(made, id=_name(env))
        check_repeats(made, spec)
        return spec
    finally:
        if made is not env:
            made.close()


def _name(env: EnvironmentLike) -> str | None:
    return env if isinstance(env, str) else env.id if isinstance(env, EnvironmentSpec) else None


@contextmanager
def _progress_bar(episodes: int, wanted: bool) -> Iterator[Callable[[], None]]:
    """Show a bar, or lines now and then. Give a function to call at the end of each episode."""
    if not wanted:
        yield lambda: None
        return
    console = live_console()
    if console is None:
        done = itertools.count(1)
        with never_silent():
            doing(f"evaluating over {episodes:,} episodes")
            yield lambda: line_if_due(f"evaluated {next(done):,} of {episodes:,} episodes")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("evaluate"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeRemainingColumn(),
    )
    with shown_bar(), Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("evaluate", total=episodes)
        yield lambda: bar.advance(task)
