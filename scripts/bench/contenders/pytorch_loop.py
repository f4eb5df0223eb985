"""A plain PyTorch loop in the usual single-file style, written from the papers' equations.

The columns are tensors on the device, and a batch is drawn by index. Each network is an ``nn.Sequential`` trained by
PyTorch's Adam. Targets move parameter by parameter. The compiled variant runs every update under ``torch.compile``,
with its backward pass and optimizer step. The captured variant also records compiled steps as CUDA graphs and replays
them: the fastest way that PyTorch has on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from contenders.task import ACTIONS, GAMMA, LEARNING_RATE, OBSERVATIONS, TAU, Steps, Task


class Batch(NamedTuple):
    """Rows of a batch: float32 tensors ``[B, ...]``."""

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminal: Tensor


def build(task: Task, variant: str) -> Steps:
    """Build the loop: eager, ``compiled`` under ``torch.compile``, or ``captured`` in CUDA graphs of that."""
    device = torch.device(task.torch_device)
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32, like XLA's products
    columns = task.columns()
    data = Batch(*(torch.as_tensor(column, device=device) for column in columns.values()))
    agent = AGENTS[task.agent](task.width).to(device)
    if variant:
        agent.compile_updates()

    def step(number: int) -> None:
        rows = torch.randint(0, task.rows, (task.batch_size,), device=device)
        agent.step(Batch(*(column[rows] for column in data)), number)

    taken, take = 0, captured(agent, step) if variant == "captured" else step

    def steps(count: int) -> None:
        nonlocal taken
        for _ in range(count):
            taken += 1
            take(taken)
        if device.type == "cuda":
            torch.cuda.synchronize()

    return steps


def captured(agent: Agent, step: Callable[[int], None]) -> Callable[[int], None]:
    """Record ``step`` as CUDA graphs, one for each position in the agent's period."""
    for optimizer in agent.optimizers():
        for group in optimizer.param_groups:
            group["capturable"] = True
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        # The first steps allocate memory and compile kernels, which a graph must not record.
        for number in range(6 * agent.period):
            step(number)
    torch.cuda.synchronize()
    graphs = [torch.cuda.CUDAGraph() for _ in range(agent.period)]
    for number, graph in enumerate(graphs):
        with torch.cuda.graph(graph):
            step(number)
    return lambda number: graphs[number % agent.period].replay()


def mlp(inputs: int, width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
    )


class Actor(nn.Module):
    """Tanh actor, or the mean of a Gaussian actor."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = mlp(OBSERVATIONS, width, ACTIONS)
        self.log_std = nn.Parameter(torch.zeros(ACTIONS))

    def forward(self, observation: Tensor) -> Tensor:
        return torch.tanh(self.net(observation))


class Critic(nn.Module):
    """Action value Q(s, a), ``[B]``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = mlp(OBSERVATIONS + ACTIONS, width, 1)

    def forward(self, observation: Tensor, action: Tensor) -> Tensor:
        return self.net(torch.cat([observation, action], dim=1)).squeeze(-1)


def follow(target: nn.Module, online: nn.Module) -> None:
    """Move a target: ``target += tau * (online - target)`` (Lillicrap et al., 2016, algorithm 1)."""
    with torch.no_grad():
        for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
            slow.copy_(TAU * fast + (1 - TAU) * slow)


def descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


class Agent(nn.Module):
    """Networks with their optimizers; ``step`` takes a gradient step of each network that is due."""

    updates: tuple[str, ...] = ("update",)
    period = 1

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [each for each in vars(self).values() if isinstance(each, torch.optim.Optimizer)]

    def compile_updates(self) -> None:
        for name in self.updates:
            setattr(self, name, torch.compile(getattr(self, name)))

    def step(self, batch: Batch, number: int) -> None:
        self.update(batch)


class BC(Agent):
    """Mean squared error to the recorded actions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.actor = Actor(width)
        self.optimizer = torch.optim.Adam(self.actor.net.parameters(), LEARNING_RATE)

    def update(self, batch: Batch) -> None:
        descend(self.optimizer, functional.mse_loss(self.actor(batch.observation), batch.action))


class DDPG(Agent):
    """Lillicrap et al. (2016), algorithm 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.actor, self.critic = Actor(width), Critic(width)
        self.actor_target, self.critic_target = deepcopy(self.actor), deepcopy(self.critic)
        self.actor_optimizer = torch.optim.Adam(self.actor.net.parameters(), LEARNING_RATE)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), LEARNING_RATE)

    def update(self, batch: Batch) -> None:
        with torch.no_grad():
            next_value = self.critic_target(batch.next_observation, self.actor_target(batch.next_observation))
            target = batch.reward + GAMMA * (1 - batch.terminal) * next_value
        descend(
            self.critic_optimizer, functional.mse_loss(self.critic(batch.observation, batch.action), target)
        )
        descend(self.actor_optimizer, -self.critic(batch.observation, self.actor(batch.observation)).mean())
        follow(self.critic_target, self.critic)
        follow(self.actor_target, self.actor)


