"""Values of a SPEC file as they are meant, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from vinci_offline.errors import UsageError
from vinci_offline.options import options_of
from vinci_offline.sweeps.values import Range, Tried
from vinci_offline.text import did_you_mean
from vinci_offline.training.config import TrainingConfig

SAMPLERS = ("random", "tpe")
EXAMPLES = {"agents": "agents: [td3bc, iql]", "datasets": "datasets: [data.h5]"}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def texts(key: str, value: Any) -> tuple[str, ...]:
    """Return names in a list, each once.

    Raises:
        UsageError: it is of another kind.
    """
    found = _listed(value)
    for each in found:
        if not isinstance(each, str | Path) or not str(each):
            raise UsageError(f"{key} must be names, not {each!r}: write for instance {EXAMPLES[key]}")
    if not found:
        raise UsageError(f"{key} is empty: write for instance {EXAMPLES[key]}")
    return tuple(dict.fromkeys(map(str, found)))


def sampler(value: Any) -> str:
    """Return the name of a sampler.

    Raises:
        UsageError: it is of another kind.
    """
    if value not in SAMPLERS:
        near = did_you_mean(str(value), SAMPLERS)
        raise UsageError(f"sampler must be {' or '.join(SAMPLERS)}, not {value!r}{near}")
    return str(value)


def seeds(value: Any) -> tuple[int, ...]:
    """Return the seeds: a list says which, a number how many.

    Raises:
        UsageError: it is of another kind.
    """
    if isinstance(value, list | tuple):
        found = tuple(_whole("seeds", each, low=0) for each in value)
        if not found:
            raise UsageError("seeds is empty: write how many, as seeds: 3, or which, as seeds: [0, 1, 2]")
        return tuple(dict.fromkeys(found))
    return tuple(range(_whole("seeds", value, low=1)))


def settings(agents: Sequence[str], given: Any) -> dict[str, dict[str, Tried]]:
    """Return the values to try by agent and setting: those of all agents, and those under an agent's name.

    Raises:
        UsageError: an agent has no such setting, or a value is not valid.
    """
    if not isinstance(given, Mapping):
        raise UsageError("set must hold settings, as set: {alpha: [1, 2.5]}")
    shared = {key: value for key, value in given.items() if key not in agents}
    for key, value in given.items():
        if key in agents and not isinstance(value, Mapping):
            raise UsageError(f"set: {key} is an agent: give its settings, as {{{key}: {{alpha: [1, 2.5]}}}}")
    found: dict[str, dict[str, Tried]] = {}
    for agent in agents:
        own = {**shared, **given.get(agent, {})}
        found[agent] = {str(key): _tried(agents, agent, str(key), value) for key, value in own.items()}
    return found


def _tried(agents: Sequence[str], agent: str, key: str, value: Any) -> Tried:
    from vinci_offline.agents.registry import agent_class
    from vinci_offline.agents.registry import agents as known

    cls = agent_class(agent)
    names = {each.name: each for each in fields(cls)}
    if key not in names:
        if isinstance(value, Mapping) and key in known():
            raise UsageError(f"set: {key} is none of the sweep's agents ({', '.join(agents)})")
        having = [other for other in agents if key in {each.name for each in fields(agent_class(other))}]
        alone = f"; give it to {having[0]} alone: set: {{{having[0]}: {{{key}: …}}}}" if having else ""
        raise UsageError(
            f"set: agent {agent!r} has no hyperparameter {key!r}"
            + (alone or did_you_mean(key, names) or f"; it has {', '.join(names)}")
        )
    if isinstance(value, Mapping):
        return Range.of(key, value)
    sizes = "tuple" in str(names[key].type)
    if isinstance(value, list | tuple) and not (sizes and all(isinstance(each, int) for each in value)):
        if not value:
            raise UsageError(f"set: {key} is empty: give its values")
        return tuple(value)
    return (value,)


def option_values(key: str, value: Any) -> tuple[Any, ...]:
    """Return the values of an option of `train`, each once.

    Raises:
        UsageError: it is of another kind.
    """
    kind = get_type_hints(TrainingConfig)[key]
    kinds = get_args(kind) or (kind,)
    found = tuple(_option(key, kinds, each) for each in _listed(value))
    if not found:
        raise UsageError(f"{key} is empty: give its value")
    return tuple(dict.fromkeys(found))


def _option(key: str, kinds: Sequence[Any], value: Any) -> Any:
    """Return the value of an option of `train` as it takes it. YAML reads ``1e5`` as a text and ``on`` as true."""
    if isinstance(value, bool) and "on" in options_of(TrainingConfig)[key].choices:
        return "on" if value else "off"
    if value is None or bool in kinds or (str in kinds and isinstance(value, str)):
        return value
    if int in kinds and float not in kinds:
        return _whole(key, value)
    if float in kinds:
        return _number(key, value)
    return value


def _whole(key: str, value: Any, low: int | None = None) -> int:
    number = _number(key, value, "a whole number")
    if not number.is_integer() or (low is not None and number < low):
        least = "" if low is None else f" from {low} on"
        raise UsageError(f"{key} must be a whole number{least}, not {value!r}")
    return int(number)


def _number(key: str, value: Any, kind: str = "a number") -> float:
    with suppress(TypeError, ValueError):
        if not isinstance(value, bool):
            return float(value)
    raise UsageError(f"{key} must be {kind}, not {value!r}")


def whole_or_none(key: str, value: Any, low: int) -> int | None:
    """Return a whole number from ``low`` on, or None.

    Raises:
        UsageError: it is of another kind.
    """
    return None if value is None else _whole(key, value, low)


def text_or_none(key: str, value: Any) -> str | None:
    """Return a name, or None.

    Raises:
        UsageError: it is of another kind.
    """
    if value is not None and not isinstance(value, str | Path):
        raise UsageError(f"{key} must be a name, not {value!r}")
    return None if value is None else str(value)


def mapping_or_none(key: str, value: Any) -> Mapping[str, Any] | None:
    """Return arguments by name, or None.

    Raises:
        UsageError: it is of another kind.
    """
    if value is not None and not isinstance(value, Mapping):
        raise UsageError(f"{key} must hold arguments, as {{g: 9.81}}, not {value!r}")
    return value
