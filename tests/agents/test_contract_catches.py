"""The contract suite fails on faulty agents."""

from dataclasses import dataclass

import numpy as np
import pytest
from keras import ops

from vinci_offline import functional
from vinci_offline.agents.agent import Update
from vinci_offline.agents.td3bc import TD3BC
from vinci_offline.errors import SpecError
from vinci_offline.testing.agent_contract import BOX, AgentContract

SMALL = {"hidden": (8, 8)}
CONTRACT = AgentContract()


@dataclass(frozen=True)
class NoMask(TD3BC):
    def critic_loss(self, nets, batch, key):
        return super().critic_loss(nets, batch.replace(discount=ops.full_like(batch.discount, 0.99)), key)


@dataclass(frozen=True)
class NoBootstrap(TD3BC):
    def critic_loss(self, nets, batch, key):
        return super().critic_loss(nets, batch.replace(discount=ops.zeros_like(batch.discount)), key)


@dataclass(frozen=True)
class LeakyTarget(TD3BC):
    def critic_loss(self, nets, batch, key):
        next_action = nets.target_actor(batch.next_observation)
        next_value = functional.clipped_double_q(nets.target_critic([batch.next_observation, next_action]))
        target = batch.reward + batch.discount * next_value
        return ops.mean(ops.square(nets.critic([batch.observation, batch.action]) - target)), {}


@dataclass(frozen=True)
class ColumnTarget(TD3BC):
    def critic_loss(self, nets, batch, key):
        return super().critic_loss(nets, batch.replace(reward=ops.expand_dims(batch.reward, -1)), key)


@dataclass(frozen=True)
class Undecided(TD3BC):
    def actor_loss(self, nets, batch, key):
        loss, metrics = super().actor_loss(nets, batch, key)
        return loss * float(np.random.default_rng().uniform(1, 2)), metrics


@dataclass(frozen=True)
class Unseeded(TD3BC):
    def networks(self, build):
        nets = super().networks(build)
        bias = nets["actor"].trainable_variables[-1]
        bias.assign(np.random.default_rng().normal(size=bias.shape))
        return nets


@dataclass(frozen=True)
class Restless(TD3BC):
    def critic_loss(self, nets, batch, key):
        bias = nets.actor.trainable_variables[-1]
        bias.assign(bias + 0.01)
        return super().critic_loss(nets, batch, key)


@dataclass(frozen=True)
class Twice(TD3BC):
    def updates(self):
        critic, actor = super().updates()
        return (critic, actor, Update(self.actor_loss, "actor", actor.optimizer, role="actor"))


@pytest.mark.parametrize(
    ("agent", "check", "message"),
    [
        (NoMask(**SMALL), CONTRACT.test_terminal_rows_ignore_the_next_observation, "past a terminal state"),
        (
            NoBootstrap(**SMALL),
            CONTRACT.test_terminal_rows_ignore_the_next_observation,
            "no critic bootstraps",
        ),
        (LeakyTarget(**SMALL), CONTRACT.test_gradient_does_not_reach_targets, "has a gradient to 'target_"),
        (Undecided(**SMALL), CONTRACT.test_losses_are_deterministic, "equal seeds give different losses"),
        (Unseeded(**SMALL), CONTRACT.test_training_is_deterministic, "equal seeds give different networks"),
        (
            Restless(**SMALL),
            CONTRACT.test_phase_of_one_role_freezes_the_rest,
            "of critic alone moves actor",
        ),
        (Twice(**SMALL), CONTRACT.test_updates_are_disjoint_and_name_networks, "more than one update"),
    ],
)
def test_contract_suite_catches_faults(agent, check, message):
    with pytest.raises(AssertionError, match=message):
        check(agent, BOX)


def test_column_shaped_rewards_are_refused():
    with pytest.raises(SpecError, match=r"reward must have shape \[B\], not \[8, 1\]"):
        CONTRACT.test_losses_are_finite_scalars(ColumnTarget(**SMALL), BOX)
