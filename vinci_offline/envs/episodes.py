"""Whole episodes of a policy, of which only returns and lengths are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from vinci_offline.envs.seeding import EpisodeSeeds
from vinci_offline.envs.stepper import Stepper
from vinci_offline.policies.policy import Policy
from vinci_offline.spec import EnvironmentSpec
from vinci_offline.spec.elements import ObservationCheck, check_reward

if TYPE_CHECKING:
    import gymnasium


class Episode(NamedTuple):
    """The outcome of an episode: its number, the undiscounted sum of its rewards, and its steps."""

    number: int
    total_reward: float
    length: int


def run_episodes(
    policy: Policy,
    envs: Sequence[gymnasium.Env[Any, Any] | None],
    queues: Sequence[Sequence[int]],
    spec: EnvironmentSpec,
    seeds: EpisodeSeeds,
    tell: Callable[[], None] = lambda: None,
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

    Returns:
        The episodes in the order in which they ended.
    """
    stepper = Stepper(envs, policy, [_Sum(spec) for _ in envs], list(map(iter, queues)), seeds, spec)
    done: list[Episode] = []
    while stepper.running:
        stepper.advance()
        for number, (total_reward, length) in stepper.finished.items():
            done.append(Episode(number, total_reward, length))
            tell()
        stepper.finished.clear()
    return done


class _Sum:
    """Sums the rewards of an episode and counts its steps. What is no element of its space is refused."""

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._check = ObservationCheck(spec.observation_space)

    def begin(self, observation: Any, info: Mapping[str, Any]) -> None:
        self._check(observation)
        self.length, self._total = 0, 0.0

    def add(
        self, action: Any, log_prob: float | None, observation: Any, reward: Any, info: Mapping[str, Any]
    ) -> int:
        self.length += 1
        self._check(observation)
        check_reward(reward)
        self._total += float(reward)
        return self.length

    def finish(self, terminated: bool, truncated: bool) -> tuple[float, int]:
        return self._total, self.length
