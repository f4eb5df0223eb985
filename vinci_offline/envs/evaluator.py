"""Evaluation: the return of a policy in its environment, an unbiased mean over seeded episodes."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.envs.collect.references import refuse_recording_only
from vinci_offline.envs.collect.workers import GUARD, check_workers
from vinci_offline.envs.episodes import Episode, run_episodes
from vinci_offline.envs.making import EnvironmentLike, make_env
from vinci_offline.envs.options import EvaluateOptions
from vinci_offline.envs.video import FILM_KWARGS, FILMED, check_renders, check_video, filmed
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.policies.named import check_policy_name, load_policy
from vinci_offline.runs.run_directory import RunDirectory
from vinci_offline.spec import EnvironmentSpec, check_fits, environment_spec

if TYPE_CHECKING:
    import gymnasium

REFERENCE_RETURNS = {
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
}
"""Returns of a random and of an expert policy, between which D4RL's scores run from 0 to 100.

Fu et al. (2020), https://arxiv.org/abs/2004.07219; measured on Gym's v2 environments,
approximate for later ones.
"""


@dataclass(frozen=True)
class Evaluation:
    """What a policy achieved.

    Attributes:
        env: the environment's id, or None where it has none.
        episodes: how many were run.
        returns: undiscounted returns in the order of the episodes.
        lengths: steps of each episode.
    """

    env: str | None
    episodes: int
    returns: tuple[float, ...]
    lengths: tuple[int, ...]

    @property
    def return_mean(self) -> float:
        """The mean return."""
        return float(np.mean(self.returns))

    @property
    def return_std(self) -> float:
        """The standard deviation of the returns over the episodes."""
        return float(np.std(self.returns))

    @property
    def length_mean(self) -> float:
        """The mean number of steps."""
        return float(np.mean(self.lengths))

    @property
    def normalized_mean(self) -> float | None:
        """The mean return as D4RL's score; None for environments without reference returns."""
        return normalized_score(self.env, self.return_mean)

    def to_json(self) -> dict[str, Any]:
        """A JSON object, as ``vinci-offline evaluate --json`` prints it."""
        return {
            "env": self.env,
            "episodes": self.episodes,
            "return_mean": self.return_mean,
            "return_std": self.return_std,
            "returns": list(self.returns),
            "length_mean": self.length_mean,
            "normalized_mean": self.normalized_mean,
        }


def normalized_score(env: str | None, mean_return: float) -> float | None:
    """100 (R - random) / (expert - random), or None for environments without `REFERENCE_RETURNS`.

    The map is affine: apply it to returns and their means, never to a standard deviation.
    """
    name = (env or "").rpartition(":")[2].partition("-")[0].lower()
    if name not in REFERENCE_RETURNS:
        return None
    low, high = REFERENCE_RETURNS[name]
    return 100 * (mean_return - low) / (high - low)


def evaluate(
    policy: Any,
    env: EnvironmentLike | None = None,
    *,
    episodes: int = 100,
    seed: int = 0,
    workers: int = 1,
    lanes: int = 16,
    stochastic: bool = False,
    env_kwargs: Mapping[str, Any] | None = None,
    video: str | Path | None = None,
    progress: bool = False,
) -> Evaluation:
    """Run a policy for whole episodes and report their returns.

    Episode i starts from a state that (seed, i) alone determines, in lane i mod ``lanes``; every episode is
    run to its end and counts once, so that short episodes are not favoured. The batch that the policy sees
    has always ``lanes`` rows: ``workers`` and ``episodes`` do not change the return of episode i.

    Args:
        policy: what `load_policy` takes: a run directory, a ``.keras`` or ``.onnx`` file, ``"random"``,
            ``sb3:ALGO:FILE.zip[:VECNORMALIZE]``, ``module:object``, ``file.py:object``, a Keras model, a
            callable ``obs -> action`` or ``(obs, rng) -> action``, or a policy.
        env: a Gymnasium id, ``module:EnvId``, ``module:Class``, an `EnvironmentSpec`, a callable that makes
            an environment, or one environment (then with a single lane). None takes the one that the run
            directory ``policy`` was trained for.
        episodes: how many.
        seed: of the starting states and of a stochastic policy's draws.
        workers: processes that share the episodes.
        lanes: environments stepped together with one batched call of the policy.
        stochastic: sample from the policy's distribution instead of taking its mean or most likely action.
        env_kwargs: keyword arguments of the environment.
        video: a new folder for films of the first episodes; needs ``vinci-offline[video]``.
        progress: show a progress bar where standard error is a terminal.

    Raises:
        UsageError: no environment is known, an option is out of range, or what ``video`` needs is missing.
        SpecError: the spaces of policy and environment differ, or the policy's actions do not fit.
        VinciError: the policy cannot be loaded.
    """
    import gymnasium

    EvaluateOptions(episodes, seed, workers, lanes)  # checks them
    check_workers(workers)
    refuse_recording_only(policy)
    check_policy_name(policy)
    trained_for = _trained_for(policy)
    if env is None:
        env = _known_environment(trained_for, policy)
    if isinstance(env, gymnasium.Env):
        if workers > 1:
            raise UsageError("workers cannot share one environment: give its id, or a callable that makes it")
        lanes = 1
    film = None if video is None else Path(video)
    spec = _describe(env, dict(env_kwargs or {}), film)
    if trained_for is not None:
        check_fits(trained_for, spec)
    job = _Job(policy, env, spec, lanes, seed, stochastic, dict(env_kwargs or {}), film)
    with _progress_bar(episodes, progress) as advance:
        done = sorted(job.share(_split(episodes, lanes, workers), advance))
    return Evaluation(
        env=spec.id,
        episodes=episodes,
        returns=tuple(episode.total_reward for episode in done),
        lengths=tuple(episode.length for episode in done),
    )


