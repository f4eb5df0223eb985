"""Made-up transitions that every contender trains on, the same in every process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

OBSERVATIONS, ACTIONS = 17, 6
EPISODE = 1_000
GAMMA = 0.99
LEARNING_RATE = 3e-4
TAU = 0.005

Steps = Callable[[int], None]
"""Function that takes a number of gradient steps and returns when they are done."""


@dataclass(frozen=True)
class Task:
    """Setting of the benchmark.

    Attributes:
        agent: ``td3bc``, ``iql``, ``bc`` or ``ddpg``.
        rows: number of transitions.
        batch_size: transitions of a step.
        width: units of each of the two hidden layers.
        device: ``cpu`` or ``gpu``.
        seeds: runs that the contender of many seeds trains at once; its step is one step of each run.
    """

    agent: str = "td3bc"
    rows: int = 100_000
    batch_size: int = 256
    width: int = 256
    device: str = "cpu"
    seeds: int = 1

    @property
    def hidden(self) -> tuple[int, int]:
        return self.width, self.width

    @property
    def torch_device(self) -> str:
        return "cuda:0" if self.device == "gpu" else "cpu"

    def columns(self) -> dict[str, np.ndarray]:
        """Return the columns: standard normal observations, which need no normalising, in episodes of 1,000 rows."""
        generator = np.random.default_rng(0)
        terminals = np.zeros(self.rows, np.float32)
        terminals[EPISODE - 1 :: EPISODE] = 1

        def normal(*shape: int) -> np.ndarray:
            return generator.standard_normal(shape, dtype=np.float32)

        return {
            "observations": normal(self.rows, OBSERVATIONS),
            "actions": 2 * generator.random((self.rows, ACTIONS), dtype=np.float32) - 1,
            "rewards": normal(self.rows),
            "next_observations": normal(self.rows, OBSERVATIONS),
            "terminals": terminals,
        }

    def __str__(self) -> str:
        return (
            f"{self.agent}, {OBSERVATIONS} + {ACTIONS} dimensions, 2 x {self.width}, batch {self.batch_size}, "
            f"{self.rows:,} rows"
        )
