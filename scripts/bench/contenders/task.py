"""Made-up transitions that every contender trains on, the same in every process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

OBSERVATIONS, ACTIONS, CHOICES = 17, 6, 6
EPISODE = 1_000
GAMMA = 0.99
LEARNING_RATE = 3e-4
TAU = 0.005

LOOPED = ("td3bc", "iql", "bc", "ddpg")
"""Agents that every contender has; d3rlpy has the others too."""
CONTINUOUS = ("td3", "rebrac", "sac", "cql", "calql", "awac", "crr", "bcq", "bear", "plas")
ON_CHOICES = ("bc-choices", "dqn", "nfq", "qrdqn", "cql-choices", "bcq-choices", "sac-choices")
BY_D3RLPY = (*LOOPED, *CONTINUOUS, *ON_CHOICES)
"""Agents with a counterpart in d3rlpy; `-choices` marks one that also takes continuous actions."""
BY_CORL = ("td3bc", "iql", "bc", "awac", "cql", "sacn", "edac")
"""Agents with a counterpart in CORL: the first three with two hidden layers, the others with three."""
AGENTS = (*BY_D3RLPY, "sacn", "edac")

Steps = Callable[[int], None]
"""Function that takes a number of gradient steps and returns when they are done."""


@dataclass(frozen=True)
class Task:
    """Setting of the benchmark.

    Attributes:
        agent: one of `AGENTS`.
        rows: number of transitions.
        batch_size: transitions of a step.
        width: units of each hidden layer.
        device: ``cpu`` or ``gpu``.
        seeds: runs that the contender of many seeds trains at once; its step is one step of each run.
        threads: threads of each contender; 0 leaves it to the libraries.
        cpu_time: measure the processor time of the process, which other work on the machine hardly changes.
        layers: number of hidden layers.
    """

    agent: str = "td3bc"
    rows: int = 100_000
    batch_size: int = 256
    width: int = 256
    device: str = "cpu"
    seeds: int = 1
    threads: int = 0
    cpu_time: bool = False
    layers: int = 2

    @property
    def hidden(self) -> tuple[int, ...]:
        return (self.width,) * self.layers

    @property
    def discrete(self) -> bool:
        return self.agent in ON_CHOICES

    @property
    def name(self) -> str:
        """Return the agent's own name."""
        return self.agent.removesuffix("-choices")

    @property
    def settings(self) -> dict[str, Any]:
        """Return the agent's settings, which d3rlpy's counterpart has too."""
        own: dict[str, dict[str, Any]] = {
            "bcq": {"acting_samples": 10},
            "bear": {"warm_up": 0},
            "bcq-choices": {"choice_hidden": self.hidden},
        }
        return {"hidden": self.hidden, **own.get(self.agent, {})}

    @property
    def roles(self) -> tuple[str, ...] | None:
        """Return the roles whose updates a step has; None for all.

        d3rlpy trains the decoder of PLAS first and then holds it fixed, so the step has critics and actor only.
        """
        return ("critic", "actor") if self.agent == "plas" else None

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
            "actions": generator.integers(CHOICES, size=self.rows, dtype=np.int64)
            if self.discrete
            else 2 * generator.random((self.rows, ACTIONS), dtype=np.float32) - 1,
            "rewards": normal(self.rows),
            "next_observations": normal(self.rows, OBSERVATIONS),
            "terminals": terminals,
        }

    def __str__(self) -> str:
        network = f"{self.layers} x {self.width}"
        return f"{self.agent}, {self._sizes()}, {network}, batch {self.batch_size}, {self.rows:,} rows"

    def _sizes(self) -> str:
        if self.discrete:
            return f"{OBSERVATIONS} dimensions, {CHOICES} choices"
        return f"{OBSERVATIONS} + {ACTIONS} dimensions"
