"""d3rlpy (Seno and Imai, 2022): ``update`` on batches of its own replay buffer, like its ``fit``."""

from __future__ import annotations

import logging

import d3rlpy
import structlog
from d3rlpy.algos import BCConfig, DDPGConfig, IQLConfig, TD3PlusBCConfig
from d3rlpy.models.encoders import VectorEncoderFactory

from contenders.task import GAMMA, LEARNING_RATE, TAU, Steps, Task


def build(task: Task, variant: str) -> Steps:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    columns = task.columns()
    dataset = d3rlpy.dataset.MDPDataset(
        *(columns[n] for n in ("observations", "actions", "rewards", "terminals"))
    )
    algorithm = config(task).create(device=task.torch_device)
    algorithm.build_with_dataset(dataset)

    def steps(count: int) -> None:
        for _ in range(count):
            algorithm.update(dataset.sample_transition_batch(task.batch_size))

    return steps


def config(task: Task) -> d3rlpy.base.LearnableConfig:
    encoder = VectorEncoderFactory(hidden_units=list(task.hidden))
    actor = {"actor_learning_rate": LEARNING_RATE, "actor_encoder_factory": encoder}
    critic = {
        "critic_learning_rate": LEARNING_RATE,
        "critic_encoder_factory": encoder,
        "tau": TAU,
        "gamma": GAMMA,
    }
    if task.agent == "bc":
        return BCConfig(batch_size=task.batch_size, learning_rate=LEARNING_RATE, encoder_factory=encoder)
    if task.agent == "iql":
        return IQLConfig(batch_size=task.batch_size, **actor, **critic, value_encoder_factory=encoder)
    made = {"td3bc": TD3PlusBCConfig, "ddpg": DDPGConfig}[task.agent]
    return made(batch_size=task.batch_size, **actor, **critic)
