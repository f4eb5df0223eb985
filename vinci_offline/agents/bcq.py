"""Batch-constrained Q-learning, continuous actions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, setting
from vinci_offline.agents.latent_behaviour import LATENT_CLIP, LatentBehaviourAgent
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import ACTION, OBSERVATION
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("bcq")
@dataclass(frozen=True)
class BCQ(LatentBehaviourAgent):
    """Batch-constrained deep Q-learning (Fujimoto, Meger and Precup, 2019, https://arxiv.org/abs/1812.02900).

    A variational autoencoder draws actions like the recorded ones, the actor changes them a little, and the policy
    takes the one of the greatest value. The exported policy takes the same 100 draws for every observation; its
    sampler takes new ones. Defaults are the authors' code's (https://github.com/sfujim/BCQ); it takes batches of 100.
    """

    hidden: tuple[int, ...] = setting((400, 300), "widths of the hidden layers (the authors' code)", low=1)
    latent_clip: float = setting(LATENT_CLIP, "greatest latent that is decoded (the authors' code)", low=0)
    perturbation: float = setting(
        0.05, "Phi, the greatest change of a drawn action (the authors' code)", low=0
    )
    samples: int = setting(10, "n, the draws in the critics' target (the authors' code)", low=1)
    acting_samples: int = setting(100, "draws of the acting policy (the authors' code)", low=1)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make encoder and decoder, twin critics, and the actor that changes drawn actions."""
        on = (OBSERVATION, ACTION)
        return {
            **self.behaviour_networks(build),
            "critic": build.critics("critic", self.hidden, count=2),
            "actor": build.vector("actor", self.hidden, build.action_dim, on=on),
        }

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss to ``r + discount * max_i (lambda min Q' + (1 - lambda) max Q')`` of n draws."""
        from keras import ops

        state = functional.repeat_rows(batch.next_observation, self.samples)
        action = self.drawn(nets, nets.target_actor, state, self.noise(nets, batch, key, self.samples))
        values = ops.reshape(self.mixed(nets.target_critic([state, action])), (-1, self.samples))
        return self.mixed_critic_loss(nets, batch, ops.max(values, axis=-1))

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-Q_1(s, a + xi(s, a))`` of one drawn action (algorithm 1)."""
        from keras import ops

        action = self.drawn(nets, nets.actor, batch.observation, self.noise(nets, batch, key, 1))
        return -ops.mean(nets.member("critic", 0)([batch.observation, action])), {}

    def drawn(self, nets: Networks, actor: keras.Model, observation: Tensor, noise: Tensor) -> Tensor:
        """Return ``[B, A]``: the actions that are decoded from clipped noise, changed by an actor."""
        from keras import ops

        latent = ops.clip(noise, -self.latent_clip, self.latent_clip)
        action = functional.squash(nets.decoder([observation, latent]), nets.bounds)
        change = self.perturbation * ops.tanh(actor([observation, action]))
        return functional.clip_action(action + change, nets.bounds)

    @staticmethod
    def noise(nets: Networks, batch: Batch, key: Tensor, samples: int) -> Tensor:
        """Return standard normal noise for ``samples`` draws of each row."""
        rows, dim = batch.action.shape
        return functional.random.normal(key, (rows * samples, 2 * dim))

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the drawn action of the greatest value."""
        return self._best(nets, build, sampling=False)

    def sampler(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the same with new draws."""
        return self._best(nets, build, sampling=True)

    def _best(self, nets: Networks, build: NetworkBuilder, *, sampling: bool) -> keras.Model:
        return build.best_of(
            lambda observation, noise: self.drawn(nets, nets.actor, observation, noise),
            nets.critic,
            2 * build.action_dim,
            self.acting_samples,
            sampling=sampling,
        )
