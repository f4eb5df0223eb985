"""Recording one shard, in this process or in a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from vinci_offline.data import layout
from vinci_offline.envs.collect.buffer import EpisodeBuffer
from vinci_offline.envs.collect.goal_exploration import GoalExploration
from vinci_offline.envs.collect.job import Job
from vinci_offline.envs.collect.random_states import StateSampler
from vinci_offline.envs.collect.references import load_reference
from vinci_offline.envs.making import make_env
from vinci_offline.envs.seeding import CollectionSeeds
from vinci_offline.envs.stepper import Group, RandomStepper, Stepper
from vinci_offline.errors import UsageError
from vinci_offline.policies.noise import LaneNoise
from vinci_offline.policies.random_policy import RandomPolicy
from vinci_offline.types import Columns

if TYPE_CHECKING:
    import gymnasium

    from vinci_offline.policies.policy import Policy

_REPORT_SECONDS = 0.1


class Recorder:
    """Recorder of a job's shards. It makes environments and policies once and keeps them.

    Attributes:
        index: the shard under way.
        needed: the most rows of it that the dataset may need. It may be lowered meanwhile.

    Args:
        job: the collection.
        env: an environment that is already made, for the first lane.
        report: called a few times a second with the steps and episodes recorded since the last call.
        recall: returns an earlier shard's columns and the lengths of its episodes. Policies that learn from earlier
            shards need it.
    """

    def __init__(
        self,
        job: Job,
        env: gymnasium.Env[Any, Any] | None = None,
        report: Callable[[int, int], None] | None = None,
        recall: Callable[[int], tuple[Columns, list[int]]] | None = None,
    ) -> None:
        self._job = job
        self._recall = recall
        self._recalled = 0
        self._envs = [] if env is None else [env]
        self._report = report
        self._untold = [0, 0]
        self._told_at = time.monotonic()
        self.index = -1
        self.needed: int | None = None

    def record(self, index: int, rows_before: int, needed: int | None) -> tuple[Columns, list[int]]:
        """Record a shard.

        Args:
            index: the number of the shard.
            rows_before: the rows of all earlier shards, as far as they are known.
            needed: the most rows that the dataset may need of it; None for all. Recording stops once the shard's
                first episodes cover so many. That saves work and changes no row.

        Returns:
            Its columns, and the lengths of its episodes (none for random states).
        """
        items = self._job.plan.shard(index)
        assert items is not None
        self.index, self.needed = index, needed
        if self._job.random_states:
            rows = len(items) if needed is None else min(needed, len(items))
            return self._states.sample(index, rows, self._tell), []
        self._learn_from_earlier(index)
        recorded = self._episodes(items, rows_before)
        return _joined(recorded), [len(part[layout.REWARDS]) for part in recorded]

    def _episodes(self, episodes: range, rows_before: int) -> list[Columns]:
        """Record the shard's episodes in order, up to the one that covers the rows needed."""
        groups = self._groups(episodes, rows_before)
        recorded: list[Columns] = []
        rows = 0
        while len(recorded) < len(episodes) and (self.needed is None or rows < self.needed):
            episode = episodes[len(recorded)]
            group = groups[episode % len(groups)]
            if episode in group.finished:
                recorded.append(group.finished.pop(episode))
                rows += len(recorded[-1][layout.REWARDS])
                self._tell(0, episodes=1)
                continue
            limit = None if self.needed is None else self.needed - rows
            # Advance only the group that holds the next episode: the others would run ahead in vain.
            steps = group.advance(limit)
            cut = None if limit is None else group.cut(episode, limit)
            if cut is not None:
                group.finished[episode] = cut
            self._tell(steps)
        return recorded

    def _groups(self, episodes: range, rows_before: int) -> list[Group[Columns]]:
        """Make a group of lanes for each policy. Policy p of P has the episodes i with i mod P = p."""
        job, count = self._job, len(self._policies)
        seeds = CollectionSeeds(job.seed)
        groups: list[Group[Columns]] = []
        used = 0
        for position, kept in enumerate(self._policies):
            policy = kept.fresh()
            own = iter([episode for episode in episodes if episode % count == position])
            if isinstance(policy, RandomPolicy):
                env = self._lane_envs(used, 1)[0]
                groups.append(RandomStepper(env, policy, self._buffer(), own, seeds, job.spec))
                used += 1
                continue
            lanes = max(1, len(range(position, job.plan.lanes, count)))
            groups.append(
                Stepper(
                    self._lane_envs(used, lanes),
                    policy,
                    [self._buffer() for _ in range(lanes)],
                    [own] * lanes,
                    seeds,
                    job.spec,
                    noise=LaneNoise(job.noise, job.spec, lanes),
                    progress=partial(self._progress, rows_before),
                )
            )
            used += lanes
        return groups

    def _learn_from_earlier(self, index: int) -> None:
        """Teach exploring policies the outcomes of earlier shards, each shard once and in order."""
        job, count = self._job, len(self._policies)
        seeds = CollectionSeeds(job.seed)
        explorers = {p: one for p, one in enumerate(self._policies) if isinstance(one, GoalExploration)}
        while explorers and self._recalled < index:
            episodes = job.plan.shard(self._recalled)
            assert episodes is not None
            assert self._recall is not None
            columns, lengths = self._recall(self._recalled)
            ends = np.cumsum(lengths)
            for position, explorer in explorers.items():
                explorer.learn(
                    (
                        seeds.rng(episode),
                        {path: values[end - length : end] for path, values in columns.items()},
                    )
                    for episode, length, end in zip(episodes, lengths, ends, strict=False)
                    if episode % count == position
                )
            self._recalled += 1

    def _progress(self, rows_before: int, episode: int) -> float:
        plan = self._job.plan
        if plan.episodes is not None:
            return episode / max(1, plan.episodes - 1)
        assert plan.steps is not None
        return min(1.0, rows_before / plan.steps)

    def _buffer(self) -> EpisodeBuffer:
        return EpisodeBuffer(self._job.spec, self._job.record_infos, float64=self._job.float64)

    def _lane_envs(self, first: int, count: int) -> list[gymnasium.Env[Any, Any]]:
        while len(self._envs) < first + count:
            self._envs.append(make_env(self._job.environment, self._job.kwargs))
        return self._envs[first : first + count]

    def _tell(self, steps: int, episodes: int = 0) -> None:
        self._untold[0] += steps
        self._untold[1] += episodes
        now = time.monotonic()
        if self._report is not None and now - self._told_at > _REPORT_SECONDS:
            self._report(*self._untold)
            self._untold, self._told_at = [0, 0], now

    @cached_property
    def _policies(self) -> list[Policy]:
        job = self._job
        return [load_reference(one, job.spec, sample=job.noise.kind == "sample") for one in job.policies]

    @cached_property
    def _states(self) -> StateSampler:
        return StateSampler(
            self._lane_envs(0, 1)[0], self._job.spec, self._job.seed, float64=self._job.float64
        )


def _joined(episodes: list[Columns]) -> Columns:
    """Return the rows of episodes one after the other.

    Raises:
        UsageError: an info has another shape in one episode than in another.
    """
    columns = {}
    for path in episodes[0]:
        parts = [episode[path] for episode in episodes]
        try:
            columns[path] = np.concatenate(parts)
        except ValueError:  # only infos can differ: the buffers of all others have one shape
            one, other = sorted({part.shape[1:] for part in parts})[:2]
            raise UsageError(
                f"info {path.removeprefix(f'{layout.INFOS}/')!r} cannot be recorded: it has shape {one} in one "
                f"episode and {other} in another"
            ) from None
    return columns
