"""The work of an evaluation: numbered episodes, in this process or shared by several."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vinci_offline.envs.episode_infos import WantedInfo
from vinci_offline.envs.episodes import Episode, run_episodes
from vinci_offline.envs.making import EnvironmentLike, make_env
from vinci_offline.envs.processes import GUARD, exit_code_of, start_worker, stop_workers
from vinci_offline.envs.ray_pool import ray_pool
from vinci_offline.envs.seeding import EvaluationSeeds
from vinci_offline.envs.video import FILM_KWARGS, FILMED, filmed
from vinci_offline.errors import UsageError, VinciError
from vinci_offline.loading import describe
from vinci_offline.policies.named import load_policy, portable_policy
from vinci_offline.spec import EnvironmentSpec

if TYPE_CHECKING:
    import gymnasium

_SHARES = 4
"""Shares of the episodes for each worker of a cluster."""


@dataclass(frozen=True)
class EvaluationJob:
    """An evaluation as its workers need it.

    Attributes:
        policy: the policy's reference, as `load_policy` takes it.
        env: makes the environment.
        spec: its description.
        lanes: environments stepped together. Episode i runs in lane i mod ``lanes``.
        seeds: seeds of the starting states and the policy's draws.
        stochastic: sample from the policy's distribution.
        env_kwargs: keyword arguments of the environment.
        film: the folder for films of the first episodes; None films nothing.
        film_format: ``mp4`` or ``gif``.
        infos: numbers to take from the steps' infos.
    """

    policy: Any
    env: EnvironmentLike
    spec: EnvironmentSpec
    lanes: int
    seeds: EvaluationSeeds
    stochastic: bool
    env_kwargs: dict[str, Any]
    film: Path | None = None
    film_format: str = "mp4"
    infos: tuple[WantedInfo, ...] = ()

    def execute(
        self, episodes: int, workers: int, tell: Callable[[], None], engine: str = "local"
    ) -> list[Episode]:
        """Run the episodes 0 to ``episodes`` - 1 in up to ``workers`` processes.

        Args:
            episodes: how many.
            workers: processes. One means this process, unless they are Ray's.
            tell: called for each episode that has ended.
            engine: ``local`` processes, or ``ray``.

        Returns:
            The episodes by number.

        Raises:
            UsageError: the job cannot be sent to another process.
            VinciError: the policy, the environment or a worker failed.
        """
        count = min(workers, episodes)
        if engine == "ray":
            # Smaller shares: a worker that dies does its share again.
            shares = self._shares(episodes, max(count, min(_SHARES * count, episodes // self.lanes)))
            return sorted(self._portable()._run_on_ray(shares, count, tell))
        if count == 1:
            return sorted(self.run(range(episodes), tell))
        return sorted(self._portable()._run_elsewhere(self._shares(episodes, count), tell))

    def _shares(self, episodes: int, count: int) -> list[list[int]]:
        """Return shares that have episodes of every lane, and equally many, whatever the number of lanes."""
        return [
            [i for i in range(episodes) if (i // self.lanes + i % self.lanes) % count == share]
            for share in range(count)
        ]

    def _portable(self) -> EvaluationJob:
        """Return this job with a Keras policy in NumPy where it has such a form: the workers import no Keras then."""
        policy = portable_policy(self.policy, self.spec, stochastic=self.stochastic)
        return self if policy is None else replace(self, policy=policy, stochastic=False)

    def run(self, episodes: Sequence[int], tell: Callable[[], None] = lambda: None) -> list[Episode]:
        """Run the given episodes in this process."""
        queues = [[i for i in episodes if i % self.lanes == lane] for lane in range(self.lanes)]
        try:
            policy = load_policy(self.policy, self.spec, stochastic=self.stochastic)
            with self._environments(queues) as envs:
                return run_episodes(policy, envs, queues, self.spec, self.seeds, tell, self.infos)
        except (VinciError, OSError, MemoryError):
            raise
        except Exception as error:
            raise _failed(describe(error)) from error

    def _run_elsewhere(self, shares: Sequence[Sequence[int]], tell: Callable[[], None]) -> list[Episode]:
        try:
            message = pickle.dumps(self)
        except Exception as error:
            raise UsageError(
                f"the policy or environment cannot be sent to workers ({error}): name it as file.py:object"
            ) from error
        done: list[Episode] = []
        processes: dict[Connection, Any] = {}
        try:
            waiting = {start_worker(processes, _work, message, share) for share in shares}
            while waiting:
                for worker in wait(list(waiting)):
                    assert isinstance(worker, Connection)
                    waiting.remove(worker)
                    episodes = _received(worker, processes[worker])
                    done += episodes
                    for _ in episodes:
                        tell()
        finally:
            stop_workers(processes.values())
        return done

    def _run_on_ray(
        self, shares: Sequence[Sequence[int]], workers: int, tell: Callable[[], None]
    ) -> list[Episode]:
        done: list[Episode] = []
        waiting = list(enumerate(shares))
        with ray_pool(_Worker, self, workers, _failed, _lost) as pool:
            for _ in shares:
                while pool.idle and waiting:
                    number, share = waiting.pop(0)
                    pool.start(number, "run", share)
                _, episodes = pool.receive()
                done += episodes
                for _ in episodes:
                    tell()
        return done

    @contextmanager
    def _environments(
        self, queues: Sequence[Sequence[int]]
    ) -> Iterator[list[gymnasium.Env[Any, Any] | None]]:
        """Make an environment for each queue that is not empty, and close it afterwards."""
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
        env = make_env(self.env, self.env_kwargs | FILM_KWARGS)
        return filmed(env, self.film, first_episode, self.film_format)


class _Worker:
    """Evaluation in a process of a Ray cluster."""

    def __init__(self, job: EvaluationJob) -> None:
        self._job = job

    def run(self, share: Sequence[int]) -> list[Episode]:
        """Run a share of the episodes."""
        return self._job.run(share)


def _failed(reason: str) -> VinciError:
    return VinciError(f"the evaluation failed: {reason}; correct the environment or the policy")


def _lost(reason: str) -> VinciError:
    return VinciError(
        f"a Ray worker was lost ({reason}): take fewer workers or lanes, or look at the cluster"
    )


def _work(connection: Connection, message: bytes, share: Sequence[int]) -> None:
    """Run a worker's share of the episodes, and send them, or the error that ended them."""
    found: list[Episode] | VinciError
    try:
        found = pickle.loads(message).run(share)  # noqa: S301 - sent by our own parent
    except VinciError as error:
        found = error
    except Exception as error:  # noqa: BLE001 - the parent raises it
        found = VinciError(f"the evaluation failed in a worker: {describe(error)}")
    connection.send(found)


def _received(connection: Connection, process: Any) -> list[Episode]:
    try:
        found: list[Episode] | VinciError = connection.recv()
    except (EOFError, ConnectionResetError):
        raise VinciError(
            f"a worker died (exit code {exit_code_of(process)}): if memory ran out, take fewer workers or lanes; "
            f"in a script, {GUARD}"
        ) from None
    if isinstance(found, VinciError):
        raise found
    return found
