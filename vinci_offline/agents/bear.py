"""BEAR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, Update, adam, setting
from vinci_offline.agents.latent_behaviour import LATENT_CLIP, LatentBehaviourAgent
from vinci_offline.agents.registry import register
from vinci_offline.types import Metrics, Tensor

if TYPE_CHECKING:
    import keras

    from vinci_offline.batches.batch import Batch
    from vinci_offline.networks.builder import NetworkBuilder

LOG_WEIGHT_RANGE = (-5.0, 10.0)
"""Bounds of the penalty's log weight, from the authors' code."""


@register("bear")
@dataclass(frozen=True)
class BEAR(LatentBehaviourAgent):
    """Bootstrapping error accumulation reduction (Kumar et al., 2019, https://arxiv.org/abs/1906.00949).

    The policy maximises its value while the maximum mean discrepancy of its actions to those of a learned behaviour
    stays below a threshold: it keeps to the support of the data, not to its density. The weight of that constraint is
    learned. At first the policy only fits the constraint. Defaults are the authors' code's.
    """

    choose_when = "the data have rare good actions"

    behaviour_learning_rate: float = setting(3e-4, "Adam's, of encoder and decoder", low=0)
    hidden: tuple[int, ...] = setting((256, 256), "widths of the hidden layers", low=1)
    threshold: float = setting(0.05, "epsilon, the discrepancy that is allowed", low=0)
    gaussian_kernel: bool = setting(
        False, "gaussian kernel of the discrepancy, as for halfcheetah, instead of a laplacian one"
    )
    kernel_width: float = setting(20.0, "width of the kernel", low=1e-6)
    discrepancy_samples: int = setting(4, "actions of each side in the discrepancy", low=1)
    samples: int = setting(10, "actions in the critics' target", low=1)
    acting_samples: int = setting(100, "actions of the acting policy", low=1)
    warm_up: int = setting(40_000, "steps in which the policy only fits the constraint", low=0)
    actor_learning_rate: float = setting(1e-4, "Adam's", low=0)
    critic_learning_rate: float = setting(3e-4, "Adam's", low=0)
    weight_learning_rate: float = setting(1e-3, "Adam's, of the constraint's weight", low=0)

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model | keras.Variable]:
        """Make encoder and decoder, twin critics, a Gaussian policy inside the bounds, and the log weight."""
        return {
            **self.behaviour_networks(build),
            "critic": build.critics("critic", self.hidden, count=2),
            "actor": build.squashed_gaussian_actor("actor", self.hidden),
            "log_weight": build.scalar("log_weight", 0.0),
        }

    def updates(self) -> tuple[Update, ...]:
        """Train encoder and decoder, the critics, the policy and the weight, at every step."""
        weight = adam(self.weight_learning_rate)
        return (*super().updates(), Update(self.weight_loss, "log_weight", weight, role="actor"))

    def critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss to ``r + discount * max_i (lambda min Q' + (1 - lambda) max Q')`` of the policy's draws."""
        from keras import ops

        state = batch.next_observation
        drawn = functional.sampled_values(
            nets.target_critic, state, nets.target_actor(state), key, nets.bounds, samples=self.samples
        )
        return self.mixed_critic_loss(nets, batch, ops.max(self.mixed(drawn.values), axis=-1))

    def actor_loss(
        self, nets: Networks, batch: Batch, key: Tensor, step: Tensor | None = None
    ) -> tuple[Tensor, Metrics]:
        """Return ``weight * (discrepancy - threshold) - min Q(s, a)``; without the value during the warm-up.

        Without a ``step`` the warm-up is over.
        """
        from keras import ops

        first, second = functional.random.fold(key, 0), functional.random.fold(key, 1)
        discrepancy = self.discrepancy(nets, batch, first)
        drawn = functional.sampled_values(
            nets.critic,
            batch.observation,
            nets.actor(batch.observation),
            second,
            nets.bounds,
            samples=self.discrepancy_samples,
        )
        value = ops.mean(ops.min(drawn.values, axis=0))
        counts = 1.0 if step is None else ops.cast(step > self.warm_up, "float32")
        constraint = self.weight(nets) * (ops.mean(discrepancy) - self.threshold)
        return constraint - counts * value, {"actor/discrepancy": ops.mean(discrepancy)}

    def weight_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the loss of the weight: it grows while the discrepancy is above the threshold."""
        from keras import ops

        excess = ops.mean(self.discrepancy(nets, batch, key)) - self.threshold
        loss = functional.multiplier_loss(nets.scalar("log_weight"), excess, *LOG_WEIGHT_RANGE)
        return loss, {"actor/constraint_weight": self.weight(nets)}

    @staticmethod
    def weight(nets: Networks) -> Tensor:
        """Return the weight of the constraint."""
        from keras import ops

        return ops.exp(ops.clip(nets.scalar("log_weight"), *LOG_WEIGHT_RANGE))

    def discrepancy(self, nets: Networks, batch: Batch, key: Tensor) -> Tensor:
        """Return ``[B]``: the discrepancy of the policy's actions to decoded ones, before they are squashed."""
        from keras import ops

        count, (rows, dim) = self.discrepancy_samples, batch.action.shape
        policy = functional.repeat_rows(nets.actor(batch.observation), count)
        noise = functional.random.normal(functional.random.fold(key, 0), (rows * count, dim))
        ours = policy["location"] + ops.exp(policy["log_std"]) * noise
        latent = functional.random.normal(functional.random.fold(key, 1), (rows * count, 2 * dim))
        state = functional.repeat_rows(batch.observation, count)
        theirs = ops.stop_gradient(nets.decoder([state, ops.clip(latent, -LATENT_CLIP, LATENT_CLIP)]))
        shape = (rows, count, dim)
        return functional.maximum_mean_discrepancy(
            ops.reshape(ours, shape),
            ops.reshape(theirs, shape),
            self.kernel_width,
            gaussian=self.gaussian_kernel,
        )

    def policy(self, nets: Networks, build: NetworkBuilder) -> keras.Model:
        """Return the drawn action of the greatest value, by the same draws for every observation."""
        return self._best(nets, build, sampling=False)

    def sampler(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the same with new draws."""
        return self._best(nets, build, sampling=True)

    def _best(self, nets: Networks, build: NetworkBuilder, *, sampling: bool) -> keras.Model:
        from keras import ops

        def draw(observation: Tensor, noise: Tensor) -> Tensor:
            policy = nets.actor(observation)
            return functional.squash(policy["location"] + ops.exp(policy["log_std"]) * noise, nets.bounds)

        width, samples = build.action_dim, self.acting_samples
        return build.best_of(draw, nets.critic, width, samples, sampling=sampling)
