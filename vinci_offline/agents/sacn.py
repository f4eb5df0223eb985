"""SAC-N."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vinci_offline.agents.agent import ActionKind, Update, setting
from vinci_offline.agents.registry import register
from vinci_offline.agents.sac import SAC

if TYPE_CHECKING:
    import keras

    from vinci_offline.networks.builder import NetworkBuilder

LOG_STD_RANGE = (-5.0, 2.0)
"""Bounds of the policy's log deviation, from the authors' code."""


@register("sacn")
@dataclass(frozen=True)
class SACN(SAC):
    """Soft actor-critic with many critics (An et al., 2021, https://arxiv.org/abs/2110.01548).

    The least value of N critics is the lower, the less they agree, and they agree least on actions that were not
    recorded: nothing else holds the policy near the data. It learns slowly (3,000,000 steps in the paper) and needs
    more critics on narrow data. Losses are those of ``sac``; defaults are the authors'
    (https://github.com/snu-mllab/EDAC). They start biases at 0.1 and the last layers close to zero, which is not done
    here.
    """

    choose_when = "the data are broad, and time is cheap"

    action_kinds: ClassVar[tuple[ActionKind, ...]] = ("continuous",)

    hidden: tuple[int, ...] = setting(
        (256, 256, 256), "widths of the hidden layers (the authors' code)", low=1
    )
    critics: int = setting(
        20,
        "number of critics: 10 for halfcheetah, 20 for walker2d, 200 to 500 for hopper in the paper",
        low=2,
    )

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model | keras.Variable]:
        """Make critics, a Gaussian policy inside the bounds, and the log temperature."""
        actor = build.squashed_gaussian_actor("actor", self.hidden, LOG_STD_RANGE)
        return {**super().networks(build), "actor": actor}

    def updates(self) -> tuple[Update, ...]:
        """Train the temperature, the actor and the critics, in the order of the authors' code."""
        critic, temperature, actor = super().updates()
        return temperature, actor, critic
