"""Updates: a loss, the networks that it trains, and their target networks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.nets import Networks
    from vinci_offline.types import Metrics, Tensor

TARGET_PREFIX = "target_"

ActionKind: TypeAlias = Literal["continuous", "discrete"]

Loss: TypeAlias = (
    "Callable[[Networks, Batch, Tensor], tuple[Tensor, Metrics]]"
    " | Callable[[Networks, Batch, Tensor, Tensor], tuple[Tensor, Metrics]]"
)
"""Function of ``(nets, batch, key)`` or ``(nets, batch, key, step)``. It returns a scalar and metrics."""

OptimizerMaker: TypeAlias = "Callable[[], keras.optimizers.Optimizer]"
"""Function that makes the optimizer of an update, once for each run."""


@dataclass(frozen=True)
class Target:
    """Target network that follows a trained network by Polyak averaging.

    It starts as a copy of the network, with ``target_`` before the name. After the update it moves by
    ``target += tau * (online - target)`` (Lillicrap et al., 2016, https://arxiv.org/abs/1509.02971, algorithm 1).

    Attributes:
        network: name of the network to follow.
        tau: Polyak rate; 1 is a hard copy.
        every: period in global steps, a multiple of the update's period.
    """

    network: str
    tau: float = 0.005
    every: int = 1

    @property
    def name(self) -> str:
        """Name of the target network."""
        return TARGET_PREFIX + self.network

    @classmethod
    def by_rate(cls, network: str, target_update: float) -> Target:
        """Make a target from one positive number, as keras-rl does.

        Args:
            network: name of the network to follow.
            target_update: below 1 the Polyak rate; from 1 on the number of steps between hard copies.
        """
        return (
            cls(network, target_update) if target_update < 1 else cls(network, 1.0, every=int(target_update))
        )


@dataclass(frozen=True)
class Update:
    """A loss, the networks that its optimizer trains, and their targets.

    Attributes:
        loss: ``(nets, batch, key) -> (scalar, metrics)`` in ``keras.ops``; metrics are named ``group/name``. ``key`` is
            for draws by `vinci_offline.functional.random`; the seed, the global step and the update determine it. A
            loss with a fourth argument ``step`` gets the global step as a float32 scalar, counted from one.
        trains: name or names of the networks to train. A network on an encoder does not own the encoder's variables:
            name both to train both.
        optimizer: makes the optimizer, once for each run. The run's options add schedule, clipping and weight decay.
        role: part of the agent that this trains. Phases select updates by role.
        target: target or targets that move after this update.
        every: period in global steps. The update runs at steps ``every, 2 * every, …``, counted from one.
        reset_below: when the global norm of the gradient falls below this, networks, targets and optimizer return to
            their initial state; None never resets.
        validation_loss: loss of held-out rows, with the arguments of ``loss``; None takes ``loss`` itself. It decides
            patience and the best state, so its scale must not move while the run goes on. A weighted regression gives
            its likelihood or error without the weights, which follow the advantages.
        action_kinds: kinds of action spaces for which the update exists, of an agent whose idea needs other networks
            for each.
    """

    loss: Loss
    trains: str | tuple[str, ...]
    optimizer: OptimizerMaker
    role: str = "critic"
    target: Target | tuple[Target, ...] = ()
    every: int = 1
    reset_below: float | None = None
    validation_loss: Loss | None = None
    action_kinds: tuple[ActionKind, ...] = ("continuous", "discrete")

    @property
    def networks(self) -> tuple[str, ...]:
        """Names of the networks to train."""
        return (self.trains,) if isinstance(self.trains, str) else self.trains

    @property
    def name(self) -> str:
        """Name of the first network; it names the update in metrics, checkpoints and messages."""
        return self.networks[0]

    @property
    def targets(self) -> tuple[Target, ...]:
        """Targets that move after the update."""
        return (self.target,) if isinstance(self.target, Target) else self.target

    def call(self, nets: Networks, batch: Batch, key: Tensor, step: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss and its metrics.

        Args:
            nets: online and target networks.
            batch: transitions.
            key: key of the loss's draws.
            step: scalar integer tensor, the global step.
        """
        return _call(self.loss, nets, batch, key, step)

    def validate(self, nets: Networks, batch: Batch, key: Tensor, step: Tensor) -> tuple[Tensor, Metrics]:
        """Return the validation loss and its metrics; the arguments are those of `call`."""
        return _call(self.validation_loss or self.loss, nets, batch, key, step)


def updates_of_kind(updates: tuple[Update, ...], *, discrete: bool) -> tuple[Update, ...]:
    """Return the updates that exist for a kind of action space."""
    kind: ActionKind = "discrete" if discrete else "continuous"
    return tuple(update for update in updates if kind in update.action_kinds)


def _call(loss: Loss, nets: Networks, batch: Batch, key: Tensor, step: Tensor) -> tuple[Tensor, Metrics]:
    """Call a loss, with the step if it has an argument ``step``."""
    options = {}
    if "step" in inspect.signature(loss).parameters:
        from keras import ops

        options["step"] = ops.cast(step, "float32")
    function: Callable[..., Any] = loss
    found = function(nets, batch, key, **options)
    if not (isinstance(found, tuple) and len(found) == 2):  # of a user's own agent
        raise TypeError(
            f"it returned a {type(found).__name__}: return (loss, metrics), a scalar and a dictionary"
        )
    loss_value, metrics = found
    return loss_value, metrics


def adam(learning_rate: float, cosine_steps: int | None = None) -> OptimizerMaker:
    """Return a maker of Adam optimizers for an `Update` (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980).

    Args:
        learning_rate: step size.
        cosine_steps: number of updates of a cosine decay to zero (Loshchilov and Hutter, 2017,
            https://arxiv.org/abs/1608.03983, eq. 5); None keeps the rate.
    """

    def make() -> keras.optimizers.Optimizer:
        import keras

        if cosine_steps is None:
            return keras.optimizers.Adam(learning_rate)
        return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, cosine_steps))

    return make
