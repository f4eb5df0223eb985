"""Outline of an agent: its networks, updates and hyperparameters, without loading Keras."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

from vinci_offline.agents.agent import Agent
from vinci_offline.agents.settings import annotation
from vinci_offline.agents.update import Target, Update
from vinci_offline.errors import UsageError

_KINDS = {
    "deterministic_actor": "observation → action",
    "gaussian_actor": "observation → Gaussian over actions",
    "squashed_gaussian_actor": "observation → squashed Gaussian over actions",
    "categorical_actor": "observation → logits of the actions",
    "critics": "observation, action → value",
    "discrete_critics": "observation → values of the actions",
    "quantile_critic": "observation → quantiles of the actions' returns",
    "value": "observation → value",
    "stored_actor": "observation → action, loaded from a file, not trained",
    "stored_policy": "observation → distribution or action, loaded from a file, not trained",
    "random_policy": "observation → uniform distribution, not trained",
    "noisy_actor": "observation, noise → action",
    "vector": "observation → numbers",
    "encoder": "observation → features",
    "scalar": "learned scalar",
}


class _Sketch:
    """Stand-in for a `NetworkBuilder`: it describes networks instead of building them."""

    bounded = bounds = None
    action_dim = 1

    def __init__(self, discrete: bool) -> None:
        self.discrete = discrete

    def __getattr__(self, call: str) -> Any:
        def describe(name: str, *_: Any, count: int = 1, **__: Any) -> str:
            kind = _KINDS.get(call, call)
            return f"{kind} (ensemble of {count})" if count > 1 else kind

        return describe


def outline(cls: type[Agent]) -> dict[str, Any]:
    """Describe an agent with its default settings, as JSON values.

    Returns:
        ``doc``, ``choose_when``, ``action_kinds``, ``networks`` (descriptions by name), ``updates``, ``roles`` (what
        each trains), ``actor_later`` (None of an agent without a critic or without an actor) and ``hyperparameters``.

    Raises:
        UsageError: a hyperparameter has no default.
    """
    try:
        agent = cls()
    except TypeError as error:
        raise UsageError(f"agent {cls.name!r}: give every hyperparameter a default ({error})") from error
    paragraphs = (inspect.getdoc(cls) or "").split("\n\n")
    return {
        "doc": "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
        "choose_when": cls.choose_when,
        "action_kinds": list(cls.action_kinds),
        "networks": _networks(agent),
        "updates": [_update(update) for update in agent.updates()],
        "roles": (roles := _roles(agent)),
        "actor_later": cls.actor_later if {"critic", "actor"} <= roles.keys() else None,
        "hyperparameters": {
            field.name: {
                "default": getattr(agent, field.name),
                "type": annotation(field.type),
                "doc": field.metadata.get("doc", ""),
            }
            for field in dataclasses.fields(cls)
        },
    }


def _networks(agent: Agent) -> dict[str, str]:
    networks: dict[str, str] = {}
    for kind in agent.action_kinds:
        sketch: Any = _Sketch(discrete=kind == "discrete")
        try:
            asked: dict[str, Any] = dict(agent.networks(sketch))
        except Exception:  # noqa: BLE001 - a user's agent may build its own models, which needs a real builder
            asked = {name: "the agent's own model" for update in agent.updates() for name in update.networks}
        for name, text in asked.items():
            networks[name] = str(text) if name not in networks else f"{networks[name]}, or {text}"
    return networks


def _roles(agent: Agent) -> dict[str, list[str]]:
    """Return the networks that each role trains, each once, in the order of the agent's roles."""
    found: dict[str, dict[str, None]] = {role: {} for role in agent.roles}
    for update in agent.updates():
        found.setdefault(update.role, {}).update(dict.fromkeys(update.networks))
    return {role: list(networks) for role, networks in found.items() if networks}


def _update(update: Update) -> dict[str, str]:
    runs = "every step" if update.every == 1 else f"every {update.every} steps"
    if len(update.action_kinds) == 1:
        runs += f", {update.action_kinds[0]} actions"
    return {
        "trains": ", ".join(update.networks),
        "role": update.role,
        "runs": runs,
        "target": "; ".join(_target(target, len(update.targets) > 1) for target in update.targets) or "none",
    }


def _target(target: Target, named: bool) -> str:
    how = "copied" if target.tau == 1 else f"follows at {target.tau:g}"
    how = f"{target.name} {how}" if named else how
    return f"{how} every {target.every} steps" if target.every > 1 else f"{how} every step"
