"""CORL (Tarasov et al., 2022): updates on batches of a buffer like its own. Put a clone on ``PYTHONPATH``."""

from __future__ import annotations

import numpy as np
import torch
from pairing.with_corl import MAKERS

from contenders.task import ACTIONS, OBSERVATIONS, Steps, Task
from vinci_offline.agents.registry import agent_class

COLUMNS = ("observations", "actions", "rewards", "next_observations", "terminals")


def build(task: Task, variant: str) -> Steps:
    ours = agent_class(task.name).from_settings(task.settings)
    made = MAKERS[task.name](ours, OBSERVATIONS, ACTIONS)
    columns = task.columns()
    buffer = [torch.as_tensor(columns[name]).reshape(task.rows, -1) for name in COLUMNS]
    generator = np.random.default_rng(0)

    def steps(count: int) -> None:
        for _ in range(count):
            rows = generator.integers(task.rows, size=task.batch_size)
            made.train([column[rows] for column in buffer])

    return steps
