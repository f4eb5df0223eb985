"""Minimal agents, one for each capability of the contract: tiny networks and the shortest loss that needs it."""

from __future__ import annotations

from dataclasses import dataclass

import keras
from keras import ops

from vinci_offline import Agent, Update, functional
from vinci_offline.agents.agent import Target, adam
from vinci_offline.batches.names import TRANSITION, ReturnToGo

HIDDEN = (8,)


def squared(left, right):
    return ops.mean(ops.square(left - right))


def imitation_error(action, batch):
    return ops.mean(ops.sum(functional.imitation_loss(action, batch.action), axis=-1))


@dataclass(frozen=True)
class Cloning(Agent):
    """Actor that clones; the agents below add to it."""

    name = "cloning"

    def networks(self, build):
        return {"actor": build.deterministic_actor("actor", HIDDEN)}

    def updates(self):
        return (Update(self.actor_loss, "actor", adam(1e-2), role="actor"),)

    def actor_loss(self, nets, batch, key):
        return imitation_error(nets.actor(batch.observation), batch), {}

    def policy(self, nets, build):
        return build.policy(nets.actor)


@dataclass(frozen=True)
class Sarsa(Cloning):
    """Critic of the recorded actions, with the next action, the return to go and a cost from the infos."""

    name = "sarsa"
    columns = (*TRANSITION, "next_action", ReturnToGo(unfinished="sum"), "infos/cost")

    def networks(self, build):
        return {**super().networks(build), "critic": build.critics("critic", HIDDEN, 1)}

    def updates(self):
        critic = Update(self.critic_loss, "critic", adam(1e-2), target=Target("critic"))
        return (critic, *super().updates())

    def critic_loss(self, nets, batch, key):
        following = nets.target_critic([batch.next_observation, batch.next_action])[0]
        target = ops.stop_gradient(batch.reward - batch.cost + batch.discount * following)
        q = nets.critic([batch.observation, batch.action])[0]
        error = ops.square(q - target) * batch.has_next_action
        return ops.mean(error), {"return/mean": ops.mean(batch.return_to_go)}


@dataclass(frozen=True)
class WindowCloning(Cloning):
    """Actor that clones whole windows, weighted by their mask."""

    name = "window-cloning"
    trajectories = True

    def batch(self, rows, key):
        return rows.window(4)

    def actor_loss(self, nets, batch, key):
        flat = ops.reshape(batch.observation, (-1, batch.observation.shape[-1]))
        action = ops.reshape(nets.actor(flat), batch.action.shape)
        error = ops.sum(ops.square(action - batch.action), axis=-1)
        total = ops.sum(batch.valid)
        return ops.sum(error * batch.valid) / total, {"window/valid": total}


@dataclass(frozen=True)
class GoalReaching(Cloning):
    """Critic of observation, goal and action; goals are later observations of the run."""

    name = "goal-reaching"
    trajectories = True

    def networks(self, build):
        on = ("observation", "goal", "action")
        return {**super().networks(build), "critic": build.critics("critic", HIDDEN, 2, on=on)}

    def updates(self):
        return (Update(self.critic_loss, "critic", adam(1e-2)), *super().updates())

    def batch(self, rows, key):
        index = rows.future(key, 0.5)
        return rows.at(rows.index).replace(goal=rows.at(index).observation, here=rows.index, there=index)

    def critic_loss(self, nets, batch, key):
        q = nets.critic([batch.observation, batch.goal, batch.action])
        ahead = ops.cast(batch.there - batch.here, "float32")
        return squared(q, ahead[None]), {"goal/distance": ops.mean(ahead)}


@dataclass(frozen=True)
class SharedEncoder(Cloning):
    """Actor and critic on one encoder, which only the critic's loss moves."""

    name = "shared-encoder"
    target_every: int = 1

    def networks(self, build):
        encoder = build.encoder("encoder", HIDDEN)
        return {
            "encoder": encoder,
            "critic": build.critics("critic", HIDDEN, 2, encoder=encoder),
            "actor": build.deterministic_actor("actor", HIDDEN, encoder=encoder),
        }

    def updates(self):
        targets = (Target("critic", 0.5, self.target_every), Target("encoder", 1.0))
        critic = Update(self.critic_loss, ("encoder", "critic"), adam(1e-2), target=targets)
        return (critic, *super().updates())

    def critic_loss(self, nets, batch, key):
        following = nets.target_critic([batch.next_observation, nets.actor(batch.next_observation)])
        target = ops.stop_gradient(batch.reward + batch.discount * ops.min(following, axis=0))
        q = nets.critic([batch.observation, batch.action])
        return squared(q, target[None]), {"q/mean": ops.mean(q)}


