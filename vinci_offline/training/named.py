"""What the user named for a run, kept as text in its ``config.json``: a command that trains it again has it.

Nobody imports what such a text names: a run directory may come from a stranger.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vinci_offline.agents.agent import Agent

OBJECTS = "objects"
"""Names of arguments that were objects of Python, and that no command can write."""


def named(agent: str | Agent, env: Any, env_kwargs: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return what `train` was given and a run does not know otherwise, as JSON values.

    Args:
        agent: a name, ``file.py:Class``, or an `Agent`.
        env: the environment of evaluations as it was given; None for the dataset's.
        env_kwargs: its keyword arguments as they were given.

    Returns:
        ``agent`` if it is no agent of the package, ``env`` and ``env_kwargs`` if they were given, and `OBJECTS`.
    """
    found: dict[str, Any] = {}
    objects = []
    if isinstance(agent, str):
        if ":" in agent:
            found["agent"] = agent
    elif not type(agent).__module__.startswith("vinci_offline."):
        objects.append("agent")
    if isinstance(env, str):
        found["env"] = env
    elif env is not None:
        objects.append("env")
    if env_kwargs is not None:
        try:
            found["env_kwargs"] = json.loads(json.dumps(dict(env_kwargs)))
        except (TypeError, ValueError):
            objects.append("env_kwargs")
    return {**found, **({OBJECTS: objects} if objects else {})}
