"""Whole episodes of a policy in lanes of environments, for their returns alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vinci_offline.policies.policy import Observations, Policy
from vinci_offline.types import Array

if TYPE_CHECKING:
    import gymnasium

# Keeps evaluations' starting states apart from those of data recorded with the same seed.
_STREAM = 0x6576616C


class Episode(NamedTuple):
    """What is kept of an episode: its number, the undiscounted sum of its rewards, and its steps."""

    number: int
    total_reward: float
    length: int


def run_episodes(
    policy: Policy,
    envs: Sequence[gymnasium.Env[Any, Any] | None],
    queues: Sequence[Sequence[int]],
    seed: int,
    advance: Callable[[], None] = lambda: None,
) -> list[Episode]:
    """Run each lane's queue of episodes, all lanes stepped together with one call of the policy a step.

    Every queue is run to its end, whichever lanes are done before, so that no episode counts for being short.
    A lane that is done keeps its row in the policy's batch: the batch never changes its shape.

    Args:
        policy: acts for all lanes.
        envs: ``L`` environments; None where the queue is empty.
        queues: ``L`` lists of episode numbers; each episode is seeded from (``seed``, number) alone.
        seed: of the starting states and of the policy's draws.
        advance: called at the end of each episode.

    Returns:
        The episodes in the order in which they ended.
    """
    lanes = {
        row: _Lane(env, queues[row], seed) for row, env in enumerate(envs) if env is not None and queues[row]
    }
    first = next(iter(lanes.values()))
    batch = _batch(first.env.observation_space, first.observation, len(envs))
    for row, lane in lanes.items():
        _set_row(batch, row, lane.observation)
    rngs = [lanes[row].rng if row in lanes else np.random.default_rng(0) for row in range(len(envs))]
    done: list[Episode] = []
    reset = getattr(policy, "reset", None)
    started = list(range(len(envs)))
    while lanes:
        if reset is not None and started:
            reset(started)
        started = []
        actions = policy.act(batch, rngs).actions
        for row, lane in list(lanes.items()):
            episode = lane.step(actions[row])
            if episode is not None:
                done.append(episode)
                advance()
                if not lane.begin():
                    del lanes[row]
                    continue
                rngs[row] = lane.rng
                started.append(row)
            _set_row(batch, row, lane.observation)
    return done


class _Lane:
    """One environment and the episodes it has still to run."""

    observation: Any
    rng: np.random.Generator

    def __init__(self, env: gymnasium.Env[Any, Any], queue: Iterable[int], seed: int) -> None:
        self.env = env
        self._queue = iter(queue)
        self._seed = seed
        self.begin()

    def begin(self) -> bool:
        """Start the next episode; False where there is none."""
        number = next(self._queue, None)
        if number is None:
            return False
        start, draws = np.random.SeedSequence((_STREAM, self._seed, number)).spawn(2)
        self.rng = np.random.default_rng(draws)
        self.observation, _ = self.env.reset(seed=int(start.generate_state(1)[0]))
        self._number, self._return, self._length = number, 0.0, 0
        return True

    def step(self, action: Any) -> Episode | None:
        """Take one step; the episode where it ends here."""
        # The environment gets a copy, which it may write to.
        given = action.copy() if np.ndim(action) else int(action)
        self.observation, reward, terminated, truncated, _ = self.env.step(given)
        self._return += float(reward)
        self._length += 1
        return Episode(self._number, self._return, self._length) if terminated or truncated else None


def _batch(space: Any, observation: Any, rows: int) -> Observations:
    """``rows`` copies of an observation, which a policy can act on where a lane has none of its own."""
    if isinstance(observation, tuple):
        return {str(i): _copies(space[i], value, rows) for i, value in enumerate(observation)}
    if isinstance(observation, dict):
        return {key: _copies(space[key], value, rows) for key, value in observation.items()}
    return _copies(space, observation, rows)


def _copies(space: Any, observation: Any, rows: int) -> Array:
    copies: Array = np.repeat(np.asarray(observation, dtype=space.dtype)[np.newaxis], rows, axis=0)
    return copies


def _set_row(batch: Observations, row: int, observation: Any) -> None:
    if isinstance(batch, dict):
        for key, value in batch.items():
            value[row] = observation[int(key) if isinstance(observation, tuple) else key]
    else:
        batch[row] = observation
