"""The unit of learning: one loss, the networks it trains, and the targets that follow them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.nets import Networks
    from vinci_offline.types import Metrics, Tensor

TARGET_PREFIX = "target_"

Loss: TypeAlias = (
    "Callable[[Networks, Batch, Tensor], tuple[Tensor, Metrics]]"
    " | Callable[[Networks, Batch, Tensor, Tensor], tuple[Tensor, Metrics]]"
)
"""``(nets, batch, key)``, or ``(nets, batch, key, step)``, to a scalar and metrics named ``group/name``."""

OptimizerMaker: TypeAlias = "Callable[[], keras.optimizers.Optimizer]"
"""Makes the optimizer of an update, once a run."""


@dataclass(frozen=True)
class Target:
    """A target network that follows a trained one by Polyak averaging.

    The learner makes it as a copy, named ``target_`` and the network's name. After the update it moves by
    ``target += tau * (online - target)`` (Lillicrap et al., 2016, https://arxiv.org/abs/1509.02971, algorithm 1).

    Attributes:
        network: the network that it follows.
        tau: Polyak rate; 1 is a hard copy.
        every: period in global steps; a multiple of the update's own.
    """

    network: str
    tau: float = 0.005
    every: int = 1

    @property
    def name(self) -> str:
        """The target network's name."""
        return TARGET_PREFIX + self.network

    @classmethod
    def by_rate(cls, network: str, target_update: float) -> Target:
        """Make a target from one number above zero, as keras-rl takes it.

        Args:
            network: the network that it follows.
            target_update: below 1 the rate of soft updates, from 1 on the number of steps between hard copies.
        """
        return (
            cls(network, target_update) if target_update < 1 else cls(network, 1.0, every=int(target_update))
        )


@dataclass(frozen=True)
class Update:
    """One loss, the networks that its optimizer moves, and the targets that follow.

    Attributes:
        loss: ``(nets, batch, key) -> (scalar, metrics)``, pure ``keras.ops``. ``key`` seeds
            `vinci_offline.functional.random`: it is equal for equal (seed, global step, update), however steps are
            grouped into calls. A loss with a fourth argument named ``step`` gets the global step, counted from one,
            as a float32 scalar: for annealing.
        trains: the network or networks whose trainable variables the optimizer moves. A network that is built on
            another one of the agent's (an encoder) does not own the other's variables: name both.
        optimizer: makes the optimizer, once a run; the run adds its own schedule, clipping and weight decay.
        role: which part of the agent this trains; phases select updates by role.
        target: the target or targets that follow after this update.
        every: period in global steps: the update runs at steps ``every, 2 * every, …``, counted from one.
        reset_below: where the gradient's global norm falls below this, the networks and their targets return to
            their initial weights and the optimizer to its initial state; None never resets.
    """

    loss: Loss
    trains: str | tuple[str, ...]
    optimizer: OptimizerMaker
    role: str = "critic"
    target: Target | tuple[Target, ...] = ()
    every: int = 1
    reset_below: float | None = None

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks that it trains."""
        return (self.trains,) if isinstance(self.trains, str) else self.trains

    @property
    def name(self) -> str:
        """The first network's name: it stands for the update in metrics, checkpoints and messages."""
        return self.networks[0]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The targets that follow after it."""
        return (self.target,) if isinstance(self.target, Target) else self.target

    @property
    def wants_step(self) -> bool:
        """Whether the loss takes the global step."""
        return "step" in inspect.signature(self.loss).parameters

    def call(self, nets: Networks, batch: Batch, key: Tensor, step: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss and its metrics.

        Args:
            nets: online and target networks.
            batch: the rows.
            key: seeds the loss's draws.
            step: scalar integer tensor, the global step.
        """
        loss: Callable[..., tuple[Tensor, Metrics]] = self.loss
        if not self.wants_step:
            return loss(nets, batch, key)
        from keras import ops

        return loss(nets, batch, key, step=ops.cast(step, "float32"))


def adam(learning_rate: float, cosine_steps: int | None = None) -> OptimizerMaker:
    """Return a maker of Adam optimizers for an `Update` (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980).

    Args:
        learning_rate: the step size.
        cosine_steps: updates over which it falls to zero (Loshchilov and Hutter, 2017,
            https://arxiv.org/abs/1608.03983, eq. 5); None keeps it.
    """

    def make() -> keras.optimizers.Optimizer:
        import keras

        if cosine_steps is None:
            return keras.optimizers.Adam(learning_rate)
        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, cosine_steps))

    return make
