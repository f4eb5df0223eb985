"""Goal exploration: policies that reach for outcomes instead of rewards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from vinci_offline.data import layout
from vinci_offline.errors import SpecError, UsageError
from vinci_offline.loading import describe, load_object, takes_two
from vinci_offline.policies.actions import to_actions
from vinci_offline.policies.policy import Decision, HistoryPolicy, Observations
from vinci_offline.spec import (
    BoxSpace,
    DictSpace,
    DiscreteSpace,
    EnvironmentSpec,
    Space,
    describe_space,
    is_countable,
)
from vinci_offline.types import Array, Columns, FloatArray

Descriptor: TypeAlias = Callable[..., Any]
"""``observations -> outcome`` or ``(observations, actions) -> outcome`` of one episode."""

_BOOTSTRAP = 10
"""Random policies before the first goal; the paper's code takes as many on MountainCarContinuous."""
_PERTURBATION = 0.2
"""Standard deviation of a parameter's perturbation: a tenth of the width of [-1, 1], as in that code."""
_BEYOND = 0.1
"""Distance of goals beyond the outcomes reached so far, in widths of their range."""
_MOST_INPUTS = 1024
_GOAL = "achieved_goal"


def load_descriptor(name: str) -> Descriptor | None:
    """Load the descriptor ``file.py:function`` or ``module:function``; None for an empty name, the default.

    Raises:
        UsageError: there is no such function.
    """
    if not name:
        return None
    found = load_object(name)
    if not callable(found):
        raise UsageError(f"gep descriptor {name}: it is a {type(found).__name__}, not a function")
    function: Descriptor = found
    return function


class GoalExploration(HistoryPolicy):
    """A goal exploration process over small policies.

    Colas, Sigaud and Oudeyer (2018), https://arxiv.org/abs/1802.05054, section 3.2: after some random policies,
    draw a goal uniformly in the space of outcomes, take the policy whose outcome came nearest (k = 1), perturb its
    parameters by Gaussian noise, run it for an episode, and keep parameters and outcome. Rewards play no part.

    Policies are linear in the observation, with a bias: ``tanh(W x + b)`` scaled to the bounds of a Box, the
    largest score for Discrete. Bounded dimensions of the observation are scaled to [-1, 1]; parameters stay in
    [-1, 1]. Unlike the paper's, the range of goals is not given: it is the range of the outcomes reached so far, a
    tenth wider on each side. Distances count in widths of that range.

    Knowledge grows between shards only. All episodes of a shard choose among the policies of earlier shards, so an
    episode depends on the seed and on those shards alone.

    Args:
        spec: the environment.
        descriptor: an episode's outcome from its ``[T + 1, D]`` observations (flattened, float64) and ``[T, ...]``
            actions. By default `default_outcome`, or the last achieved goal of Dict observations that have one.

    Raises:
        SpecError: observations are not vectors, or too large.
    """

    deterministic = False

    def __init__(self, spec: EnvironmentSpec, descriptor: Descriptor | None = None) -> None:
        self._spec, self._space = spec, spec.action_space
        self._parts = _parts(spec)
        self._inputs = sum(_size(part) for part in self._parts.values())
        if self._inputs > _MOST_INPUTS:
            raise SpecError(
                f"gep takes observations of at most {_MOST_INPUTS} numbers, not {self._inputs}: "
                "wrap the environment so that it gives a small vector"
            )
        self._outputs = self._space.n if isinstance(self._space, DiscreteSpace) else _box(self._space).dim
        self._descriptor = descriptor
        self._known_parameters: list[FloatArray] = []
        self._outcomes: list[FloatArray] = []
        self._parameters = np.zeros((0, self.size))
        self._starting: set[int] = set()

    @property
    def size(self) -> int:
        """The number of a policy's parameters."""
        return (self._inputs + 1) * self._outputs

    @property
    def outcomes(self) -> FloatArray:
        """``[N, d]`` outcomes of the known policies."""
        return np.array(self._outcomes)

    def learn(self, episodes: Iterable[tuple[np.random.Generator, Columns]]) -> None:
        """Add the policies of a shard's episodes.

        Call this for each shard in order, before any later shard: the policies are drawn again from what was known
        when the shard was recorded.

        Args:
            episodes: for each episode its generator as at its start, and its columns.
        """
        added = [(self.draw(rng), self._outcome(columns)) for rng, columns in episodes]
        for parameters, outcome in added:
            if self._outcomes and outcome.shape != self._outcomes[0].shape:
                raise UsageError(
                    f"the gep descriptor gave outcomes of {len(self._outcomes[0])} and of {len(outcome)} numbers: "
                    "give as many for every episode"
                )
            self._known_parameters.append(parameters)
            self._outcomes.append(outcome)

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Draw the ``[P]`` parameters of an episode from its generator and the known outcomes."""
        if len(self._outcomes) < _BOOTSTRAP:
            return rng.uniform(-1, 1, self.size)
        known = self.outcomes
        low, high = known.min(axis=0), known.max(axis=0)
        width = np.where(high > low, high - low, 1.0)
        goal = low + width * rng.uniform(-_BEYOND, 1 + _BEYOND, len(width))
        nearest = int(np.argmin((((known - goal) / width) ** 2).sum(axis=1)))
        moved = self._known_parameters[nearest] + rng.normal(0, _PERTURBATION, self.size)
        return np.clip(moved, -1, 1)

    def reset(self, lanes: Sequence[int]) -> None:
        """Give these lanes new parameters at their next action."""
        self._starting.update(int(lane) for lane in lanes)

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Choose actions for all lanes."""
        if len(self._parameters) != len(rngs):
            self._parameters = np.zeros((len(rngs), self.size))
        for lane in sorted(self._starting):
            self._parameters[lane] = self.draw(rngs[lane])
        self._starting.clear()
        inputs = self._scaled(observations, len(rngs))
        weights = self._parameters.reshape(len(rngs), self._inputs + 1, self._outputs)
        # Lane by lane: a batched product may round differently for another number of lanes.
        scores = np.stack([x @ w[:-1] + w[-1] for x, w in zip(inputs, weights, strict=True)])
        if isinstance(self._space, DiscreteSpace):
            return Decision(scores.argmax(axis=1) + self._space.start, None)
        space = _box(self._space)
        low, high = space.low.astype(np.float64).reshape(-1), space.high.astype(np.float64).reshape(-1)
        squashed = np.tanh(scores)
        bounded = space.bounded.reshape(-1)
        with np.errstate(invalid="ignore"):
            scaled = np.where(bounded, low + (squashed + 1) / 2 * (high - low), squashed)
        if is_countable(space):
            scaled = np.rint(scaled)
        return Decision(to_actions(scaled, space, len(rngs)), None)

    def _scaled(self, observations: Observations, lanes: int) -> FloatArray:
        columns = []
        for key, part in self._parts.items():
            values = observations[key] if isinstance(observations, dict) else observations
            if isinstance(part, DiscreteSpace):
                columns.append(np.eye(part.n)[np.asarray(values, np.int64) - part.start])
                continue
            box = _box(part)
            flat = np.asarray(values, np.float64).reshape(lanes, -1)
            low, high = box.low.astype(np.float64).reshape(-1), box.high.astype(np.float64).reshape(-1)
            bounded = box.bounded.reshape(-1) & (high > low)
            middle, half = np.where(bounded, (low + high) / 2, 0), np.where(bounded, (high - low) / 2, 1)
            columns.append((flat - middle) / half)
        return np.concatenate(columns, axis=1)

    def _outcome(self, columns: Columns) -> FloatArray:
        space = self._spec.observation_space
        if self._descriptor is None and isinstance(space, DictSpace) and _GOAL in space.spaces:
            reached = columns[f"{layout.NEXT_OBSERVATIONS}/{_GOAL}"][-1]
            return np.asarray(reached, np.float64).reshape(-1)
        observations = self._trajectory(columns)
        actions = columns[layout.ACTIONS]
        if self._descriptor is None:
            return default_outcome(observations, actions, self._space)
        try:
            both = takes_two(self._descriptor, "actions")
            given = self._descriptor(observations, actions) if both else self._descriptor(observations)
            found = np.asarray(given, np.float64).reshape(-1)
        except Exception as error:
            raise UsageError(f"the gep descriptor failed: {describe(error)}") from error
        if not found.size or not np.isfinite(found).all():
            raise UsageError("the gep descriptor must give finite numbers: it gave " + str(found)[:80])
        return found

    def _trajectory(self, columns: Columns) -> FloatArray:
        parts = []
        for key in self._parts:
            path = f"/{key}" if key else ""
            before, after = columns[layout.OBSERVATIONS + path], columns[layout.NEXT_OBSERVATIONS + path]
            joined = np.concatenate([before, after[-1:]]).astype(np.float64)
            parts.append(joined.reshape(len(joined), -1))
        return np.concatenate(parts, axis=1)


