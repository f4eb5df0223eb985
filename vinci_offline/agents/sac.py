"""Soft actor-critic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from vinci_offline import functional
from vinci_offline.agents.agent import ActionKind, Agent, Networks, Target, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import ACTION_MASK, MASKS, NEXT_ACTION_MASK, TRANSITION, ColumnWish
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("sac")
@dataclass(frozen=True)
class SAC(Agent):
    """Soft actor-critic (Haarnoja et al., 2018, https://arxiv.org/abs/1812.05905).

    A stochastic policy is trained on values that count its entropy, and the temperature of the entropy is learned.
    Choices are taken in expectation (Christodoulou, 2019, https://arxiv.org/abs/1910.07207). Nothing keeps the
    policy near the recorded actions: use it on data that cover the actions well, or give it ``critics=50`` (see
    ``sacn``). Defaults are the paper's (table 1).
    """

    choose_when = "the data cover the actions well"

    action_kinds: ClassVar[tuple[ActionKind, ...]] = ("continuous", "discrete")
    columns: ClassVar[tuple[ColumnWish, ...]] = (*TRANSITION, *MASKS)

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers (table 1)", low=1)
    critics: int = setting(2, "number of critics; their least value counts (section 5)", low=1)
    tau: float = setting(0.005, "Polyak rate of the target critics (table 1)", low=0, high=1)
    target_entropy: float | None = setting(
        None,
        "entropy to keep, in nats; none: less the number of dimensions (table 1), 0.98 log n for n choices (arXiv "
        "1910.07207, the code)",
    )
    initial_temperature: float = setting(1.0, "alpha at the start", low=1e-8)
    actor_learning_rate: float = setting(3e-4, "Adam's (table 1)", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's (table 1)", low=0)
    temperature_learning_rate: float = setting(3e-4, "Adam's (table 1)", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model | keras.Variable]:
        """Make critics, a policy (of choices, or a Gaussian inside the bounds), and the log temperature."""
        make_critics = build.discrete_critics if build.discrete else build.critics
        make_actor = build.categorical_actor if build.discrete else build.squashed_gaussian_actor
        return {
            "critic": make_critics("critic", self.hidden, count=self.critics),
            "actor": make_actor("actor", self.hidden),
            "log_temperature": build.scalar("log_temperature", math.log(self.initial_temperature)),
        }

    def updates(self) -> tuple[Update, ...]:
        """Train the critics, the temperature and the actor at every step."""
        critic, actor = adam(self.critic_learning_rate), adam(self.actor_learning_rate)
        temperature = adam(self.temperature_learning_rate)
        return (
            Update(self.critic_loss, "critic", critic, target=Target("critic", self.tau)),
            Update(self.temperature_loss, "log_temperature", temperature, role="actor"),
            Update(self.actor_loss, "actor", actor, role="actor"),
        )

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q(s, a) - (r + discount * V(s')))^2`` with the soft value ``E[min Q' - alpha log pi]`` (eq. 5)."""
        mask = batch.get(NEXT_ACTION_MASK)
        next_value = self.soft_value(nets, nets.target_critic, batch.next_observation, key, mask)
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        return functional.ensemble_loss(values, target), functional.value_metrics(values, target)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``E[alpha log pi(a | s) - min Q(s, a)]`` over the policy's actions (eq. 7)."""
        from keras import ops

        mask = batch.get(ACTION_MASK)
        return -ops.mean(self.soft_value(nets, nets.critic, batch.observation, key, mask)), {}

    def temperature_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``alpha * (entropy - target)``: alpha grows while the entropy is too small (eq. 18)."""
        from keras import ops

        mask = batch.get(ACTION_MASK)
        policy: Any = functional.masked(nets.actor(batch.observation), mask)
        entropy = ops.mean(functional.policy_entropy(policy, key, nets.bounds))
        temperature = ops.exp(nets.scalar("log_temperature"))
        loss = temperature * ops.stop_gradient(entropy - self._target_entropy(policy, mask))
        return loss, {"actor/entropy": entropy, "actor/temperature": temperature}

    def soft_value(
        self,
        nets: Networks,
        critic: keras.Model,
        observation: Tensor,
        key: Tensor,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return ``[B]``: the least value of the policy's action, less ``alpha log pi`` (eq. 3)."""
        from keras import ops

        temperature = ops.exp(nets.scalar("log_temperature"))
        policy = functional.masked(nets.actor(observation), mask)
        return functional.policy_value(critic, observation, policy, key, nets.bounds, temperature=temperature)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the policy's most likely choice, or its Gaussian's mean inside the bounds."""
        return build.policy(nets.actor)

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the distribution of choices; None for continuous actions, which have a sampler."""
        return build.stochastic_policy(nets.actor)

    def sampler(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the sampling policy of continuous actions; None for choices."""
        return None if build.discrete else build.sampler(nets.actor)

    def _target_entropy(self, policy: Any, mask: Tensor | None) -> Any:
        """Return the entropy to keep. With masks n is the number of choices that each allows."""
        from keras import ops

        if self.target_entropy is not None:
            return self.target_entropy
        if "logits" not in policy:
            return -float(policy["location"].shape[-1])
        if mask is not None:
            allowed = ops.sum(ops.cast(ops.greater(mask, 0), "float32"), axis=-1)
            return 0.98 * ops.mean(ops.log(allowed))
        return 0.98 * math.log(policy["logits"].shape[-1])
