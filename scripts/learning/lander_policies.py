"""Policies of LunarLander-v3 for recordings: Gymnasium's heuristic, which takes some actions at random.

They need Gymnasium's `box2d` extra.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from gymnasium.envs.box2d import lunar_lander

heuristic: Any = lunar_lander.heuristic
CHOICES = SimpleNamespace(unwrapped=SimpleNamespace(continuous=False))
"""The heuristic asks its environment only whether actions are continuous."""


class Lander:
    """The heuristic, with a random action in place of its own at some share of the steps."""

    deterministic = False

    def __init__(self, random_share: float) -> None:
        self.random_share = random_share

    def __call__(self, observation: np.ndarray, rng: np.random.Generator) -> int:
        if rng.random() < self.random_share:
            return int(rng.integers(4))
        return int(heuristic(CHOICES, observation))


steady, shaky, wild = Lander(0.1), Lander(0.4), Lander(0.8)
