"""d3rlpy (Seno and Imai, 2022): ``update`` on batches of its own replay buffer, like its ``fit``."""

from __future__ import annotations

import logging

import d3rlpy
import structlog
from counterparts import counterpart

from contenders.task import GAMMA, Steps, Task


def build(task: Task, variant: str) -> Steps:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    columns = task.columns()
    actions = columns["actions"].reshape(task.rows, -1)
    dataset = d3rlpy.dataset.MDPDataset(
        columns["observations"], actions, columns["rewards"], columns["terminals"]
    )
    config = counterpart(
        task.name, task.settings, discrete=task.discrete, batch_size=task.batch_size, gamma=GAMMA
    )
    algorithm = config.create(device=task.torch_device)
    algorithm.build_with_dataset(dataset)

    def steps(count: int) -> None:
        for _ in range(count):
            algorithm.update(dataset.sample_transition_batch(task.batch_size))

    return steps
