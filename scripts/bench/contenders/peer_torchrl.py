"""TorchRL (Bou et al., 2023): its loss modules, replay buffer and target updater, used as its documentation shows."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from tensordict import TensorDict
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import nn
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.data.tensor_specs import Bounded
from torchrl.modules import MLP, ProbabilisticActor, TanhModule, TanhNormal, ValueOperator
from torchrl.objectives import BCLoss, DDPGLoss, IQLLoss, LossModule, SoftUpdate, TD3BCLoss

from contenders.task import ACTIONS, GAMMA, LEARNING_RATE, OBSERVATIONS, TAU, Steps, Task

Update = Callable[[TensorDict, int], None]


def build(task: Task, variant: str) -> Steps:
    warnings.simplefilter("ignore")
    buffer = replay_buffer(task)
    update = {"td3bc": td3bc, "iql": iql, "bc": bc, "ddpg": ddpg}[task.agent](task)
    taken = 0

    def steps(count: int) -> None:
        nonlocal taken
        for _ in range(count):
            taken += 1
            update(buffer.sample(), taken)
        if task.device == "gpu":
            torch.cuda.synchronize()

    return steps


def replay_buffer(task: Task) -> TensorDictReplayBuffer:
    columns = {name: torch.as_tensor(column) for name, column in task.columns().items()}
    terminal = columns["terminals"].bool().unsqueeze(-1)
    after = {
        "observation": columns["next_observations"],
        "reward": columns["rewards"].unsqueeze(-1),
        "done": terminal,
        "terminated": terminal,
    }
    rows = {
        "observation": columns["observations"],
        "action": columns["actions"],
        "next": TensorDict(after, [task.rows]),
    }
    storage = LazyTensorStorage(task.rows, device=task.torch_device)
    buffer = TensorDictReplayBuffer(storage=storage, batch_size=task.batch_size)
    buffer.extend(TensorDict(rows, [task.rows]))
    return buffer


def net(task: Task, inputs: int, outputs: int) -> MLP:
    device = task.torch_device
    return MLP(inputs, outputs, num_cells=list(task.hidden), activation_class=nn.ReLU, device=device)


def tanh_actor(task: Task) -> TensorDictModule:
    from tensordict.nn import TensorDictSequential

    raw = TensorDictModule(net(task, OBSERVATIONS, ACTIONS), in_keys=["observation"], out_keys=["param"])
    squash = TanhModule(in_keys=["param"], out_keys=["action"], spec=action_spec(task))
    return TensorDictSequential(raw, squash)


def critic(task: Task) -> ValueOperator:
    module = net(task, OBSERVATIONS + ACTIONS, 1)
    return ValueOperator(module, in_keys=["observation", "action"], out_keys=["state_action_value"])


def action_spec(task: Task) -> Bounded:
    return Bounded(-1.0, 1.0, (ACTIONS,), device=task.torch_device)


def adam(loss: LossModule, *networks: str) -> torch.optim.Optimizer:
    parameters = [p for name in networks for p in getattr(loss, f"{name}_params").flatten_keys().values()]
    return torch.optim.Adam(parameters, LEARNING_RATE)


def descend(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def td3bc(task: Task) -> Update:
    loss = TD3BCLoss(tanh_actor(task), critic(task), action_spec=action_spec(task), loss_function="l2")
    loss.make_value_estimator(gamma=GAMMA)
    targets = SoftUpdate(loss, tau=TAU)
    actor, critics = adam(loss, "actor_network"), adam(loss, "qvalue_network")

    def update(batch: TensorDict, number: int) -> None:
        descend(critics, loss.qvalue_loss(batch)[0])
        if number % 2 == 0:
            descend(actor, loss.actor_loss(batch)[0])
            targets.step()

    return update


def iql(task: Task) -> Update:
    mean_and_scale = nn.Sequential(net(task, OBSERVATIONS, 2 * ACTIONS), NormalParamExtractor())
    actor = ProbabilisticActor(
        TensorDictModule(mean_and_scale, in_keys=["observation"], out_keys=["loc", "scale"]),
        in_keys=["loc", "scale"],
        spec=action_spec(task),
        distribution_class=TanhNormal,
    )
    value = ValueOperator(net(task, OBSERVATIONS, 1), in_keys=["observation"])
    loss = IQLLoss(actor, critic(task), value, loss_function="l2", temperature=3.0, expectile=0.7)
    loss.make_value_estimator(gamma=GAMMA)
    targets = SoftUpdate(loss, tau=TAU)
    optimizer = adam(loss, "actor_network", "qvalue_network", "value_network")

    def update(batch: TensorDict, number: int) -> None:
        losses = loss(batch)
        descend(optimizer, losses["loss_actor"] + losses["loss_qvalue"] + losses["loss_value"])
        targets.step()

    return update


def bc(task: Task) -> Update:
    loss = BCLoss(tanh_actor(task), loss_function="l2")
    optimizer = adam(loss, "actor_network")

    def update(batch: TensorDict, number: int) -> None:
        descend(optimizer, loss(batch)["loss_bc"])

    return update


def ddpg(task: Task) -> Update:
    loss = DDPGLoss(tanh_actor(task), critic(task), loss_function="l2", delay_actor=True)
    loss.make_value_estimator(gamma=GAMMA)
    targets = SoftUpdate(loss, tau=TAU)
    actor, critics = adam(loss, "actor_network"), adam(loss, "value_network")

    def update(batch: TensorDict, number: int) -> None:
        descend(critics, loss.loss_value(batch)[0])
        descend(actor, loss.loss_actor(batch)[0])
        targets.step()

    return update
