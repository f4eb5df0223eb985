"""Agents by name: shipped agents, agents of other packages, and a user's own as ``file.py:Class``.

Other packages register an `Agent` subclass under a name in the entry point group ``vinci_offline.agents``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import TypeVar

from vinci_offline.agents.agent import Agent
from vinci_offline.errors import UsageError
from vinci_offline.loading import load_all_registered, load_object, load_registered, registered
from vinci_offline.text import did_you_mean

GROUP = "vinci_offline.agents"

_AGENTS: dict[str, type[Agent]] = {}
_FRAME = {"agent", "fit", "in_sample", "latent_behaviour", "outline", "registry", "settings", "update"}

AgentType = TypeVar("AgentType", bound=type[Agent])


def register(name: str) -> Callable[[AgentType], AgentType]:
    """Return a class decorator that registers an agent under ``name``."""

    def decorate(cls: AgentType) -> AgentType:
        cls.name = name
        _AGENTS[name] = cls
        return cls

    return decorate


def agents() -> dict[str, type[Agent]]:
    """Return all agents, sorted by name. Warn if an agent of another package cannot be imported."""
    known = _registered_here()
    others = load_all_registered(GROUP, known, Agent)
    for name, cls in others.items():
        cls.name = name
    return dict(sorted({**others, **known}.items()))


def agent_class(name: str) -> type[Agent]:
    """Return the class of an agent: a registered name, ``file.py:Class`` or ``module:Class``.

    Raises:
        UsageError: the name is unknown, or its package cannot be imported.
    """
    if ":" in name:
        cls = load_object(name)
        if not (isinstance(cls, type) and issubclass(cls, Agent)):
            raise UsageError(f"{name} is not a subclass of vinci_offline.Agent")
        cls.name = cls.name or cls.__name__.lower()
        return cls
    known = _registered_here()
    if name in known:
        return known[name]
    others = registered(GROUP, known)
    if name not in others:
        if name.endswith(".py"):
            raise UsageError(f"{name} is a Python file: name the class in it, as {name}:Class")
        names = sorted({*known, *others})
        raise UsageError(
            f"unknown agent {name!r}; the agents are: {', '.join(names)} (or file.py:Class)"
            + did_you_mean(name, names)
        )
    found = load_registered(others[name], Agent)
    found.name = name
    return found


def _registered_here() -> dict[str, type[Agent]]:
    """Return the shipped agents, and agents that called `register`."""
    import vinci_offline.agents as package

    for module in pkgutil.iter_modules(package.__path__):
        if module.name not in _FRAME:
            import_module(f"{package.__name__}.{module.name}")
    return dict(_AGENTS)
