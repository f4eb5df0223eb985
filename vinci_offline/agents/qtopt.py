"""QT-Opt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vinci_offline import functional
from vinci_offline.agents.agent import Agent, Networks, Target, Update, adam, setting
from vinci_offline.agents.registry import register
from vinci_offline.errors import UsageError
from vinci_offline.types import ActionBounds, Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder


@register("qtopt")
@dataclass(frozen=True)
class QTOpt(Agent):
    """QT-Opt, Q-learning without an actor (Kalashnikov et al., 2018, https://arxiv.org/abs/1806.10293).

    The cross-entropy method looks for the best continuous action, in the target and in the policy. The exported policy
    takes the same draws for every observation. Nothing keeps the actions near the recorded ones: use it on data that
    cover the actions well. The paper's second value is that of the same network some steps earlier; here it is a second
    critic's, as in TD3. The widths, rates and squared error are those of ``td3``.
    """

    choose_when = "the data cover the actions well, and values have several maxima"

    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    iterations: int = setting(2, "rounds of the cross-entropy method (the paper)", low=1)
    samples: int = setting(64, "actions of each round (the paper)", low=1)
    elites: int = setting(6, "best actions that the next round is fitted to (the paper)", low=1)
    tau: float = setting(0.005, "Polyak rate of the target critics", low=0, high=1)
    learning_rate: float = setting(3e-4, "Adam's", low=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.elites > self.samples:
            raise UsageError(
                f"agent {self.name!r}: elites={self.elites} of samples={self.samples}: take fewer elites"
            )

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make twin critics."""
        return {"critic": build.critics("critic", self.hidden, count=2)}

    def updates(self) -> tuple[Update, ...]:
        """Train the critics at every step."""
        target = Target("critic", self.tau)
        return (Update(self.critic_loss, "critic", adam(self.learning_rate), target=target),)

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``(Q(s, a) - (r + discount * min Q'(s', argmax Q'_1(s', .))))^2``."""
        rows, dim = batch.action.shape
        noise = functional.random.normal(key, (rows, self.iterations, self.samples, dim))
        action = self.best_action(nets.target_critic, batch.next_observation, noise, nets.bounds)
        next_value = functional.clipped_double_q(nets.target_critic([batch.next_observation, action]))
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = nets.critic([batch.observation, batch.action])
        return functional.ensemble_loss(values, target), functional.value_metrics(values, target)

    def best_action(
        self, critic: keras.Model, observation: Any, noise: Tensor, bounds: ActionBounds | None
    ) -> Tensor:
        """Return ``[B, A]``: the action that the first critic values most, of those that are looked at."""

        def value(state: Any, action: Tensor) -> Tensor:
            first: Tensor = critic([state, action])[0]
            return first

        return functional.cross_entropy_method(value, observation, noise, self.elites, bounds)

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the best action of the cross-entropy method, by the same draws for every observation."""
        from keras import ops

        shape = (self.iterations, self.samples, build.action_dim)

        def act(observation: Any, noise: Tensor) -> Tensor:
            return self.best_action(nets.critic, observation, ops.reshape(noise, (-1, *shape)), nets.bounds)

        return build.policy_of_draws(act, shape[0] * shape[1] * shape[2])
