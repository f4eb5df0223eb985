"""TD3+BC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, setting
from vinci_offline.agents.registry import register
from vinci_offline.agents.td3 import TD3
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    from vinci_offline.batches.batch import Batch


@register("td3bc")
@dataclass(frozen=True)
class TD3BC(TD3):
    """TD3 with behaviour cloning in the actor's loss (Fujimoto and Gu, 2021, https://arxiv.org/abs/2106.06860).

    A good first choice for continuous actions. The cloning term keeps the actor near recorded actions, where the
    critics have learned values. Every default is the paper's; its actions are scaled to [-1, 1], as those of its
    benchmarks are. Networks, updates and the critics' loss are those of ``td3``.
    """

    choose_when = "you have no reason for another"

    alpha: float = setting(2.5, "weight of the values against imitation; 0 imitates only (eq. 5)", low=0)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-lambda * Q(s, pi(s)) + (pi(s) - a)^2`` with ``lambda = alpha / mean |Q|`` (eq. 5)."""
        from keras import ops

        action = nets.actor(batch.observation)
        value = nets.member("critic", 0)([batch.observation, action])
        # If all rewards are zero, all values can be zero: the weight must stay finite.
        weight = self.alpha / ops.stop_gradient(ops.maximum(ops.mean(ops.abs(value)), 1e-6))
        imitation = ops.mean(functional.imitation_loss(action, batch.action))
        return imitation - weight * ops.mean(value), {"actor/imitation": imitation}
