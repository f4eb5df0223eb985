"""The stepper: episodes in lanes of environments, for collecting and for evaluating.

A lane is an environment with a queue of episodes. All lanes take a step together, with one call of the policy. A
record in each lane keeps what its caller wants of an episode: all rows, or the sum of rewards.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

import numpy as np

from vinci_offline.envs.seeding import EpisodeSeeds
from vinci_offline.errors import SpecError, UsageError, VinciWarning
from vinci_offline.policies.actions import ActionError, to_environment
from vinci_offline.policies.noise import LaneNoise
from vinci_offline.policies.policy import ACTION_MASK, OBSERVATION, HistoryPolicy, Observations, Policy
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.spec import BoxSpace, DictSpace, DiscreteSpace, EnvironmentSpec, Space
from vinci_offline.spec.elements import check_flags
from vinci_offline.types import Array

if TYPE_CHECKING:
    import gymnasium

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_BLOCK = 256
"""Random actions drawn at once."""
_LONG = 10_000
"""Steps of an episode from which on an environment without a time limit is named."""


class Record(Protocol[T_co]):
    """One lane's account of an episode under way. It is used again for the next episode."""

    length: int

    def begin(self, observation: Any, info: Mapping[str, Any]) -> None:
        """Start an episode at its first observation and info."""

    def add(
        self, action: Any, log_prob: float | None, observation: Any, reward: Any, info: Mapping[str, Any]
    ) -> int:
        """Take a step's action, log density, next observation, reward and info. Return the length so far."""

    def finish(self, terminated: bool, truncated: bool) -> T_co:
        """End the episode and return what is kept of it. Neither flag means the end of recording."""


class Group(Protocol[T]):
    """Lanes that share a policy.

    Attributes:
        finished: what is kept of each finished episode, by its number. The caller takes entries out.
    """

    finished: dict[int, T]

    def advance(self, limit: int | None) -> int:
        """Take steps and return their number. An episode may be cut at ``limit`` rows."""

    def cut(self, episode: int, limit: int) -> T | None:
        """End an unfinished episode that has ``limit`` rows; return None if it has fewer or is not running."""


