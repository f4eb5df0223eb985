"""EDAC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, setting
from vinci_offline.agents.registry import register
from vinci_offline.agents.sacn import SACN
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    from vinci_offline.batches.batch import Batch


@register("edac")
@dataclass(frozen=True)
class EDAC(SACN):
    """Ensemble-diversified actor-critic (An et al., 2021, https://arxiv.org/abs/2110.01548).

    ``sacn`` with a penalty on critics whose slopes point the same way: ten critics then disagree as much about an
    action without data as hundreds do. Strong on mixed data for locomotion, and slow: 3,000,000 steps in the paper.
    """

    choose_when = "the data are broad, and time is cheap"

    critics: int = setting(
        10, "number of critics: 10 for halfcheetah and walker2d, 50 for hopper in the paper", low=2
    )
    diversity: float = setting(
        1.0,
        "eta, the weight of the slopes' likeness: 0 is sacn; 1 for locomotion, 5 for expert data",
        low=0,
    )

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of ``sac`` and ``eta`` times the mean likeness of two critics' slopes."""
        from keras import ops

        loss, metrics = super().critic_loss(nets, batch, key)
        slopes = nets.action_slopes("critic", batch.observation, batch.action)
        likeness = ops.mean(functional.pairwise_likeness(slopes))
        return loss + self.diversity * likeness, {**metrics, "critic/likeness": likeness}
