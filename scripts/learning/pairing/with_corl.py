"""CORL's side of a pair, for agents that d3rlpy lacks.

CORL (Tarasov et al., 2022, https://github.com/tinkoff-ai/CORL) is a folder of scripts and no package: clone it and put
the clone on ``PYTHONPATH``. What its scripts import for other purposes need not be installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from unittest.mock import MagicMock

import torch
from torch.optim import Adam

from pairing.cases import Case
from pairing.weights import Theirs
from vinci_offline import Dataset
from vinci_offline.agents.registry import agent_class
from vinci_offline.spec import BoxSpace

NEEDLESS = ("d4rl", "gym", "pyrallis", "wandb")
"""Packages that CORL's scripts import and that no update needs."""


@dataclass(frozen=True)
class Made:
    """An agent of CORL.

    Attributes:
        networks: its networks by our names.
        optimizers: its optimizers.
        train: takes observations, actions, rewards, next observations and terminals.
    """

    networks: Mapping[str, Theirs]
    optimizers: Sequence[torch.optim.Optimizer]
    train: Callable[[list[torch.Tensor]], Any]


class CorlPeer:
    """CORL's implementation of an agent with our settings."""

    def __init__(self, case: Case, dataset: Dataset, settings: Mapping[str, Any]) -> None:
        observations, actions = dataset.spec.observation_space, dataset.spec.action_space
        assert isinstance(observations, BoxSpace)
        assert isinstance(actions, BoxSpace)
        ours: Any = agent_class(case.agent).from_settings(settings)
        self._made = MAKERS[case.agent](ours, observations.dim, actions.dim)

    def networks(self) -> Mapping[str, Theirs]:
        return self._made.networks

    def optimizers(self) -> Sequence[torch.optim.Optimizer]:
        return self._made.optimizers

    def update(self, batch: Mapping[str, torch.Tensor], step: int) -> None:
        names = ("observation", "action", "reward", "next_observation", "terminal")
        self._made.train([batch[name] for name in names])


def script(name: str) -> Any:
    """Import one of CORL's scripts."""
    for package in NEEDLESS:
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            sys.modules[package] = MagicMock()
    try:
        return importlib.import_module(f"algorithms.offline.{name}")
    except ModuleNotFoundError as error:
        raise SystemExit(
            "CORL is missing: git clone https://github.com/tinkoff-ai/CORL, and add the folder to PYTHONPATH"
        ) from error


def ensemble(ours: Any, observations: int, actions: int) -> Made:
    """Make SAC-N, or EDAC for an agent with a weight of diversity."""
    diverse = hasattr(ours, "diversity")
    code = script("edac" if diverse else "sac_n")
    actor = code.Actor(observations, actions, ours.hidden[0])
    critic = code.VectorizedCritic(observations, actions, ours.hidden[0], ours.critics)
    moving = (
        Adam(actor.parameters(), ours.actor_learning_rate),
        Adam(critic.parameters(), ours.critic_learning_rate),
    )
    own = {"alpha_learning_rate": ours.temperature_learning_rate, "tau": ours.tau}
    own |= {"eta": ours.diversity} if diverse else {}
    agent = (code.EDAC if diverse else code.SACN)(actor, moving[0], critic, moving[1], **own)
    networks = {
        "actor": actor,
        "critic": critic,
        "target_critic": agent.target_critic,
        "log_temperature": agent.log_alpha,
    }
    return Made(networks, (*moving, agent.alpha_optimizer), agent.update)


def td3bc(ours: Any, observations: int, actions: int) -> Made:
    """Make TD3+BC; its widths are fixed at two layers of 256."""
    code = script("td3_bc")
    actor = code.Actor(observations, actions, 1.0)
    critics = torch.nn.ModuleList(code.Critic(observations, actions) for _ in range(2))
    moving = [Adam(actor.parameters(), ours.actor_learning_rate)]
    moving += [Adam(critic.parameters(), ours.critic_learning_rate) for critic in critics]
    agent = code.TD3_BC(
        1.0, actor, moving[0], critics[0], moving[1], critics[1], moving[2], tau=ours.tau, alpha=ours.alpha
    )
    targets = torch.nn.ModuleList([agent.critic_1_target, agent.critic_2_target])
    networks = {
        "actor": actor,
        "critic": critics,
        "target_actor": agent.actor_target,
        "target_critic": targets,
    }
    return Made(networks, moving, agent.train)


