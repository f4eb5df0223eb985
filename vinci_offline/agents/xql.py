"""Extreme Q-learning."""

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


@register("xql")
@dataclass(frozen=True)
class XQL(InSampleAgent):
    """Extreme Q-learning (Garg et al., 2023, https://arxiv.org/abs/2301.02328).

    The state value is the soft maximum ``beta * log E[exp(Q / beta)]`` over recorded actions, by Gumbel regression,
    where ``iql`` takes an expectile. A small ``beta`` follows the best actions and can diverge; a large one evaluates
    the behaviour. Defaults are the authors' for MuJoCo (https://github.com/Div99/XQL): layer normalisation of the
    state value, a Huber loss of the critics beyond 20, clipped exponents. Observations are normalised here, and not
    there.
    """

    choose_when = "iql is too careful"

    value_layer_norm = True
    critic_huber_delta = 20.0

    beta: float = setting(
        2.0,
        "temperature of the value: 0.6 for antmaze, 5 for kitchen and adroit (the authors' code)",
        low=1e-6,
    )
    exponent_clip: float = setting(
        7.0, "greatest exponent (Q - V) / beta in the value's loss (5 for antmaze; the authors' code)", low=0
    )
    temperature: float = setting(
        3.0,
        "factor of the advantage in the actor's weights: 0 clones (10 for antmaze; the authors' code)",
        low=0,
    )

    def value_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the Gumbel regression ``exp(z) - z - 1`` with ``z = (Q'(s, a) - V(s)) / beta``."""
        from keras import ops

        advantage = self.advantage(nets, batch)
        loss = ops.mean(functional.gumbel_loss(advantage / self.beta, self.exponent_clip))
        return loss, {"advantage/mean": ops.mean(advantage)}

    def weight(self, advantage: Tensor) -> Tensor:
        """Return ``min(exp(temperature * A), clip)``, as in ``iql`` (the authors' code)."""
        return functional.advantage_weight(advantage, self.temperature, self.weight_clip)
