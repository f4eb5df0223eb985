"""Implicit Q-learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, setting
from vinci_offline.agents.in_sample import InSampleAgent
from vinci_offline.agents.registry import register
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    from vinci_offline.batches.batch import Batch


@register("iql")
@dataclass(frozen=True)
class IQL(InSampleAgent):
    """Implicit Q-learning (Kostrikov, Nair and Levine, 2022, https://arxiv.org/abs/2110.06169).

    The critics are evaluated at recorded actions only. An expectile of their values replaces the maximum, and
    the policy is learned by advantage-weighted regression. Three things are not the paper's: observations are
    normalised, the actor's learning rate is constant, and rewards are taken as they are, where the paper divides them
    by the range of the returns and multiplies by 1000 (locomotion: ``--reward normalize``) or subtracts 1 (antmaze:
    ``--reward shift:-1``). The presets have them as in the paper.
    """

    choose_when = "the data are narrow, or you want a stochastic policy"

    normalize_observations: bool = setting(
        True,
        "normalise observations by the dataset's mean and deviation, (x - mean) / (std + 1e-3); the paper does not",
    )
    expectile: float = setting(
        0.7,
        "tau of eq. 5: 0.5 evaluates the behaviour policy, near 1 its best actions (0.9 for antmaze in the paper)",
        low=0,
        high=1,
    )
    temperature: float = setting(
        3.0,
        "beta of eq. 7: 0 clones, a larger one follows the advantage (10 for antmaze, 0.5 for kitchen and adroit in "
        "the paper)",
        low=0,
    )

    def value_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the expectile loss of the advantage ``Q'(s, a) - V(s)`` (eq. 5)."""
        from keras import ops

        advantage = self.advantage(nets, batch)
        loss = ops.mean(functional.expectile_loss(advantage, self.expectile))
        return loss, {"advantage/mean": ops.mean(advantage)}

    def weight(self, advantage: Tensor) -> Tensor:
        """Return ``min(exp(beta * A), clip)`` (eq. 7)."""
        return functional.advantage_weight(advantage, self.temperature, self.weight_clip)
