"""Whole episodes of a policy, of which returns, lengths and paths in a plane are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vinci_offline.envs.episode_infos import EpisodeInfos, WantedInfo
from vinci_offline.envs.seeding import EpisodeSeeds
from vinci_offline.envs.stepper import Stepper
from vinci_offline.policies.policy import Policy
from vinci_offline.spec import BoxSpace, EnvironmentSpec
from vinci_offline.spec.elements import ObservationCheck, check_reward
from vinci_offline.types import FloatArray

if TYPE_CHECKING:
    import gymnasium


class Episode(NamedTuple):
    """The outcome of an episode.

    Attributes:
        number: its number.
        total_reward: the undiscounted sum of its rewards.
        length: its steps.
        terminated: True where it terminated, False where a time limit ended it.
        infos: what was asked for of its steps' infos.
        path: ``[length + 1, 2]`` its observations where each is two numbers; None for others.
    """

    number: int
    total_reward: float
    length: int
    terminated: bool
    infos: tuple[float, ...] = ()
    path: FloatArray | None = None


def run_episodes(
    policy: Policy,
    envs: Sequence[gymnasium.Env[Any, Any] | None],
    queues: Sequence[Sequence[int]],
    spec: EnvironmentSpec,
    seeds: EpisodeSeeds,
    tell: Callable[[], None] = lambda: None,
    infos: Sequence[WantedInfo] = (),
) -> list[Episode]:
    """Run each lane's queue of episodes to its end.

    No queue stops before its end, or short episodes would count too often.

    Args:
        policy: acts for all lanes.
        envs: ``L`` environments; None where the queue is empty.
        queues: ``L`` lists of episode numbers.
        spec: the environment.
        seeds: seeds of the starting states and the policy's draws by episode number.
        tell: called at the end of each episode.
        infos: numbers to take from the steps' infos.

    Returns:
        The episodes in the order in which they ended.
    """
    stepper = Stepper(envs, policy, [_Sum(spec, infos) for _ in envs], list(map(iter, queues)), seeds, spec)
    done: list[Episode] = []
    while stepper.running:
        stepper.advance()
        for number, episode in stepper.finished.items():
            done.append(episode._replace(number=number))
            tell()
        stepper.finished.clear()
    return done


class _Sum:
    """Sums the rewards of an episode and counts its steps. What is no element of its space is refused."""

    def __init__(self, spec: EnvironmentSpec, infos: Sequence[WantedInfo] = ()) -> None:
        self._check = ObservationCheck(spec.observation_space)
        self._infos = EpisodeInfos(infos)
        space = spec.observation_space
        self._keeps_path = isinstance(space, BoxSpace) and space.shape == (2,)
        self._path: list[tuple[float, float]] = []

    def begin(self, observation: Any, info: Mapping[str, Any]) -> None:
        """Start an episode at its first observation."""
        self._check(observation)
        self.length, self._total = 0, 0.0
        self._infos.begin()
        self._path = []
        self._follow(observation)

    def add(
        self, action: Any, log_prob: float | None, observation: Any, reward: Any, info: Mapping[str, Any]
    ) -> int:
        """Add a step, and return the number of steps so far."""
        self.length += 1
        self._check(observation)
        check_reward(reward)
        self._total += float(reward)
        self._infos.add(info)
        self._follow(observation)
        return self.length

    def finish(self, terminated: bool, truncated: bool) -> Episode:
        """Return the episode; the caller numbers it."""
        path = np.array(self._path, np.float32) if self._keeps_path else None
        return Episode(-1, self._total, self.length, terminated, self._infos.finish(), path)

    def _follow(self, observation: Any) -> None:
        if self._keeps_path:
            self._path.append((float(observation[0]), float(observation[1])))
