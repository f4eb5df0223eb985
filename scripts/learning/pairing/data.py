"""Rows that tell more of an update's faults than the shipped data: several dimensions of actions, all of them used."""

from __future__ import annotations

import numpy as np

from vinci_offline import Dataset
from vinci_offline.spec import BoxSpace, DiscreteSpace, EnvironmentSpec

OBSERVATIONS, ACTIONS, CHOICES = 5, 3, 4
EPISODES, LENGTH = 100, 20


def random_rows(*, choices: bool, reward: float = 0.3) -> Dataset:
    """Return 100 terminated episodes of 20 rows: observations wander, and actions and rewards are random.

    Every episode terminates, so no next action is missing. With small rewards no error leaves the quadratic part of a
    Huber loss with delta 1.

    Args:
        choices: actions are choices instead of vectors.
        reward: the greatest size of a reward.
    """
    rng = np.random.default_rng(0)
    paths = np.cumsum(0.3 * rng.normal(size=(EPISODES, LENGTH + 1, OBSERVATIONS)), axis=1).astype(np.float32)
    rows = EPISODES * LENGTH
    bound = np.ones(ACTIONS, np.float32)
    free = np.full(OBSERVATIONS, np.inf, np.float32)
    terminals = np.zeros((EPISODES, LENGTH), bool)
    terminals[:, -1] = True
    actions = rng.integers(CHOICES, size=rows) if choices else np.tanh(rng.normal(size=(rows, ACTIONS)))
    columns = {
        "observations": paths[:, :-1].reshape(rows, -1),
        "next_observations": paths[:, 1:].reshape(rows, -1),
        "actions": actions if choices else actions.astype(np.float32),
        "rewards": rng.uniform(-reward, reward, rows).astype(np.float32),
        "terminals": terminals.reshape(-1),
        "timeouts": np.zeros(rows, bool),
    }
    action_space = DiscreteSpace(CHOICES) if choices else BoxSpace((ACTIONS,), "float32", -bound, bound)
    spec = EnvironmentSpec(BoxSpace((OBSERVATIONS,), "float32", -free, free), action_space)
    return Dataset.from_columns(columns, spec)
