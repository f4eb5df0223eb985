"""Hyperparameters as dataclass fields: documentation, limits, and parsing."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from vinci_offline.errors import UsageError
from vinci_offline.text import did_you_mean


def setting(default: Any, doc: str, *, low: float = -math.inf, high: float = math.inf) -> Any:
    """Declare a hyperparameter as a dataclass field.

    Args:
        default: default value.
        doc: one line that describes it and cites its source.
        low: least number allowed.
        high: greatest number allowed.
    """
    return dataclasses.field(default=default, metadata={"doc": doc, "low": low, "high": high})


def check_limits(agent: Any) -> None:
    """Check that every hyperparameter of an agent is within its limits.

    Raises:
        UsageError: a hyperparameter is outside its limits.
    """
    for field in dataclasses.fields(agent):
        low, high = field.metadata.get("low", -math.inf), field.metadata.get("high", math.inf)
        value = getattr(agent, field.name)
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(low <= number <= high for number in numbers if isinstance(number, int | float)):
            raise UsageError(
                f"agent {agent.name!r}: {field.name}={value} is not valid: it takes {_limits(low, high)}"
            )


def parse_settings(cls: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Parse hyperparameters given as text (``--set key=value``) or as JSON values.

    Args:
        cls: the agent's class.
        settings: values by name.

    Raises:
        UsageError: a name is unknown, or a value does not fit.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(set(settings) - set(fields))
    if unknown:
        raise UsageError(
            f"agent {cls.name!r} has no hyperparameter {', '.join(map(repr, unknown))}; "
            f"it has: {', '.join(fields)}{did_you_mean(unknown[0], fields)}"
        )
    return {key: _parse(cls.name, key, fields[key].type, value) for key, value in settings.items()}


def annotation(kind: Any) -> str:
    """Return the annotation of a field as written in the source."""
    return kind.__name__ if isinstance(kind, type) else str(kind)


def _limits(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return "a number"
    if math.isinf(high):
        return f"numbers from {low:g} on"
    return f"numbers up to {high:g}" if math.isinf(low) else f"numbers from {low:g} to {high:g}"


def _parse(agent: str, key: str, kind: Any, value: Any) -> Any:
    """Parse one hyperparameter by its annotation."""
    parsers: dict[str, Callable[[Any], Any]] = {
        "bool": _parse_bool,
        "int": _parse_int,
        "float": float,
        "str": str,
        "tuple[int, ...]": _parse_sizes,
    }
    text = annotation(kind)
    optional = text.endswith(" | None")
    if optional and (value is None or str(value).lower() == "none"):
        return None
    parser = parsers.get(text.removesuffix(" | None"))
    if parser is None:
        raise UsageError(
            f"agent {agent!r}: {key} has the annotation {text}, which cannot be set: use "
            f"{', '.join(parsers)}, each with or without | None"
        )
    try:
        return parser(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"agent {agent!r}: {key}={value!r} is not valid: it takes {_kind(text)}") from error


def _kind(text: str) -> str:
    """Describe an annotation in words."""
    words = {
        "bool": "true or false",
        "int": "a whole number",
        "float": "a number",
        "tuple[int, ...]": "whole numbers, as 256,256",
    }
    return " or ".join(words.get(part, part.lower()) for part in text.split(" | "))


def _parse_bool(value: Any) -> bool:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    word = str(value).lower()
    if word not in words:
        raise ValueError(word)
    return words[word]


def _parse_int(value: Any) -> int:
    number = float(value)
    if not number.is_integer():
        raise ValueError(value)
    return int(number)


def _parse_sizes(value: Any) -> tuple[int, ...]:
    parts = value.strip("()[] ").replace("x", ",").split(",") if isinstance(value, str) else value
    return tuple(_parse_int(part) for part in parts if str(part).strip())
