"""Base of the agents that model the recorded actions by a variational autoencoder: BCQ, BEAR and PLAS."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.batches.names import ACTION, OBSERVATION
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder

LATENT_CLIP = 0.5
"""Greatest standard normal draw that is decoded to an action like the recorded ones, from the authors' code of BCQ."""


@dataclass(frozen=True)
class LatentBehaviourAgent(Agent):
    """Agent with a decoder from an observation and a latent to an action like the recorded ones.

    The role ``behaviour`` trains encoder and decoder alone: ``--only behaviour``.
    """

    roles = ("behaviour", "critic", "actor")
    needs: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "critic": ("behaviour",),
        "actor": ("behaviour", "critic"),
    }

    latent_hidden: tuple[int, ...] = setting(
        (750, 750), "widths of the hidden layers of encoder and decoder (the authors' code)", low=1
    )
    divergence_weight: float = setting(
        0.5, "weight of the latent's divergence to the standard normal (the authors' code)", low=0
    )
    mixture: float = setting(
        0.75, "lambda: weight of the least critic against the greatest in values (the papers)", low=0, high=1
    )
    tau: float = setting(0.005, "Polyak rate of the targets (the papers)", low=0, high=1)
    behaviour_learning_rate: float = setting(1e-3, "Adam's, of encoder and decoder", low=0)
    actor_learning_rate: float = setting(1e-3, "Adam's (the authors' code)", low=0)
    critic_learning_rate: float = setting(1e-3, "Adam's (the authors' code)", low=0)

    def behaviour_networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make an encoder and a decoder with a latent of twice the action's dimensions."""
        width = 2 * build.action_dim
        return {
            "encoder": build.vector("encoder", self.latent_hidden, 2 * width, on=(OBSERVATION, ACTION)),
            "decoder": build.noisy_actor("decoder", self.latent_hidden, width, squash=False),
        }

    def updates(self) -> tuple[Update, ...]:
        """Train encoder and decoder, the critics, and the actor, at every step."""
        behaviour = adam(self.behaviour_learning_rate)
        critic, actor = adam(self.critic_learning_rate), adam(self.actor_learning_rate)
        return (
            Update(self.behaviour_loss, ("decoder", "encoder"), behaviour, role="behaviour"),
            Update(self.critic_loss, "critic", critic, target=Target("critic", self.tau)),
            Update(self.actor_loss, "actor", actor, role="actor", target=Target("actor", self.tau)),
        )

    @abstractmethod
    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of the critics."""

    @abstractmethod
    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of the actor."""

    def behaviour_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the squared error of decoded actions and the weighted divergence of the latent."""
        from keras import ops

        mean, log_std = functional.latent_distribution(nets.encoder([batch.observation, batch.action]))
        latent = mean + ops.exp(log_std) * functional.random.normal(key, tuple(mean.shape))
        decoded = functional.squash(nets.decoder([batch.observation, latent]), nets.bounds)
        error = ops.mean(functional.imitation_loss(decoded, batch.action))
        divergence = ops.mean(functional.latent_divergence(mean, log_std))
        metrics = {"behaviour/error": error, "behaviour/divergence": divergence}
        return error + self.divergence_weight * divergence, metrics

    def mixed(self, values: Tensor) -> Tensor:
        """Return ``lambda * min Q + (1 - lambda) * max Q`` of an ensemble ``[E, ...]``."""
        from keras import ops

        return self.mixture * ops.min(values, axis=0) + (1.0 - self.mixture) * ops.max(values, axis=0)

    def mixed_critic_loss(self, nets: Networks, batch: Batch, next_value: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q(s, a) - (r + discount * V(s')))^2``."""
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = nets.critic([batch.observation, batch.action])
        return functional.ensemble_loss(values, target), functional.value_metrics(values, target)
