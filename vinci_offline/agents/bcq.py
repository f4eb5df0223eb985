"""Batch-constrained Q-learning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vinci_offline import functional
from vinci_offline.agents.agent import Networks, Target, Update, adam, setting
from vinci_offline.agents.latent_behaviour import LATENT_CLIP, LatentBehaviourAgent
from vinci_offline.agents.registry import register
from vinci_offline.batches.names import (
    ACTION,
    ACTION_MASK,
    MASKS,
    NEXT_ACTION_MASK,
    OBSERVATION,
    TRANSITION,
)
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

    Choices: double Q-learning over the choices that the behaviour takes often enough, by a cloned policy (Fujimoto et
    al., 2019, https://arxiv.org/abs/1910.01708). The settings ``hidden`` and ``learning_rate`` are then those with
    ``choice_``, and the authors' code takes batches of 64.
    """

    choose_when = "the data are narrow, from few policies"
    action_kinds = ("continuous", "discrete")
    columns = (*TRANSITION, *MASKS)

    hidden: tuple[int, ...] = setting((400, 300), "widths of the hidden layers (the authors' code)", low=1)
    latent_clip: float = setting(LATENT_CLIP, "greatest latent that is decoded (the authors' code)", low=0)
    perturbation: float = setting(
        0.05, "Phi, the greatest change of a drawn action (the authors' code)", low=0
    )
    samples: int = setting(10, "n, the draws in the critics' target (the authors' code)", low=1)
    acting_samples: int = setting(100, "draws of the acting policy (the authors' code)", low=1)
    threshold: float = setting(
        0.3,
        "choices: least probability of a choice over that of the likeliest (the authors' code)",
        low=0,
        high=1,
    )
    logit_penalty: float = setting(
        0.01, "choices: weight of the squared logits in the behaviour's loss (the authors' code)", low=0
    )
    choice_hidden: tuple[int, ...] = setting(
        (256, 256), "choices: widths of the hidden layers (the authors' code)", low=1
    )
    choice_learning_rate: float = setting(
        3e-4, "choices: Adam's, of critic and behaviour (the authors' code)", low=0
    )

    def networks(self, build: NetworkBuilder) -> dict[str, keras.Model]:
        """Make encoder, decoder, twin critics and the actor that changes drawn actions; or critic and behaviour."""
        if build.discrete:
            return {
                "critic": build.discrete_critics("critic", self.choice_hidden, count=1),
                "behaviour": build.categorical_actor("behaviour", self.choice_hidden),
            }
        on = (OBSERVATION, ACTION)
        return {
            **self.behaviour_networks(build),
            "critic": build.critics("critic", self.hidden, count=2),
            "actor": build.vector("actor", self.hidden, build.action_dim, on=on),
        }

    def updates(self) -> tuple[Update, ...]:
        """Train encoder, decoder, critics and actor; for choices the critic and the behaviour."""
        rate = adam(self.choice_learning_rate)
        choices = (
            Update(self.choice_critic_loss, "critic", rate, target=Target("critic", self.tau)),
            Update(self.choice_behaviour_loss, "behaviour", rate, role="behaviour"),
        )
        return (
            *(replace(update, action_kinds=("continuous",)) for update in super().updates()),
            *(replace(update, action_kinds=("discrete",)) for update in choices),
        )

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

    def choice_critic_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return the Huber loss to ``r + discount * Q'(s', argmax Q(s', .))`` over the likely choices."""
        state = batch.next_observation
        likely = self.likely_values(nets, state, batch.get(NEXT_ACTION_MASK))
        next_value = functional.double_q_learning(likely, nets.target_critic(state)[0])
        target = functional.td_target(batch.reward, batch.discount, next_value)
        values = functional.action_values(nets.critic, batch.observation, batch.action)
        return functional.ensemble_loss(values, target, 1.0), functional.value_metrics(values, target)

    def choice_behaviour_loss(self, nets: Networks, batch: Batch, key: Tensor) -> tuple[Tensor, Metrics]:
        """Return ``-log pi(a | s)`` and the penalty of the logits."""
        from keras import ops

        policy = nets.behaviour(batch.observation)
        error = ops.mean(functional.negative_log_likelihood(policy, batch.action, batch.get(ACTION_MASK)))
        return error + self.logit_penalty * ops.mean(ops.square(policy["logits"])), {"behaviour/error": error}

    def likely_values(self, nets: Networks, observation: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return ``[B, n]``: the values of choices; those below the threshold or outside a mask are excluded."""
        from keras import ops

        likelihood = ops.softmax(functional.masked(nets.behaviour(observation)["logits"], mask), axis=-1)
        likely = likelihood >= self.threshold * ops.max(likelihood, axis=-1, keepdims=True)
        values: Tensor = functional.masked(functional.masked(nets.critic(observation)[0], likely), mask)
        return values

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
        """Return the drawn action, or the likely choice, of the greatest value."""
        if build.discrete:
            return build.policy_of(lambda observation: self.likely_values(nets, observation))
        return self._best(nets, build, sampling=False)

    def sampler(self, nets: Networks, build: NetworkBuilder) -> keras.Model | None:
        """Return the same with new draws; None for choices."""
        return None if build.discrete else self._best(nets, build, sampling=True)

    def _best(self, nets: Networks, build: NetworkBuilder, *, sampling: bool) -> keras.Model:
        return build.best_of(
            lambda observation, noise: self.drawn(nets, nets.actor, observation, noise),
            nets.critic,
            2 * build.action_dim,
            self.acting_samples,
            sampling=sampling,
        )
