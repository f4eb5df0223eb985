"""Presets: what a paper used for a task, read from the TOML files beside this one.

A file has the name of its agent:

    source = "where the values were read"

    [all]                       # every preset of this file has these
    steps = 1_000_000           # an option of `train`
    set.tau = 0.005             # a hyperparameter of the agent

    [presets.hopper-medium]     # AGENT/hopper-medium
    set.alpha = 2.5
    source = "of this preset alone, if it is another"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vinci_offline.errors import UsageError
from vinci_offline.text import did_you_mean

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Preset:
    """Settings of an agent and options of a run that were published for a task.

    Attributes:
        name: ``AGENT/TASK``.
        agent: the agent's name.
        settings: hyperparameters of the agent.
        options: options of `train`, by their names in Python.
        source: where the values were read.
    """

    name: str
    agent: str
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    source: str


def presets(agent: str | None = None) -> dict[str, Preset]:
    """Return presets by name, in the order of their files.

    Args:
        agent: return those of this agent; None returns all.
    """
    files = sorted(_FOLDER.glob("*.toml"))
    return {each.name: each for file in files if agent in (None, file.stem) for each in _read(file)}


def preset_named(name: str) -> Preset:
    """Return a preset.

    Raises:
        UsageError: there is none of this name.
    """
    known = presets()
    if name in known:
        return known[name]
    agents = list(dict.fromkeys(each.agent for each in known.values()))
    agent = name.partition("/")[0]
    if agent in agents:
        told = f"`vinci-offline agents {agent}` lists those of {agent}"
    else:
        told = f"presets are named AGENT/TASK, of the agents {', '.join(agents)}"
    raise UsageError(f"--preset: {name!r} is unknown; {told}{did_you_mean(name, known)}")


def _read(file: Path) -> list[Preset]:
    content = tomllib.loads(file.read_text(encoding="utf-8"))
    shared = content.get("all", {})
    return [
        Preset(
            name=f"{file.stem}/{task}",
            agent=file.stem,
            settings={**shared.get("set", {}), **own.get("set", {})},
            options={**_options(shared), **_options(own)},
            source=own.get("source", content["source"]),
        )
        for task, own in content["presets"].items()
    ]


def _options(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in ("set", "source")}
