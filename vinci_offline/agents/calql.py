"""Calibrated conservative Q-learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vinci_offline.agents.agent import ActionKind, setting
from vinci_offline.agents.cql import CQL
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import TRANSITION, ReturnToGo
from vinci_offline.types import Tensor

if TYPE_CHECKING:
    from vinci_offline.batches.batch import Batch


@register("calql")
@dataclass(frozen=True)
class CalQL(CQL):
    """Calibrated Q-learning (Nakamoto et al., 2023, https://arxiv.org/abs/2303.05479).

    ``cql`` whose penalty lowers the values of the policy's actions only as far as the return that was recorded from
    the same state. The values keep the scale of returns, so that learning can go on online. Defaults are CORL's for
    antmaze, its task; there rewards are ``10 r - 5``. The return of an episode that was cut is its last reward for ever
    after, as in the authors' code for sparse rewards.
    """

    choose_when = "learning will go on online"

    action_kinds: ClassVar[tuple[ActionKind, ...]] = ("continuous",)
    columns = (*TRANSITION, ReturnToGo(unfinished="extend"))

    hidden: tuple[int, ...] = setting(
        (256, 256, 256, 256), "widths of the hidden layers (the paper's critics)", low=1
    )
    conservatism: float = setting(5.0, "alpha, the weight of the penalty (CORL)", low=0)
    lagrange_threshold: float | None = setting(
        0.8, "learn the weight so that the penalty keeps this size (CORL); none: a fixed weight", low=0
    )
    max_target: bool = setting(
        True, "take the greatest of `samples` next actions in the critics' target (CORL)"
    )
    actor_learning_rate: float = setting(1e-4, "Adam's (CORL)", low=0)
    temperature_learning_rate: float = setting(1e-4, "Adam's (CORL)", low=0)

    def policy_values(self, values: Tensor, batch: Batch) -> Tensor:
        """Return the values of the policy's actions, raised to the recorded return where they are below it."""
        from keras import ops

        return ops.maximum(values, batch.return_to_go[None, :, None])
