"""Agents by name: the shipped ones, one file each, and a user's own from ``file.py:Class``."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

from vinci_offline.agents.agent import Agent
from vinci_offline.errors import UsageError

_AGENTS: dict[str, type[Agent]] = {}
_FRAME = {"agent", "outline", "registry"}

AgentType = TypeVar("AgentType", bound=type[Agent])


def register(name: str) -> Callable[[AgentType], AgentType]:
    """Class decorator: make an agent known under ``name``."""

    def decorate(cls: AgentType) -> AgentType:
        cls.name = name
        _AGENTS[name] = cls
        return cls

    return decorate


def agents() -> dict[str, type[Agent]]:
    """Every registered agent by name, sorted."""
    import vinci_offline.agents as package

    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in _FRAME:
            import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_AGENTS.items()))


def agent_class(name: str) -> type[Agent]:
    """The agent called ``name``, or the class that ``file.py:Class`` or ``module:Class`` names.

    Raises:
        UsageError: there is no such agent.
    """
    if ":" in name:
        from vinci_offline.loading import load_object

        cls = load_object(name)
        if not (isinstance(cls, type) and issubclass(cls, Agent)):
            raise UsageError(f"{name} is not a subclass of vinci_offline.Agent")
        cls.name = cls.name or cls.__name__.lower()
        return cls
    known = agents()
    if name not in known:
        raise UsageError(f"unknown agent {name!r}; the agents are: {', '.join(known)} (or file.py:Class)")
    return known[name]
