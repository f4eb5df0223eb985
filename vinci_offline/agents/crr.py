"""Critic-regularised regression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vinci_offline.agents.agent import Networks, Target, Update, setting
from vinci_offline.agents.awac import AWAC
from vinci_offline.agents.registry import register
from vinci_offline.types import Tensor

if TYPE_CHECKING:
    import keras


@register("crr")
@dataclass(frozen=True)
class CRR(AWAC):
    """Critic-regularised regression (Wang et al., 2020, https://arxiv.org/abs/2006.15134).

    The policy imitates recorded actions whose value is above the policy's own: with the weight ``exp(A / beta)``, or
    with 1 where ``A > 0`` (``binary``). Losses are those of ``awac``; a target policy, a smaller clip and the mean over
    several actions are its own. The paper has recurrent networks, one distributional critic, and acts by drawing again
    according to the values; here networks and the acting policy are those of ``awac``.
    """

    choose_when = "the data mix good and bad actions"

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (d3rlpy's)", low=1)
    temperature: float = setting(1.0, "beta of the exponential weight (the paper's)", low=1e-6)
    weight_clip: float = setting(20.0, "greatest weight of an action (the paper's)", low=0)
    samples: int = setting(4, "actions that estimate the policy's value (the paper's)", low=1)
    target_update: float = setting(
        100.0,
        "below 1: Polyak rate of the targets; from 1 on: steps between hard copies (the paper's)",
        low=1e-8,
    )
    binary: bool = setting(
        False, "weight 1 where the advantage is positive and 0 elsewhere, instead of exp(A / beta)"
    )

    def updates(self) -> tuple[Update, ...]:
        """Train the critics, then the actor, at every step; both have targets."""
        critic, actor = super().updates()
        return critic, replace(actor, target=Target.by_rate("actor", self.target_update))

    def evaluated(self, nets: Networks) -> keras.Model:
        """Return the policy that the critics evaluate: the target policy."""
        return nets.target_actor

    def weight(self, advantage: Tensor) -> Tensor:
        """Return ``min(exp(A / beta), clip)``, or 1 where ``A > 0``."""
        from keras import ops

        return ops.cast(advantage > 0, "float32") if self.binary else super().weight(advantage)
