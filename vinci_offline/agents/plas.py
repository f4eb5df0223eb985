"""Policy in the latent action space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, setting
from vinci_offline.agents.latent_behaviour import LatentBehaviourAgent
from vinci_offline.agents.registry import register
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("plas")
@dataclass(frozen=True)
class PLAS(LatentBehaviourAgent):
    """Policy in the latent action space (Zhou, Bajracharya and Held, 2020, https://arxiv.org/abs/2011.07213).

    The actor chooses a latent, and a decoder that has learned the recorded actions turns it into an action: what the
    policy does stays near the data without a penalty. The authors train the decoder for 500,000 steps first
    (``--only behaviour``), then critics and actor with it held fixed; defaults are theirs. The optional perturbation
    of their decoded actions is not offered.
    """

    choose_when = "no action outside the data may ever be taken"

    latent_hidden: tuple[int, ...] = setting(
        (750, 750), "widths of the hidden layers of encoder and decoder (128, 128 on replay data)", low=1
    )
    mixture: float = setting(1.0, "lambda: weight of the least critic against the greatest", low=0, high=1)
    behaviour_learning_rate: float = setting(1e-4, "Adam's, of encoder and decoder", low=0)
    hidden: tuple[int, ...] = setting((400, 300), "widths of the hidden layers", low=1)
    latent_limit: float = setting(2.0, "greatest latent that the actor chooses", low=0)
    actor_learning_rate: float = setting(1e-4, "Adam's", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make encoder and decoder, twin critics, and the actor of latents."""
        return {
            **self.behaviour_networks(build),
            "critic": build.critics("critic", self.hidden, count=2),
            "actor": build.vector("actor", self.hidden, 2 * build.action_dim),
        }

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss to ``r + discount * (lambda min Q' + (1 - lambda) max Q')`` at the target actor's action."""
        state = batch.next_observation
        action = self.action(nets, nets.target_actor, state)
        return self.mixed_critic_loss(nets, batch, self.mixed(nets.target_critic([state, action])))

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-Q_1(s, decode(s, pi(s)))``."""
        from keras import ops

        action = self.action(nets, nets.actor, batch.observation)
        return -ops.mean(nets.member("critic", 0)([batch.observation, action])), {}

    def action(self, nets: Networks, actor: keras.Model, observation: Tensor) -> Tensor:
        """Return ``[B, A]``: the decoded action of the actor's latent."""
        from keras import ops

        latent = self.latent_limit * ops.tanh(actor(observation))
        return functional.squash(nets.decoder([observation, latent]), nets.bounds)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the decoded action of the actor's latent."""
        return build.policy_of(lambda observation: self.action(nets, nets.actor, observation))