def default_outcome(observations: FloatArray, actions: Array, space: Space) -> FloatArray:
    """Return an episode's outcome by the default descriptor.

    It holds the largest value and the range of each dimension of the observation, and for a Box the sum over steps
    of the mean squared action in half ranges. The paper takes the same for the position of MountainCarContinuous.

    Args:
        observations: ``[T + 1, D]``.
        actions: ``[T, ...]``.
        space: the actions' space.

    Returns:
        ``[2 D + 1]``, or ``[2 D]`` for Discrete actions.
    """
    high, low = observations.max(axis=0), observations.min(axis=0)
    parts = [high, high - low]
    if isinstance(space, BoxSpace):
        bounded = space.bounded
        with np.errstate(invalid="ignore"):
            middle = np.where(bounded, (space.low + space.high) / 2.0, 0.0)
            half = np.where(bounded & (space.high > space.low), (space.high - space.low) / 2.0, 1.0)
        scaled = ((actions - middle) / half).reshape(len(actions), -1)
        parts.append(np.array([(scaled.astype(np.float64) ** 2).mean(axis=1).sum()]))
    return np.concatenate(parts)


def _parts(spec: EnvironmentSpec) -> dict[str, Space]:
    space = spec.observation_space
    parts: dict[str, Space] = dict(space.spaces) if isinstance(space, DictSpace) else {"": space}
    for part in (*parts.values(), spec.action_space):
        if not isinstance(part, BoxSpace | DiscreteSpace):
            raise SpecError(
                f"gep takes Box and Discrete spaces, not {describe_space(part)}: wrap the environment"
            )
    return parts


def _size(space: Space) -> int:
    assert isinstance(space, BoxSpace | DiscreteSpace)
    return space.dim


def _box(space: Space) -> BoxSpace:
    assert isinstance(space, BoxSpace)
    return space
