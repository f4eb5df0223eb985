"""TD3+BC."""

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


@register("td3bc")
@dataclass(frozen=True)
class TD3BC(Agent):
    """TD3 with behaviour cloning in the actor's loss (Fujimoto and Gu, 2021, https://arxiv.org/abs/2106.06860).

    A good first choice for continuous actions. The cloning term keeps the actor near recorded actions, where the
    critics have learned values. Every default is the paper's; its actions are scaled to [-1, 1], as those of its
    benchmarks are.
    """

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (table 3 of the paper)", low=1)
    alpha: float = setting(2.5, "weight of the values against imitation; 0 imitates only (eq. 5)", low=0)
    policy_noise: float = setting(
        0.2, "deviation of the noise on target actions (TD3, arXiv 1802.09477, eq. 14)", low=0
    )
    noise_clip: float = setting(0.5, "limit of that noise (TD3, eq. 14)", low=0)
    policy_delay: int = setting(
        2, "critic updates for each update of the actor and the targets (TD3, section 5.2)", low=1
    )
    tau: float = setting(0.005, "Polyak rate of the targets (TD3, table 3)", low=0, high=1)
    actor_learning_rate: float = setting(3e-4, "Adam's (table 3)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (table 3)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make a tanh actor and twin critics."""
        return {
            "actor": build.deterministic_actor("actor", self.hidden),
            "critic": build.critics("critic", self.hidden, count=2),
        }

    def updates(self) -> tuple[Update, ...]:
        """Train the critics at every step, and the actor and both targets every ``policy_delay`` steps."""
        critic, actor = adam(self.critic_learning_rate), adam(self.actor_learning_rate)
        delay = self.policy_delay
        return (
            Update(self.critic_loss, "critic", critic, target=Target("critic", self.tau, every=delay)),
            Update(
                self.actor_loss,
                "actor",
                actor,
                role="actor",
                target=Target("actor", self.tau, every=delay),
                every=delay,
            ),
        )

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of clipped double Q-learning with target policy smoothing (TD3, algorithm 1)."""
        next_action = functional.target_policy_smoothing(
            nets.target_actor(batch.next_observation), key, self.policy_noise, self.noise_clip, nets.bounds
        )
        next_value = functional.clipped_double_q(nets.target_critic([batch.next_observation, next_action]))
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = nets.critic([batch.observation, batch.action])
        return functional.ensemble_loss(values, target), functional.value_metrics(values, target)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-lambda * Q(s, pi(s)) + (pi(s) - a)^2`` with ``lambda = alpha / mean |Q|`` (eq. 5)."""
        from keras import ops

        action = nets.actor(batch.observation)
        value = nets.member("critic", 0)([batch.observation, action])
        # If all rewards are zero, all values can be zero: the weight must stay finite.
        weight = self.alpha / ops.stop_gradient(ops.maximum(ops.mean(ops.abs(value)), 1e-6))
        imitation = ops.mean(functional.imitation_loss(action, batch.action))
        return imitation - weight * ops.mean(value), {"actor/imitation": imitation}

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the actor's action."""
        return build.policy(nets.actor)
