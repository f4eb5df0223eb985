"""DDPG, with Vinci's options for learning from stored data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("ddpg")
@dataclass(frozen=True)
class DDPG(Agent):
    """Deep deterministic policy gradient (Lillicrap et al., 2016, https://arxiv.org/abs/1509.02971).

    On stored data nothing keeps its actor near what was recorded: it suits data that cover the actions well,
    such as random states. With ``bootstrap_actor`` the critic evaluates a given policy, not the learning one,
    and cannot run away.
    """

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    target_update: float = setting(
        0.005,
        "below 1 the Polyak rate of the targets, from 1 on the steps between hard copies (keras-rl)",
        low=1e-8,
    )
    critic_huber_delta: float | None = setting(
        None,
        "Huber loss of the critic, linear beyond this error (Mnih et al., 2015); none is squared",
        low=1e-8,
    )
    critic_l2: float = setting(
        0.0, "weight of the critic's squared kernels (the paper has 0.01, section 7)", low=0
    )
    invert_gradients: bool = setting(
        False,
        "a linear actor whose gradients shrink at the bounds, in place of tanh (arXiv 1511.04143, eq. 11)",
    )
    actor_reset_below: float | None = setting(
        None,
        "start the actor anew where its gradient's norm falls below this: a flat actor stays flat (Vinci)",
        low=0,
    )
    bootstrap_actor: str | None = setting(
        None,
        "path of a .keras policy whose actions the critic evaluates, in place of the target actor's (Vinci)",
    )
    actor_learning_rate: float = setting(3e-4, "Adam's (the paper has 1e-4, section 7)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (the paper has 1e-3, section 7)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """An actor, a critic, and the bootstrap actor where there is one."""
        nets = {
            "actor": build.deterministic_actor("actor", self.hidden, squash=not self.invert_gradients),
            "critic": build.critics("critic", self.hidden, count=1),
        }
        if self.bootstrap_actor is not None:
            nets["bootstrap_actor"] = build.stored_actor("bootstrap_actor", self.bootstrap_actor)
        return nets

    def updates(self) -> tuple[Update, ...]:
        """The critic, then the actor, at every step."""
        critic = Target.by_rate("critic", self.target_update)
        # With a bootstrap actor nothing asks for the actor's target.
        actor = Target.by_rate("actor", self.target_update) if self.bootstrap_actor is None else ()
        return (
            Update(self.critic_loss, "critic", adam(self.critic_learning_rate), target=critic),
            Update(
                self.actor_loss,
                "actor",
                adam(self.actor_learning_rate),
                role="actor",
                target=actor,
                reset_below=self.actor_reset_below,
            ),
        )

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """``(Q(s, a) - y)^2`` with ``y = r + discount * Q'(s', mu'(s'))`` (algorithm 1), and the options."""
        actor = nets.target_actor if self.bootstrap_actor is None else nets.bootstrap_actor
        next_action = functional.clip_action(actor(batch.next_observation), nets.bounded)
        next_value = nets.target_critic([batch.next_observation, next_action])[0]
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = nets.critic([batch.observation, batch.action])
        loss = functional.ensemble_loss(values, target, self.critic_huber_delta)
        if self.critic_l2:
            loss = loss + self.critic_l2 * functional.l2_penalty(nets.critic)
        return loss, functional.value_metrics(values, target)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """``-Q(s, mu(s))``: its gradient is the deterministic policy gradient (eq. 6)."""
        from keras import ops

        action = nets.actor(batch.observation)
        if self.invert_gradients:
            action = functional.invert_gradients(action, nets.bounded)
        value = ops.mean(nets.critic([batch.observation, action]))
        return -value, {"actor/saturation": ops.mean(ops.cast(ops.abs(action) > 0.99, "float32"))}

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """The actor, clipped to the bounds."""
        return build.policy(nets.actor)
