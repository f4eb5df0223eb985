"""Learners that differ in numbers of their agents: one compiled call holds them all, with these numbers as inputs.

Learning rates need nothing: they are variables of the optimizers. Other numbers are put into the agent while a loop is
traced, and its losses are taken from that agent.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.update import Update, updates_of_kind
from vinci_offline.training.learner import BoundTarget, BoundUpdate, Learner

_MAKERS = ("networks", "policy", "stochastic_policy", "sampler")


def numbers_of(agent: Agent) -> dict[str, float]:
    """Return the settings of an agent that are numbers with a fraction."""
    found = {field.name: getattr(agent, field.name) for field in fields(agent)}
    return {name: value for name, value in found.items() if isinstance(value, float)}


def varied_settings(agents: Sequence[Agent]) -> tuple[str, ...]:
    """Return the names of the numbers in which agents differ."""
    first, *others = map(numbers_of, agents)
    return tuple(name for name in first if any(other.get(name) != first[name] for other in others))


def with_settings(
    learner: Learner, settings: Mapping[str, Any], updates: Sequence[BoundUpdate]
) -> tuple[Learner, list[BoundUpdate]]:
    """Return a learner whose agent has other numbers, and its updates, with the same variables and optimizers.

    Args:
        learner: the learner; it stays as it is.
        settings: the numbers, perhaps as tensors of a trace.
        updates: updates of the learner.
    """
    agent = copy.copy(learner.agent)
    for name, value in settings.items():
        object.__setattr__(agent, name, value)  # the limits were checked, and a trace has none
    other = copy.copy(learner)
    other.agent = agent
    fresh = updates_of_kind(agent.updates(), discrete=learner.discrete)
    return other, [_rebound(bound, fresh[bound.stream]) for bound in updates]


def can_share(learner: Learner, other: Learner) -> bool:
    """Return True where two learners differ in variables and losses alone: optimizers and periods are equal."""
    pairs = list(zip(learner.updates, other.updates, strict=True))
    return all(_fixed(one) == _fixed(two) for one, two in pairs)


@contextmanager
def watched(agent: Agent) -> Iterator[tuple[Agent, set[str]]]:
    """Give an agent like this one, and the names of the numbers with which it makes networks and policies.

    These numbers are part of the networks, so learners that differ in them share no loop.
    """
    numbers, read, inside = numbers_of(agent), set[str](), [0]
    cls: Any = type(agent)

    def noted(method: str) -> Any:
        def call(self: Any, *arguments: Any) -> Any:
            inside[0] += 1
            try:
                return getattr(cls, method)(self, *arguments)
            finally:
                inside[0] -= 1

        return call

    def look(self: Any, name: str) -> Any:
        if inside[0] and name in numbers:
            read.add(name)
        return object.__getattribute__(self, name)

    members = {method: noted(method) for method in _MAKERS} | {"__getattribute__": look}
    like = copy.copy(agent)
    object.__setattr__(like, "__class__", type(cls.__name__, (cls,), members))
    yield like, read


def _rebound(bound: BoundUpdate, update: Update) -> BoundUpdate:
    targets = [BoundTarget(t, old.pairs) for t, old in zip(update.targets, bound.targets, strict=True)]
    return replace(bound, update=update, targets=tuple(targets))


def _fixed(bound: BoundUpdate) -> tuple[Any, ...]:
    """Return what a loop is compiled with."""
    optimizer = dict(bound.optimizer.get_config())
    del optimizer["name"]  # Keras numbers them
    if not bound.scheduled:
        del optimizer["learning_rate"]
    update = bound.update
    return (
        optimizer,
        update.networks,
        update.role,
        update.every,
        update.reset_below is None,
        [(target.network, target.every) for target in update.targets],
    )
