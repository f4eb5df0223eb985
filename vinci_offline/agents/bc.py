"""Behaviour cloning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("bc")
@dataclass(frozen=True)
class BC(Agent):
    """Behaviour cloning (Pomerleau, 1991, https://doi.org/10.1162/neco.1991.3.1.88).

    Supervised learning of the recorded actions: the baseline that every offline agent must beat, and an
    estimate of the behaviour policy.
    """

    action_kinds = ("continuous", "discrete")

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    gaussian: bool = setting(
        False, "continuous actions: fit a Gaussian by maximum likelihood, rather than the mean squared error"
    )
    state_dependent_std: bool = setting(
        False, "the Gaussian's deviation is a network, not a parameter vector"
    )
    learning_rate: float = setting(3e-4, "Adam's", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """An actor: a softmax over choices, a Gaussian, or a tanh actor."""
        if build.discrete:
            return {"actor": build.categorical_actor("actor", self.hidden)}
        if self.gaussian:
            return {"actor": build.gaussian_actor("actor", self.hidden, self.state_dependent_std)}
        return {"actor": build.deterministic_actor("actor", self.hidden)}

    def updates(self) -> tuple[Update, ...]:
        """The actor at every step."""
        return (Update(self.actor_loss, "actor", adam(self.learning_rate), role="actor"),)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """The negative log likelihood of the recorded actions, or their mean squared error."""
        from keras import ops

        policy = nets.actor(batch.observation)
        if not isinstance(policy, dict):
            return ops.mean(functional.imitation_loss(policy, batch.action)), {}
        if "logits" in policy:
            log_prob = functional.categorical_log_prob(policy["logits"], batch.action)
            entropy = functional.categorical_entropy(policy["logits"])
        else:
            log_prob = functional.gaussian_log_prob(batch.action, policy["mean"], policy["log_std"])
            entropy = functional.gaussian_entropy(policy["log_std"])
        return -ops.mean(log_prob), {"actor/entropy": ops.mean(entropy)}

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """The actor's action, mean or most likely choice."""
        return build.policy(nets.actor)

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """The actor's distribution, where it has one."""
        return build.stochastic_policy(nets.actor)
