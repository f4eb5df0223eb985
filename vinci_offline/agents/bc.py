"""Behaviour cloning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import ACTION_MASK, TRANSITION, IfRecorded
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("bc")
@dataclass(frozen=True)
class BC(Agent):
    """Behaviour cloning (Pomerleau, 1991, https://doi.org/10.1162/neco.1991.3.1.88).

    Supervised learning of the recorded actions. It is the baseline that every offline agent must beat, and
    it estimates the behaviour policy. No paper sets its defaults: they are those of CORL's implementation
    (https://github.com/tinkoff-ai/CORL).
    """

    choose_when = "the data are good, or you need a baseline"
    action_kinds = ("continuous", "discrete")
    columns = (*TRANSITION, IfRecorded(ACTION_MASK))

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    gaussian: bool = setting(
        False,
        "continuous actions: fit a Gaussian by maximum likelihood, instead of minimising the squared error",
    )
    state_dependent_std: bool = setting(
        False, "a network gives the Gaussian's deviation, not a parameter vector"
    )
    learning_rate: float = setting(3e-4, "Adam's", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make an actor: categorical, Gaussian, or deterministic with tanh."""
        if build.discrete:
            return {"actor": build.categorical_actor("actor", self.hidden)}
        if self.gaussian:
            return {"actor": build.gaussian_actor("actor", self.hidden, self.state_dependent_std)}
        return {"actor": build.deterministic_actor("actor", self.hidden)}

    def updates(self) -> tuple[Update, ...]:
        """Train the actor at every step."""
        return (Update(self.actor_loss, "actor", adam(self.learning_rate), role="actor"),)

    def actor_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the negative log likelihood of the recorded actions, or their mean squared error."""
        from keras import ops

        policy = functional.masked(
            nets.actor(batch.observation), batch.get(ACTION_MASK), recorded=batch.action
        )
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
        """Return the actor's action, mean or most likely choice."""
        return build.policy(nets.actor)

    def stochastic_policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the actor's distribution; None if it has none."""
        return build.stochastic_policy(nets.actor)
