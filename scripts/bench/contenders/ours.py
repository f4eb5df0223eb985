"""vinci-offline: the training engine of this process's Keras backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from contenders.task import ACTIONS, CHOICES, GAMMA, OBSERVATIONS, Steps, Task
from vinci_offline import EnvironmentSpec, Transitions
from vinci_offline.agents.registry import agent_class
from vinci_offline.batches.names import (
    HAS_NEXT_ACTION,
    NEXT_ACTION,
    RETURN_TO_GO,
    TRANSITION,
    complete_wishes,
)
from vinci_offline.batches.source import Resident
from vinci_offline.networks.builder import NetworkBuilder
from vinci_offline.spec import BoxSpace, DiscreteSpace
from vinci_offline.training.engines import make_engine
from vinci_offline.training.learner import BoundUpdate, Learner


def build(task: Task, variant: str) -> Steps:
    """Build the engine.

    Args:
        task: the setting.
        variant: ``graph`` for TensorFlow without XLA, ``seeds`` for ``task.seeds`` runs at once, ``settings`` for
            as many that differ in ``alpha`` too, or empty.
    """
    columns = task.columns()
    jit = "off" if variant == "graph" else "on"
    together = variant in ("seeds", "settings")
    seeds = range(task.seeds if together else 1)
    learners = [
        make_learner(
            task, columns["observations"], seed, {"alpha": 0.5 * (seed + 1)} if variant == "settings" else {}
        )
        for seed in seeds
    ]
    source = Resident(columns_of(task, learners[0]))
    engines = [
        make_engine(learner, source, batch_size=task.batch_size, seed=seed, jit=jit)
        for seed, learner in zip(seeds, learners, strict=True)
    ]
    updates, taken = updates_of(task, learners[0]), 0

    def steps(count: int) -> None:
        nonlocal taken
        if together:
            engines[0].run_members(engines, updates, taken, count)
        else:
            engines[0].run(updates, taken, count)
        taken += count

    return steps


def updates_of(task: Task, learner: Learner) -> tuple[BoundUpdate, ...]:
    """Return the updates of a step."""
    return tuple(bound for bound in learner.updates if task.roles is None or bound.update.role in task.roles)


def columns_of(task: Task, learner: Learner) -> dict[str, Any]:
    """Return the columns that the agent asks for; next actions and returns are other rows' actions and rewards."""
    columns = task.columns()
    known: dict[str, Any] = {
        **dict(zip(TRANSITION, transitions_of(task), strict=True)),
        NEXT_ACTION: np.roll(columns["actions"], -1, axis=0),
        HAS_NEXT_ACTION: np.ones_like(columns["rewards"]),
        RETURN_TO_GO: columns["rewards"],
    }
    # Every action is allowed, so there are no masks, which agents on choices take if they are there.
    names = [name for name in complete_wishes(learner.agent.columns) if name in known]
    return {name: known[name] for name in (*names, *([HAS_NEXT_ACTION] if NEXT_ACTION in names else ()))}


def transitions_of(task: Task) -> Transitions:
    """Return the task's rows as one-step transitions."""
    columns = task.columns()
    return Transitions(
        columns["observations"],
        columns["actions"],
        columns["rewards"],
        GAMMA * (1 - columns["terminals"]),
        columns["next_observations"],
    )


def make_learner(
    task: Task, observations: np.ndarray, seed: int = 0, settings: Mapping[str, float] | None = None
) -> Learner:
    """Make a learner of the task's settings and others; its networks normalise observations."""
    actions = DiscreteSpace(CHOICES) if task.discrete else box(ACTIONS, 1)
    spec = EnvironmentSpec(box(OBSERVATIONS, np.inf), actions)
    agent = agent_class(task.name).from_settings({**task.settings, **(settings or {})})
    return Learner(agent, NetworkBuilder(spec, (observations.mean(0), observations.std(0))), seed=seed)


def box(size: int, bound: float) -> BoxSpace:
    limit = np.full(size, bound, np.float32)
    return BoxSpace((size,), "float32", -limit, limit)