@dataclass(frozen=True)
class Temperature(Cloning):
    """Learned scalar that follows the error of a cloned action."""

    name = "temperature"

    def networks(self, build):
        return {**super().networks(build), "log_alpha": build.scalar("log_alpha", 0.5)}

    def updates(self):
        return (*super().updates(), Update(self.alpha_loss, "log_alpha", adam(1e-2), role="actor"))

    def alpha_loss(self, nets, batch, key):
        error = ops.stop_gradient(imitation_error(nets.actor(batch.observation), batch))
        alpha = ops.exp(nets.log_alpha)
        return ops.square(alpha - error), {"alpha/value": alpha}


@dataclass(frozen=True)
class SlopePenalty(Cloning):
    """Critic with a slope in the action near one: its loss holds a gradient."""

    name = "slope-penalty"

    def networks(self, build):
        return {**super().networks(build), "critic": build.critics("critic", HIDDEN, 1)}

    def updates(self):
        critic = Update(self.critic_loss, "critic", adam(1e-2), target=Target("critic"))
        return (critic, *super().updates())

    def critic_loss(self, nets, batch, key):
        following = nets.target_critic([batch.next_observation, nets.actor(batch.next_observation)])[0]
        target = ops.stop_gradient(batch.reward + batch.discount * following)
        q = nets.critic([batch.observation, batch.action])[0]
        return squared(q, target) + self.penalty(nets, batch), {}

    def penalty(self, nets, batch):
        slope = functional.gradient(lambda a: nets.critic([batch.observation, a])[0], batch.action)
        return ops.mean(ops.square(ops.sum(ops.square(slope), axis=-1) - 1.0))


@dataclass(frozen=True)
class NoisyCloning(Cloning):
    """Policy that only samples: observation and noise give an action."""

    name = "noisy-cloning"

    def networks(self, build):
        return {"actor": build.noisy_actor("actor", HIDDEN, noise=3)}

    def actor_loss(self, nets, batch, key):
        noise = functional.random.normal(key, (batch.action.shape[0], 3))
        return imitation_error(nets.actor([batch.observation, noise]), batch), {}

    def sampler(self, nets, build):
        return build.sampler(nets.actor)


@dataclass(frozen=True)
class ThreeRoles(Cloning):
    """Cloned behaviour, critic, and an actor near the behaviour."""

    name = "three-roles"
    roles = ("behaviour", "critic", "actor")

    def networks(self, build):
        return {
            "behaviour": build.deterministic_actor("behaviour", HIDDEN),
            "critic": build.critics("critic", HIDDEN, 1),
            **super().networks(build),
        }

    def updates(self):
        return (
            Update(self.behaviour_loss, "behaviour", adam(1e-2), role="behaviour"),
            Update(self.critic_loss, "critic", adam(1e-2)),
            *super().updates(),
        )

    def behaviour_loss(self, nets, batch, key):
        return imitation_error(nets.behaviour(batch.observation), batch), {}

    def critic_loss(self, nets, batch, key):
        return squared(nets.critic([batch.observation, batch.action])[0], batch.reward), {}

    def actor_loss(self, nets, batch, key):
        action = nets.actor(batch.observation)
        near = squared(action, ops.stop_gradient(nets.behaviour(batch.observation)))
        return near - ops.mean(nets.critic([batch.observation, action])), {}


@dataclass(frozen=True)
class Annealed(Cloning):
    """Actor whose loss has a weight that falls with the global step."""

    name = "annealed"

    def actor_loss(self, nets, batch, key, step):
        weight = 1.0 / (1.0 + step)
        return weight * imitation_error(nets.actor(batch.observation), batch), {"anneal/step": step}


@dataclass(frozen=True)
class SharedModel(Cloning):
    """Faulty agent: one model under two names, each with an update of its own."""

    name = "shared-model"

    def networks(self, build):
        actor = build.deterministic_actor("actor", HIDDEN)
        again = keras.Model(actor.input, -actor.output, name="again")
        return {"actor": actor, "again": again}

    def updates(self):
        return (*super().updates(), Update(self.actor_loss, "again", adam(1e-2), role="actor"))