class TD3BC(Agent):
    """Fujimoto and Gu (2021): TD3's critics at every step, the actor and the targets at every second."""

    updates = ("update_critics", "update_actor")
    period = 2

    def __init__(self, width: int, noise: float = 0.2, clip: float = 0.5, alpha: float = 2.5) -> None:
        super().__init__()
        self.noise, self.clip, self.alpha = noise, clip, alpha
        self.actor, self.critic_1, self.critic_2 = Actor(width), Critic(width), Critic(width)
        self.actor_target = deepcopy(self.actor)
        self.critic_1_target, self.critic_2_target = deepcopy(self.critic_1), deepcopy(self.critic_2)
        self.actor_optimizer = torch.optim.Adam(self.actor.net.parameters(), LEARNING_RATE)
        critics = [*self.critic_1.parameters(), *self.critic_2.parameters()]
        self.critic_optimizer = torch.optim.Adam(critics, LEARNING_RATE)

    def critic_loss(self, batch: Batch) -> Tensor:
        """Return the loss of TD3, algorithm 1: clipped double Q-learning with target policy smoothing."""
        with torch.no_grad():
            noise = (torch.randn_like(batch.action) * self.noise).clamp(-self.clip, self.clip)
            next_action = (self.actor_target(batch.next_observation) + noise).clamp(-1, 1)
            next_value = torch.min(
                self.critic_1_target(batch.next_observation, next_action),
                self.critic_2_target(batch.next_observation, next_action),
            )
            target = batch.reward + GAMMA * (1 - batch.terminal) * next_value
        value_1 = self.critic_1(batch.observation, batch.action)
        value_2 = self.critic_2(batch.observation, batch.action)
        return functional.mse_loss(value_1, target) + functional.mse_loss(value_2, target)

    def actor_loss(self, batch: Batch) -> Tensor:
        """Return ``-lambda * Q(s, pi(s)) + (pi(s) - a)^2`` with ``lambda = alpha / mean |Q|`` (eq. 5)."""
        action = self.actor(batch.observation)
        value = self.critic_1(batch.observation, action)
        weight = self.alpha / value.abs().mean().detach()
        return functional.mse_loss(action, batch.action) - weight * value.mean()

    def update_critics(self, batch: Batch) -> None:
        descend(self.critic_optimizer, self.critic_loss(batch))

    def update_actor(self, batch: Batch) -> None:
        descend(self.actor_optimizer, self.actor_loss(batch))
        follow(self.critic_1_target, self.critic_1)
        follow(self.critic_2_target, self.critic_2)
        follow(self.actor_target, self.actor)

    def step(self, batch: Batch, number: int) -> None:
        self.update_critics(batch)
        if number % 2 == 0:
            self.update_actor(batch)


class IQL(Agent):
    """Kostrikov, Nair and Levine (2022): value (eq. 5), actor (eq. 7), critics (eq. 6)."""

    updates = ("update_value", "update_actor", "update_critics")

    def __init__(self, width: int, expectile: float = 0.7, temperature: float = 3.0) -> None:
        super().__init__()
        self.expectile, self.temperature = expectile, temperature
        self.actor, self.value = Actor(width), mlp(OBSERVATIONS, width, 1)
        self.critic_1, self.critic_2 = Critic(width), Critic(width)
        self.critic_1_target, self.critic_2_target = deepcopy(self.critic_1), deepcopy(self.critic_2)
        self.value_optimizer = torch.optim.Adam(self.value.parameters(), LEARNING_RATE)
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), LEARNING_RATE)
        critics = [*self.critic_1.parameters(), *self.critic_2.parameters()]
        self.critic_optimizer = torch.optim.Adam(critics, LEARNING_RATE)

    def recorded_value(self, batch: Batch) -> Tensor:
        """Return the targets' value of the recorded actions, which two updates share."""
        with torch.no_grad():
            return torch.min(
                self.critic_1_target(batch.observation, batch.action),
                self.critic_2_target(batch.observation, batch.action),
            )

    def update_value(self, batch: Batch, recorded: Tensor) -> None:
        error = recorded - self.value(batch.observation).squeeze(-1)
        weight = torch.where(error < 0, 1 - self.expectile, self.expectile)
        descend(self.value_optimizer, (weight * error.square()).mean())

    def update_actor(self, batch: Batch, recorded: Tensor) -> None:
        with torch.no_grad():
            advantage = recorded - self.value(batch.observation).squeeze(-1)
            weight = torch.exp(self.temperature * advantage).clamp(max=100.0)
        # A check of the arguments would wait for the GPU.
        policy = torch.distributions.Normal(
            self.actor(batch.observation), self.actor.log_std.clamp(-5, 2).exp(), validate_args=False
        )
        descend(self.actor_optimizer, -(weight * policy.log_prob(batch.action).sum(-1)).mean())

    def update_critics(self, batch: Batch) -> None:
        with torch.no_grad():
            next_value = self.value(batch.next_observation).squeeze(-1)
            target = batch.reward + GAMMA * (1 - batch.terminal) * next_value
        value_1 = self.critic_1(batch.observation, batch.action)
        value_2 = self.critic_2(batch.observation, batch.action)
        loss = functional.mse_loss(value_1, target) + functional.mse_loss(value_2, target)
        descend(self.critic_optimizer, loss)
        follow(self.critic_1_target, self.critic_1)
        follow(self.critic_2_target, self.critic_2)

    def step(self, batch: Batch, number: int) -> None:
        recorded = self.recorded_value(batch)
        self.update_value(batch, recorded)
        self.update_actor(batch, recorded)
        self.update_critics(batch)


AGENTS: dict[str, type[Agent]] = {"bc": BC, "ddpg": DDPG, "td3bc": TD3BC, "iql": IQL}