def iql(ours: Any, observations: int, actions: int) -> Made:
    """Make IQL with two hidden layers."""
    code = script("iql")
    critic = code.TwinQ(observations, actions, ours.hidden[0])
    value = code.ValueFunction(observations, ours.hidden[0])
    actor = code.GaussianPolicy(observations, actions, 1.0, ours.hidden[0])
    moving = [
        Adam(network.parameters(), rate)
        for network, rate in (
            (actor, ours.actor_learning_rate),
            (critic, ours.critic_learning_rate),
            (value, ours.value_learning_rate),
        )
    ]
    agent = code.ImplicitQLearning(
        1.0,
        actor,
        moving[0],
        critic,
        moving[1],
        value,
        moving[2],
        ours.expectile,
        ours.temperature,
        tau=ours.tau,
    )
    return Made({"actor": actor, "critic": critic, "value": value}, moving, agent.train)


def bc(ours: Any, observations: int, actions: int) -> Made:
    """Make behaviour cloning; its widths are fixed at two layers of 256."""
    code = script("any_percent_bc")
    actor = code.Actor(observations, actions, 1.0)
    moving = Adam(actor.parameters(), ours.learning_rate)
    return Made({"actor": actor}, [moving], code.BC(1.0, actor, moving).train)


def awac(ours: Any, observations: int, actions: int) -> Made:
    """Make AWAC; its mean gets the tanh that ours has."""
    code = script("awac")
    actor = code.Actor(observations, actions, ours.hidden[0])
    actor._mlp.append(torch.nn.Tanh())
    critics = torch.nn.ModuleList(code.Critic(observations, actions, ours.hidden[0]) for _ in range(2))
    moving = [Adam(actor.parameters(), ours.actor_learning_rate)]
    moving += [Adam(critic.parameters(), ours.critic_learning_rate) for critic in critics]
    agent = code.AdvantageWeightedActorCritic(
        actor, moving[0], critics[0], moving[1], critics[1], moving[2], awac_lambda=ours.temperature
    )
    targets = torch.nn.ModuleList([agent._target_critic_1, agent._target_critic_2])
    return Made({"actor": actor, "critic": critics, "target_critic": targets}, moving, agent.update)


def cql(ours: Any, observations: int, actions: int) -> Made:
    """Make CQL without its learned scale and offset of the log deviation, which ours lacks. Its widths are fixed."""
    code = script("cql")
    actor = code.TanhGaussianPolicy(observations, actions, 1.0, log_std_offset=0.0)
    critics = torch.nn.ModuleList(
        code.FullyConnectedQFunction(observations, actions, n_hidden_layers=3) for _ in range(2)
    )
    moving = [Adam(actor.base_network.parameters(), ours.actor_learning_rate)]
    moving += [Adam(critic.parameters(), ours.critic_learning_rate) for critic in critics]
    agent = code.ContinuousCQL(
        critics[0],
        moving[1],
        critics[1],
        moving[2],
        actor,
        moving[0],
        target_entropy=-float(actions),
        policy_lr=ours.temperature_learning_rate,
        soft_target_update_rate=ours.tau,
        bc_steps=0,
        cql_n_actions=ours.samples,
        cql_temp=ours.lse_temperature,
        cql_alpha=ours.conservatism,
    )
    networks = {
        "actor": actor.base_network,
        "critic": critics,
        "target_critic": torch.nn.ModuleList([agent.target_critic_1, agent.target_critic_2]),
        "log_temperature": agent.log_alpha.constant,
    }
    return Made(networks, (*moving, agent.alpha_optimizer), agent.train)


MAKERS: dict[str, Callable[[Any, int, int], Made]] = {
    "td3bc": td3bc,
    "iql": iql,
    "bc": bc,
    "sacn": ensemble,
    "edac": ensemble,
    "awac": awac,
    "cql": cql,
}
