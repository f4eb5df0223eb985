"""Environments stepped side by side: one policy call a step, one episode after another in each lane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vinci_offline.envs.collect.buffer import EpisodeBuffer
from vinci_offline.policies.noise import LaneNoise
from vinci_offline.policies.policy import Policy
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec import BoxSpace, DictSpace, EnvironmentSpec, Space
from vinci_offline.types import Array, Columns

if TYPE_CHECKING:
    import gymnasium

_BLOCK = 256
"""Random actions drawn at once."""


def episode_seed(seed: int, episode: int) -> int:
    """The seed of ``env.reset`` for an episode; it depends on the collection's seed and the episode alone."""
    return int(np.random.SeedSequence((seed, episode, 0)).generate_state(1)[0])


def episode_rng(seed: int, episode: int) -> np.random.Generator:
    """The generator that an episode's policy and noise draw from, independent of the environment's own."""
    return np.random.default_rng(np.random.SeedSequence((seed, episode, 1)))


class Group(Protocol):
    """The lanes of one policy, working through its episodes of a shard."""

    finished: dict[int, Columns]

    def advance(self, limit: int | None) -> int:
        """Step on; an episode may be cut at ``limit`` rows. Returns the number of steps taken."""

    def cut(self, episode: int, limit: int) -> Columns | None:
        """An unfinished episode's first ``limit`` rows once it has them, ended by the end of recording."""


class RandomLane:
    """Episodes of a policy that does not look: one after another, with actions drawn in blocks.

    Args:
        env: the environment.
        policy: the random policy.
        buffer: where episodes are recorded.
        episodes: the numbers of the episodes, in order.
        seed: the collection's seed.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        policy: RandomPolicy,
        buffer: EpisodeBuffer,
        episodes: Sequence[int],
        seed: int,
    ) -> None:
        self._env, self._policy, self._buffer, self._seed = env, policy, buffer, seed
        self._waiting = list(reversed(episodes))
        self.finished: dict[int, Columns] = {}

    def advance(self, limit: int | None) -> int:
        """Record the next episode."""
        episode = self._waiting.pop()
        buffer, step, add = self._buffer, self._env.step, self._buffer.add
        rng = episode_rng(self._seed, episode)
        buffer.begin(self._env.reset(seed=episode_seed(self._seed, episode))[0])
        while True:
            actions, log_probs = self._policy.block(rng, _BLOCK)
            assert log_probs is not None
            # The environment gets a copy, which it may write to.
            for row, (action, log_prob) in enumerate(zip(actions.copy(), log_probs.tolist(), strict=True)):
                observation, reward, terminated, truncated, info = step(action)
                length = add(actions[row], log_prob, observation, reward, info)
                if terminated or truncated or length == limit:
                    self.finished[episode] = buffer.finish(bool(terminated), bool(truncated))
                    return length

    def cut(self, episode: int, limit: int) -> Columns | None:
        """Nothing: an episode is never left unfinished."""
        return None


class PolicyLanes:
    """Environments that share one policy call a step.

    The batch keeps its shape to the end: a lane without an episode stays in it with its last observation, so
    that what the others do cannot depend on how many are left.

    Args:
        envs: an environment a lane.
        policy: acts for all lanes at once.
        noise: what is added to its actions.
        make_buffer: makes a lane's buffer.
        episodes: the numbers of the episodes; a lane that ends one takes the next.
        seed: the collection's seed.
        progress: the fraction of the collection that is done when an episode starts.
        spec: the environment.
    """

    def __init__(
        self,
        envs: Sequence[gymnasium.Env[Any, Any]],
        policy: Policy,
        noise: LaneNoise,
        make_buffer: Callable[[], EpisodeBuffer],
        episodes: Sequence[int],
        *,
        seed: int,
        progress: Callable[[int], float],
        spec: EnvironmentSpec,
    ) -> None:
        self._envs, self._policy, self._noise = envs, policy, noise
        self._deterministic = bool(getattr(policy, "deterministic", False))
        self._buffers = [make_buffer() for _ in envs]
        self._waiting = list(reversed(episodes))
        self._seed, self._progress = seed, progress
        space = spec.observation_space
        self._observations = _batch(space, len(envs))
        self._places = space.places if isinstance(space, DictSpace) else {}
        # Lanes that never get an episode still need a generator, for a batched call draws for all.
        self._rngs = [np.random.default_rng(lane) for lane in range(len(envs))]
        self._episodes: dict[int, int] = {}
        self.finished: dict[int, Columns] = {}
        for lane in range(len(envs)):
            self._start(lane)
        self._tell_started(range(len(envs)))

    def advance(self, limit: int | None) -> int:
        """Step every lane that has an episode."""
        decision = self._policy.act(self._observations, self._rngs)
        actions, log_probs = self._noise.apply(decision, self._rngs, self._deterministic)
        densities = [None] * len(self._envs) if log_probs is None else log_probs.tolist()
        lanes = list(self._episodes)
        started: list[int] = []
        for lane in lanes:
            action = actions[lane]
            # The environment gets a copy, which it may write to.
            given = action.copy() if action.ndim else int(action)
            observation, reward, terminated, truncated, info = self._envs[lane].step(given)
            self._buffers[lane].add(action, densities[lane], observation, reward, info)
            if terminated or truncated:
                episode = self._episodes.pop(lane)
                self.finished[episode] = self._buffers[lane].finish(bool(terminated), bool(truncated))
                self._start(lane)
                started.append(lane)
            else:
                self._observe(lane, observation)
        self._tell_started(started)
        return len(lanes)

    def cut(self, episode: int, limit: int) -> Columns | None:
        """The first ``limit`` rows of an episode that is under way and has them."""
        for lane, running in self._episodes.items():
            if running == episode and self._buffers[lane].length >= limit:
                return self._buffers[lane].finish(terminated=False, truncated=False)
        return None

    def _tell_started(self, lanes: Sequence[int]) -> None:
        """A policy that remembers forgets what these lanes did before."""
        reset = getattr(self._policy, "reset", None)
        if reset is not None and lanes:
            reset(lanes)

    def _start(self, lane: int) -> None:
        if not self._waiting:
            return
        episode = self._waiting.pop()
        self._episodes[lane] = episode
        self._rngs[lane] = episode_rng(self._seed, episode)
        self._noise.begin(lane, self._progress(episode))
        observation, _ = self._envs[lane].reset(seed=episode_seed(self._seed, episode))
        self._buffers[lane].begin(observation)
        self._observe(lane, observation)

    def _observe(self, lane: int, observation: Any) -> None:
        if isinstance(self._observations, dict):
            for key, values in self._observations.items():
                values[lane] = observation[self._places[key]]
        else:
            self._observations[lane] = observation


def _batch(space: Space, lanes: int) -> Array | dict[str, Array]:
    """Room for an observation a lane, in the environment's own dtype."""
    if isinstance(space, DictSpace):
        return {key: _batch_of(part, lanes) for key, part in space.spaces.items()}
    return _batch_of(space, lanes)


def _batch_of(space: Space, lanes: int) -> Array:
    if isinstance(space, BoxSpace):
        return np.zeros((lanes, *space.shape), space.dtype)
    return np.zeros(lanes, np.int64)