def _split(episodes: int, lanes: int, workers: int) -> list[list[int]]:
    """Each worker's episodes: whole rounds of all lanes, whatever their number an episode keeps its lane."""
    workers = min(workers, -(-episodes // lanes))
    return [[i for i in range(episodes) if i // lanes % workers == worker] for worker in range(workers)]


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


def _describe(env: EnvironmentLike, kwargs: dict[str, Any], film: Path | None) -> EnvironmentSpec:
    """The environment's spec; where a film is wanted, it is checked here that there can be one."""
    if film is not None:
        check_video(film)
    made = make_env(env, kwargs if film is None else kwargs | FILM_KWARGS)
    try:
        if film is not None:
            check_renders(made)
        return environment_spec(made, id=_name(env))
    finally:
        if made is not env:
            made.close()


def _name(env: EnvironmentLike) -> str | None:
    return env if isinstance(env, str) else env.id if isinstance(env, EnvironmentSpec) else None


@dataclass(frozen=True)
class _Job:
    """What a worker needs to know."""

    policy: Any
    env: EnvironmentLike
    spec: EnvironmentSpec
    lanes: int
    seed: int
    stochastic: bool
    env_kwargs: dict[str, Any]
    film: Path | None

    def share(self, parts: Sequence[Sequence[int]], advance: Callable[[], None]) -> list[Episode]:
        """Run each part of the episodes in a process of its own, a single one in this process."""
        if len(parts) == 1:
            return self.run(parts[0], advance)
        try:
            pickle.dumps(self)
        except Exception as error:
            raise UsageError(
                f"the policy or environment cannot be sent to workers ({error}): name it as file.py:object"
            ) from error
        done: list[Episode] = []
        try:
            # Ctrl-C reaches the workers too: they end at once, and only this process speaks of it.
            default = (signal.SIGINT, signal.SIG_DFL)
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(
                len(parts), context, initializer=signal.signal, initargs=default
            ) as pool:
                for episodes in pool.map(self.run, parts):
                    done += episodes
                    for _ in episodes:
                        advance()
        except BrokenProcessPool as error:
            raise VinciError(
                f"a worker died: if memory ran out, take fewer workers or lanes; in a script, {GUARD}"
            ) from error
        return done

    def run(self, episodes: Sequence[int], advance: Callable[[], None] = lambda: None) -> list[Episode]:
        """Run the given episodes in this process."""
        queues = [[i for i in episodes if i % self.lanes == lane] for lane in range(self.lanes)]
        policy = load_policy(self.policy, self.spec, stochastic=self.stochastic)
        with self._environments(queues) as envs:
            try:
                return run_episodes(policy, envs, queues, self.spec, self.seed, advance)
            except (VinciError, OSError, MemoryError):
                raise
            except Exception as error:
                raise VinciError(f"the evaluation failed: {describe(error)}") from error

    @contextmanager
    def _environments(
        self, queues: Sequence[Sequence[int]]
    ) -> Iterator[list[gymnasium.Env[Any, Any] | None]]:
        """An environment for each queue that is not empty; closed afterwards, if made here."""
        envs: list[gymnasium.Env[Any, Any] | None] = []
        try:
            envs.extend(self._make(queue[0]) if queue else None for queue in queues)
            yield envs
        finally:
            for env in envs:
                if env is not None and env is not self.env:
                    env.close()

    def _make(self, first_episode: int) -> gymnasium.Env[Any, Any]:
        if self.film is None or first_episode >= FILMED:
            return make_env(self.env, self.env_kwargs)
        return filmed(make_env(self.env, self.env_kwargs | FILM_KWARGS), self.film, first_episode)


@contextmanager
def _progress_bar(episodes: int, wanted: bool) -> Iterator[Callable[[], None]]:
    """A bar on standard error; what it gives is called at the end of each episode."""
    if not (wanted and sys.stderr.isatty()):
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("evaluate"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("episodes"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("evaluate", total=episodes)
        yield lambda: bar.advance(task)
