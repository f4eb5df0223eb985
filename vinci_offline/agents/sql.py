"""Sparse and exponential Q-learning."""

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


@register("sql")
@dataclass(frozen=True)
class SQL(InSampleAgent):
    """Sparse Q-learning (Xu et al., 2023, https://arxiv.org/abs/2303.15810).

    The state value comes from a penalty on the distance to the behaviour, the chi-squared divergence. Actions with
    ``Q <= V - 2 alpha`` do not count at all, so bad data does less harm than in ``iql``. The actor's weights are those
    of the authors' code (https://github.com/ryanxhr/IVR), ``Q - V`` where positive, where the paper has
    ``1 + (Q - V) / (2 alpha)``; layer normalisation of the state value is theirs too. Observations are normalised here,
    and not there.
    """

    choose_when = "most of the data are bad"

    value_layer_norm = True

    alpha: float = setting(
        1.0, "weight of the penalty: 0.1 for antmaze, 0.5 for kitchen in the authors' code", low=1e-6
    )

    def value_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``1[t > 0] * t^2 + V(s) / alpha`` with ``t = 1 + (Q'(s, a) - V(s)) / (2 alpha)``."""
        from keras import ops

        advantage = self.advantage(nets, batch)
        kept = ops.maximum(1.0 + advantage / (2.0 * self.alpha), 0.0)
        loss = ops.mean(ops.square(kept) + nets.value(batch.observation) / self.alpha)
        return loss, {"advantage/mean": ops.mean(advantage)}

    def weight(self, advantage: Tensor) -> Tensor:
        """Return ``min(max(A, 0), clip)`` (the authors' code)."""
        from keras import ops

        return ops.stop_gradient(ops.clip(advantage, 0.0, self.weight_clip))


@register("eql")
@dataclass(frozen=True)
class EQL(InSampleAgent):
    """Exponential Q-learning (Xu et al., 2023, https://arxiv.org/abs/2303.15810).

    As ``sql``, with the reverse KL divergence as its penalty: the state value is a soft maximum over recorded
    actions, as in ``xql``. Defaults are those of the authors' code; observations are normalised here.
    """

    choose_when = "most of the data are bad"

    value_layer_norm = True

    alpha: float = setting(
        2.0, "weight of the penalty: 0.5 for antmaze, 2 for kitchen in the authors' code", low=1e-6
    )
    exponent_clip: float = setting(5.0, "greatest exponent (Q - V) / alpha (the authors' code)", low=0)
    temperature: float = setting(
        10.0, "factor of (Q - V) / alpha in the actor's weights (the authors' code; 1 in the paper)", low=0
    )

    def value_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``exp(z) + V(s) / alpha`` with ``z = (Q'(s, a) - V(s)) / alpha``."""
        from keras import ops

        advantage = self.advantage(nets, batch)
        exponent = ops.minimum(advantage / self.alpha, self.exponent_clip)
        shift = functional.exponent_shift(exponent)
        value = nets.value(batch.observation) / self.alpha
        loss = ops.mean(ops.exp(exponent - shift) + ops.exp(-shift) * value)
        return loss, {"advantage/mean": ops.mean(advantage)}

    def weight(self, advantage: Tensor) -> Tensor:
        """Return ``min(exp(temperature * A / alpha), clip)`` (the authors' code)."""
        return functional.advantage_weight(advantage, self.temperature / self.alpha, self.weight_clip)