class Stepper(Generic[T]):
    """Lanes of environments under one policy.

    The batch before the policy never changes its shape. A lane without an episode keeps its row, so the other
    lanes' actions cannot depend on how many episodes are left.

    Args:
        envs: an environment a lane; None for a lane that never gets an episode.
        policy: acts for all lanes.
        records: a record a lane.
        queues: numbers of episodes a lane. A lane that ends an episode takes the next of its queue. Lanes may
            share one iterator.
        seeds: the seeds of the episodes.
        spec: the environment.
        noise: added to the actions; None adds nothing.
        progress: the fraction of the collection that is done when an episode starts; sets the noise's level.
    """

    def __init__(
        self,
        envs: Sequence[gymnasium.Env[Any, Any] | None],
        policy: Policy,
        records: Sequence[Record[T]],
        queues: Sequence[Iterator[int]],
        seeds: EpisodeSeeds,
        spec: EnvironmentSpec,
        *,
        noise: LaneNoise | None = None,
        progress: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        self._envs, self._policy, self._records, self._queues = envs, policy, records, queues
        self._history = policy if isinstance(policy, HistoryPolicy) else None
        self._seeds, self._noise, self._progress = seeds, noise, progress
        space = spec.observation_space
        self._spec, self._space = spec, spec.action_space
        self._observations = _batch(space, len(envs))
        self._masks = _masks(spec, len(envs)) if policy.takes_masks else None
        self._places = space.places if isinstance(space, DictSpace) else {}
        # A batched call draws for all lanes, so a lane without an episode needs a generator too.
        self._rngs = [np.random.default_rng(lane) for lane in range(len(envs))]
        self._episodes: dict[int, int] = {}
        self.finished: dict[int, T] = {}
        for lane in range(len(envs)):
            self._start(lane)
        self._fill_idle_rows()
        if self._history is not None:
            self._history.reset(range(len(envs)))

    @property
    def running(self) -> bool:
        """True while a lane has an episode."""
        return bool(self._episodes)

    def advance(self, limit: int | None = None) -> int:
        """Take one step in every lane that has an episode. Return the number of these lanes."""
        try:
            decision = self._policy.act(self._seen(), self._rngs)
            if self._noise is not None:
                decision = self._noise.apply(decision, self._rngs, self._policy.deterministic)
        except ActionError as error:
            self._locate(error, error.lane)
        actions = decision.actions
        given = to_environment(actions, self._space)
        densities = [None] * len(self._envs) if decision.log_probs is None else decision.log_probs.tolist()
        lanes = list(self._episodes)
        started: list[int] = []
        rewards: list[Any] = []
        for lane in lanes:
            env, record = self._envs[lane], self._records[lane]
            assert env is not None
            observation, reward, terminated, truncated, info = env.step(given[lane])
            try:
                length = record.add(actions[lane], densities[lane], observation, reward, info)
                if terminated or truncated:
                    check_flags(terminated, truncated)
                else:
                    self._observe(lane, observation, info)
            except (SpecError, UsageError) as error:
                self._locate(error, lane)
            rewards.append(reward)
            if length == _LONG and limit is None:
                _say_endless(self._spec)
            if terminated or truncated:
                episode = self._episodes.pop(lane)
                self.finished[episode] = record.finish(bool(terminated), bool(truncated))
                self._start(lane)
                started.append(lane)
        if self._history is not None:
            self._history.observe(lanes, actions[lanes], np.reshape(rewards, len(lanes)).astype(np.float64))
            if started:
                self._history.reset(started)
        return len(lanes)

    def cut(self, episode: int, limit: int) -> T | None:
        """End an unfinished episode that has ``limit`` rows; return None if it has fewer or is not running."""
        for lane, running in self._episodes.items():
            if running == episode and self._records[lane].length >= limit:
                return self._records[lane].finish(terminated=False, truncated=False)
        return None

    def _start(self, lane: int) -> None:
        """Start the next episode of a lane's queue, if there is one."""
        env = self._envs[lane]
        episode = None if env is None else next(self._queues[lane], None)
        if env is None or episode is None:
            return
        self._episodes[lane] = episode
        self._rngs[lane] = self._seeds.rng(episode)
        if self._noise is not None:
            self._noise.begin(lane, self._progress(episode))
        observation, info = env.reset(seed=self._seeds.start(episode))
        try:
            self._records[lane].begin(observation, info)
            self._observe(lane, observation, info)
        except (SpecError, UsageError) as error:
            _locate(error, episode, 0)

    def _locate(self, error: SpecError | UsageError, lane: int | None) -> NoReturn:
        """Raise an error again with the episode and step of its lane; without them where the lane runs none."""
        if lane is None or lane not in self._episodes:
            raise error
        step = self._records[lane].length
        _locate(error, self._episodes[lane], step + 1 if isinstance(error, ActionError) else step)

    def _fill_idle_rows(self) -> None:
        """Copy an observation into lanes that never get an episode: a policy may not know what zeros mean."""
        first = next(iter(self._episodes), None)
        if first is None:
            return
        idle = [lane for lane in range(len(self._envs)) if lane not in self._episodes]
        batch = self._observations
        for values in batch.values() if isinstance(batch, dict) else [batch]:
            values[idle] = values[first]

    def _seen(self) -> Observations:
        """Return what the policy sees: the observations, and the masks if it takes them."""
        seen = self._observations
        if self._masks is None:
            return seen
        return {**(seen if isinstance(seen, dict) else {OBSERVATION: seen}), ACTION_MASK: self._masks}

    def _observe(self, lane: int, observation: Any, info: Mapping[str, Any]) -> None:
        if self._masks is not None:
            self._masks[lane] = _mask_of(info, self._masks[lane])
        if isinstance(self._observations, dict):
            for key, values in self._observations.items():
                values[lane] = observation[self._places[key]]
        else:
            self._observations[lane] = observation


class RandomStepper(Generic[T]):
    """One environment under the random policy. Actions need no observations, so they are drawn in blocks.

    Args:
        env: the environment.
        policy: the random policy.
        record: the lane's record.
        queue: the numbers of the episodes.
        seeds: the seeds of the episodes.
        spec: the environment.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        policy: RandomPolicy,
        record: Record[T],
        queue: Iterator[int],
        seeds: EpisodeSeeds,
        spec: EnvironmentSpec,
    ) -> None:
        self._env, self._policy, self._record, self._spec = env, policy, record, spec
        self._queue, self._seeds = queue, seeds
        self.finished: dict[int, T] = {}

    def advance(self, limit: int | None) -> int:
        """Run the next episode to its end, or to ``limit`` rows. Return its length."""
        episode = next(self._queue)
        rng, record = self._seeds.rng(episode), self._record
        observation, info = self._env.reset(seed=self._seeds.start(episode))
        try:
            record.begin(observation, info)
        except (SpecError, UsageError) as error:
            _locate(error, episode, 0)
        while True:
            length, over = self._block(episode, rng, limit)
            if over:
                return length
            if _LONG <= length < _LONG + _BLOCK and limit is None:
                _say_endless(self._spec)

    def _block(self, episode: int, rng: np.random.Generator, limit: int | None) -> tuple[int, bool]:
        """Take up to a block of steps. Return the length so far, and whether the episode is over."""
        record, step, add = self._record, self._env.step, self._record.add
        actions, log_probs = self._policy.block(rng, _BLOCK)
        assert log_probs is not None
        steps = zip(
            actions, to_environment(actions, self._spec.action_space), log_probs.tolist(), strict=True
        )
        for action, given, log_prob in steps:
            observation, reward, terminated, truncated, info = step(given)
            try:
                length = add(action, log_prob, observation, reward, info)
                if terminated or truncated:
                    check_flags(terminated, truncated)
            except (SpecError, UsageError) as error:
                _locate(error, episode, record.length)
            if terminated or truncated or length == limit:
                self.finished[episode] = record.finish(bool(terminated), bool(truncated))
                return length, True
        return length, False

    def cut(self, episode: int, limit: int) -> T | None:
        """Return None: no episode stays unfinished."""
        return None


def _say_endless(spec: EnvironmentSpec) -> None:
    """Warn that an episode may never end, where the environment has no time limit."""
    if spec.max_episode_steps is None:
        warnings.warn(
            f"an episode has taken {_LONG:,} steps, and {spec.id or 'the environment'} has no time limit: if it may "
            "never end, set one with --max-episode-steps N",
            VinciWarning,
            stacklevel=1,
        )


def _locate(error: SpecError | UsageError, episode: int, step: int) -> NoReturn:
    """Raise an error again with the episode and step in which it arose; step 0 is the reset."""
    where = f"step {step}" if step else "its reset"
    raise type(error)(f"{error} (in episode {episode}, at {where})") from error


def _masks(spec: EnvironmentSpec, lanes: int) -> Array:
    """Make room for a mask of actions a lane. A lane without an episode may choose anything."""
    assert isinstance(spec.action_space, DiscreteSpace)
    return np.ones((lanes, spec.action_space.n), np.float32)


def _mask_of(info: Mapping[str, Any], like: Array) -> Array:
    """Return the mask of allowed actions in an info.

    Raises:
        UsageError: there is none, or it has not one number for each action.
    """
    if ACTION_MASK not in info:
        raise UsageError(
            f"the policy takes the mask of allowed actions, and the environment's info has no {ACTION_MASK!r}; "
            f"it has: {', '.join(info) or 'nothing'}"
        )
    mask = np.asarray(info[ACTION_MASK])
    if mask.shape != like.shape or mask.dtype.kind not in "biuf":
        raise UsageError(f"info {ACTION_MASK!r} has not {len(like)} numbers, one for each action")
    return mask


def _batch(space: Space, lanes: int) -> Observations:
    """Make room for an observation a lane, in the environment's own dtype."""
    if isinstance(space, DictSpace):
        return {key: _rows(part, lanes) for key, part in space.spaces.items()}
    return _rows(space, lanes)


def _rows(space: Space, lanes: int) -> Array:
    if isinstance(space, BoxSpace):
        return np.zeros((lanes, *space.shape), space.dtype)
    return np.zeros(lanes, np.int64)
