"""The random policy: uniform where the action space has bounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vinci_offline.errors import SpecError
from vinci_offline.policies.policy import Decision, Observations, Policy
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec, describe_space
from vinci_offline.types import Array, FloatArray


class RandomPolicy(Policy):
    """A policy that draws uniformly from bounded dimensions and from choices.

    A dimension with one bound is exponential from that bound; a dimension without bounds is standard normal.
    `gymnasium.spaces.Box.sample` does the same.

    Attributes:
        log_prob: the log density, or log mass, of the bounded part of any action.
    """

    deterministic = False

    def __init__(self, spec: EnvironmentSpec) -> None:
        self._space = space = spec.action_space
        if isinstance(space, DiscreteSpace):
            self.log_prob = -float(np.log(space.n))
        if isinstance(space, BoxSpace):
            self._dtype = np.dtype(space.dtype)
            integers = self._dtype.kind != "f"
            self._low = space.low.astype(np.float64)
            self._width = space.high.astype(np.float64) - self._low + integers
            self._bounded = space.bounded
            self._all_bounded = bool(self._bounded.all())
            if integers and not self._all_bounded:
                raise SpecError(
                    f"random actions need bounds where they are integers: {describe_space(space)}"
                )
            # A dimension with equal bounds has one value: probability 1.
            widths = self._width[self._bounded]
            self.log_prob = -float(np.log(widths[widths > 0]).sum())

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Draw one action a lane."""
        blocks = [self.block(rng, 1) for rng in rngs]
        actions = np.concatenate([block.actions for block in blocks])
        return Decision(
            actions, np.concatenate([block.log_probs for block in blocks if block.log_probs is not None])
        )

    def log_probs_of(self, observations: Observations, actions: Array) -> FloatArray | None:
        """Return the log density of given actions; None if a dimension has no bounds.

        An action on a bound has none: where another policy's actions are clipped to it, they have a mass there.
        """
        space, result = self._space, np.full(len(actions), self.log_prob)
        if isinstance(space, BoxSpace):
            if not self._all_bounded:
                return None
            if self._dtype.kind == "f":
                wide = self._width > 0
                on_bound = ((actions <= space.low) | (actions >= space.high)) & wide
                result[on_bound.reshape(len(actions), -1).any(axis=1)] = -np.inf
        return result

    def block(self, rng: np.random.Generator, count: int) -> Decision:
        """Draw ``count`` actions at once for one lane. Random actions need no observations."""
        space = self._space
        if not isinstance(space, BoxSpace):
            assert isinstance(space, DiscreteSpace)
            choices = rng.integers(space.n, size=count) + space.start
            return Decision(choices, np.full(count, self.log_prob))
        draws = rng.random((count, *space.shape)) * np.where(self._bounded, self._width, 0) + np.where(
            self._bounded, self._low, 0
        )
        log_probs = np.full(count, self.log_prob)
        if not self._all_bounded:
            log_probs += self._draw_unbounded(space, rng, draws)
        if self._dtype.kind != "f":
            draws = np.floor(draws)
        # Rounding to float32 may pass a bound.
        return Decision(np.clip(draws.astype(self._dtype), space.low, space.high), log_probs)

    @staticmethod
    def _draw_unbounded(space: BoxSpace, rng: np.random.Generator, draws: Array) -> FloatArray:
        below, above = space.has_low, space.has_high
        free, from_low, from_high = ~below & ~above, below & ~above, ~below & above
        count = len(draws)
        normal = rng.standard_normal((count, int(free.sum())))
        up = rng.standard_exponential((count, int(from_low.sum())))
        down = rng.standard_exponential((count, int(from_high.sum())))
        draws[:, free], draws[:, from_low], draws[:, from_high] = (
            normal,
            space.low[from_low] + up,
            space.high[from_high] - down,
        )
        result: FloatArray = (
            -0.5 * (normal**2 + np.log(2 * np.pi)).sum(axis=1) - up.sum(axis=1) - down.sum(axis=1)
        )
        return result
