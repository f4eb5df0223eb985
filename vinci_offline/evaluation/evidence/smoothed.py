"""A deterministic policy of continuous actions, smoothed by a kernel, so that logged actions near its own count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np

from vinci_offline.data import layout
from vinci_offline.data.dataset import Dataset
from vinci_offline.errors import SpecError
from vinci_offline.policies.densities import clipped_gaussian_log_prob
from vinci_offline.policies.policy import Decision, Observations, Policy
from vinci_offline.spec import BoxSpace
from vinci_offline.types import Array, FloatArray

_MOST = 3
"""Action dimensions at most. The variance grows as the bandwidth to the power of minus the dimensions."""


class Smoothed(Policy):
    """A policy plus Gaussian noise, whose density over the behaviour's gives the weights of rows.

    ``K((a - pi(s)) / h) / (h^d b(a | s))`` is the weight of Kallus and Zhou (2018, https://arxiv.org/abs/1802.06037).
    It is the ratio of this policy, so the estimates are of this policy's value. It differs from that of the policy
    itself by an amount that grows with the square of h.

    The density is that of the noise within the bounds. Where the behaviour clipped actions to the bounds, so that some
    lie on them, the noise is clipped too.

    Args:
        policy: the deterministic policy.
        space: the actions.
        bandwidth: h, of one action's shape.
        clipped: clip noisy actions to the bounds, in place of drawing within them.
    """

    def __init__(self, policy: Policy, space: BoxSpace, bandwidth: FloatArray, *, clipped: bool) -> None:
        self._policy, self._space, self._clipped = policy, space, clipped
        self.bandwidth = bandwidth
        self.takes_masks = policy.takes_masks

    @classmethod
    def of(cls, policy: Policy, dataset: Dataset, rows: Array, scale: float | None = None) -> Self:
        """Choose the bandwidth for some rows of a dataset.

        Args:
            policy: the deterministic policy.
            dataset: the data.
            rows: ``[N]``.
            scale: the bandwidth in standard deviations of the logged actions. None takes the normal reference rule,
                ``(4 / ((d + 2) N))^(1 / (d + 4))`` of a deviation (Silverman, 1986).

        Raises:
            SpecError: actions have more than 3 dimensions.
        """
        space = dataset.spec.action_space
        assert isinstance(space, BoxSpace)
        if space.dim > _MOST:
            raise SpecError(
                f"no density: the policy is deterministic, and a kernel over {space.dim} action dimensions needs too "
                f"many rows (at most {_MOST}): judge a stochastic policy (--stochastic), or take the method fqe"
            )
        actions = dataset.columns.gather(layout.ACTIONS, rows).astype(np.float64)
        if scale is None:
            scale = (4 / ((space.dim + 2) * len(rows))) ** (1 / (space.dim + 4))
        bandwidth: FloatArray = scale * actions.std(axis=0)
        if not (bandwidth > 0).all():
            raise SpecError(
                "a kernel needs a bandwidth above 0, and logged actions that differ from each other"
            )
        on_bound = bool(((actions <= space.low) | (actions >= space.high)).any())
        return cls(policy, space, bandwidth, clipped=on_bound)

    @property
    def note(self) -> str:
        """What it means for the estimates."""
        shown = ", ".join(f"{each:.3g}" for each in self.bandwidth.reshape(-1))
        return (
            "the policy is deterministic, so logged actions near its own count, by a Gaussian kernel of bandwidth "
            f"{shown}: a bias that grows with its square, and that no interval tells"
        )

    def act(self, observations: Observations, rngs: Sequence[np.random.Generator]) -> Decision:
        """Return the policy's own actions, without noise."""
        return self._policy.act(observations, rngs)

    def log_probs_of(self, observations: Observations, actions: Array) -> FloatArray:
        """Return the log density of given actions under the policy with noise."""
        space, count = self._space, len(actions)
        mean = np.asarray(
            self._policy.act(observations, [np.random.default_rng(0)] * count).actions, np.float64
        )
        std = self.bandwidth[None]
        if self._clipped:
            return clipped_gaussian_log_prob(actions, mean, std, space.low, space.high)
        from scipy.stats import norm

        inside = norm.cdf((space.high - mean) / std) - norm.cdf((space.low - mean) / std)
        logs = norm.logpdf(actions, mean, std) - np.log(inside)
        total: FloatArray = logs.reshape(count, -1).sum(axis=1)
        return total
