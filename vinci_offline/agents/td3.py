"""TD3."""

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


@register("td3")
@dataclass(frozen=True)
class TD3(Agent):
    """Twin delayed deep deterministic policy gradient (Fujimoto et al., 2018, https://arxiv.org/abs/1802.09477).

    Nothing keeps its actor near the recorded actions: use it on data that cover the actions well, and ``td3bc`` or
    ``rebrac`` elsewhere. Defaults are those of the authors' later code (https://github.com/sfujim/TD3), which TD3+BC
    keeps; the paper has layers of 400 and 300, a learning rate of 1e-3 and batches of 100.
    """

    choose_when = "the data cover the actions well"

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (TD3+BC, table 3)", low=1)
    policy_noise: float = setting(
        0.2, "deviation of the noise on target actions (TD3, arXiv 1802.09477, eq. 14)", low=0
    )
    noise_clip: float = setting(0.5, "limit of that noise (TD3, eq. 14)", low=0)
    policy_delay: int = setting(
        2, "critic updates for each update of the actor and the targets (TD3, section 5.2)", low=1
    )
    tau: float = setting(0.005, "Polyak rate of the targets (TD3, table 3)", low=0, high=1)
    actor_learning_rate: float = setting(3e-4, "Adam's (TD3+BC, table 3)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (TD3+BC, table 3)", low=0)

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
        """Return the loss of clipped double Q-learning with target policy smoothing (algorithm 1)."""
        next_value = functional.clipped_double_q(
            nets.target_critic([batch.next_observation, self.next_action(nets, batch, key)])
        )
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = nets.critic([batch.observation, batch.action])
        return functional.ensemble_loss(values, target), functional.value_metrics(values, target)

    def next_action(self, nets: Networks, batch: Batch, key: Tensor) -> Tensor:
        """Return ``[B, A]``: the target actor's next actions with clipped noise (eq. 14)."""
        action = nets.target_actor(batch.next_observation)
        return functional.target_policy_smoothing(
            action, key, self.policy_noise, self.noise_clip, nets.bounds
        )

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-Q_1(s, pi(s))`` (algorithm 1)."""
        from keras import ops

        value = nets.member("critic", 0)([batch.observation, nets.actor(batch.observation)])
        return -ops.mean(value), {}

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the actor's action."""
        return build.policy(nets.actor)
