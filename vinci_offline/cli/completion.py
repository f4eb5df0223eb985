"""Values that the shell completes: names of agents, datasets, environments, settings and formats.

Typer calls a function here when the user presses TAB. It must be quick, and whatever goes wrong, it says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import typer

Values: TypeAlias = list[str | tuple[str, str]]
"""Values, each alone or with a line of help."""
Completer: TypeAlias = Callable[[typer.Context, str], Values]


def quiet(found: Callable[[Mapping[str, Any]], Iterable[str | tuple[str, str]]]) -> Completer:
    """Return a completer of what a function finds, given the values of the options before.

    Where nothing begins as the word does, the shell completes the names of files.
    """

    def complete(ctx: typer.Context, incomplete: str) -> Values:
        with suppress(Exception):
            pairs = ((each, "") if isinstance(each, str) else each for each in found(ctx.params))
            return [(value, told) for value, told in pairs if value.startswith(incomplete)]
        return []

    return complete


def choices(values: Iterable[str]) -> Completer:
    """Return a completer of a closed set of values."""
    return quiet(lambda _: values)


@quiet
def datasets(_: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Complete the shipped datasets, and the datasets in this folder."""
    from vinci_offline.data.shipped import shipped_datasets, summary_line

    here = [(path.name, "") for path in sorted(Path().glob("*.h5"))]
    return [*((name, summary_line(name)) for name in shipped_datasets()), *here]


@quiet
def agents(_: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Complete the agents."""
    from vinci_offline.agents.registry import agents as known

    return [(name, (cls.__doc__ or "").partition("\n")[0]) for name, cls in known().items()]


@quiet
def methods(_: Mapping[str, Any]) -> Iterable[str]:
    """Complete the methods that estimate a policy's value."""
    from vinci_offline.evaluation.methods import METHODS

    return METHODS


@quiet
def policies(_: Mapping[str, Any]) -> Iterable[str]:
    """Complete the policies that have names."""
    return ("random", "random-state", "gep", "sb3:")


@quiet
def _presets(given: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Complete the presets, of the agent if one is named."""
    from vinci_offline.presets.library import presets

    return [(name, each.source) for name, each in presets(given.get("agent")).items()]


@quiet
def _roles(given: Mapping[str, Any]) -> Iterable[str]:
    return list(_agent(given).roles)


@quiet
def _settings(given: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Complete the settings of the agent, each with its default."""
    from dataclasses import fields

    from vinci_offline.text import text_of

    declared = [each for each in fields(_agent(given)) if "doc" in each.metadata]
    return [(f"{each.name}={text_of(each.default)}", each.metadata["doc"]) for each in declared]


@quiet
def _schedules(given: Mapping[str, Any]) -> Iterable[str]:
    roles = [f"{role}:cosine" for role in _agent(given).roles]
    return ("constant", "cosine", *roles)


@quiet
def environments(_: Mapping[str, Any]) -> Iterable[str]:
    """Complete the environments that are registered with Gymnasium."""
    import gymnasium

    return sorted(gymnasium.registry)


@quiet
def _formats(_: Mapping[str, Any]) -> Iterable[str]:
    from vinci_offline.convert.registry import NAMES

    return NAMES


_COMPLETERS: Mapping[str, Completer] = {
    "agent": agents,
    "env": environments,
    "from_": _formats,
    "only": _roles,
    "noise": choices(("none", "gaussian:0.1", "ou:0.15:0.2", "epsilon:0.1", "sample")),
    "policy": policies,
    "reward": choices(("normalize", "scale:0.1", "shift:-1")),
    "preset": _presets,
    "schedule": _schedules,
    "to": _formats,
    "Learner.settings": _settings,
}
"""Completers of options, by the name of their field, or of their class and field."""


def completer_of(config: str, name: str, declared: Sequence[str]) -> Completer | None:
    """Return the completer of an option; None where the names of files are all that can be completed.

    Args:
        config: the name of its class.
        name: the name of its field.
        declared: its values, if they are a closed set.
    """
    if declared:
        return choices(declared)
    return _COMPLETERS.get(f"{config}.{name}", _COMPLETERS.get(name))


def _agent(given: Mapping[str, Any]) -> Any:
    from vinci_offline.agents.registry import agent_class
    from vinci_offline.training.config import DEFAULT_AGENT

    preset: str = given.get("preset") or ""
    return agent_class(given.get("agent") or preset.partition("/")[0] or DEFAULT_AGENT)
