"""Options: fields of a config dataclass that declare their default, help, limits and choices once.

A library function checks its values with `check_options`; the command line builds its options from the same fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vinci_offline.errors import UsageError
from vinci_offline.text import did_you_mean


@dataclass(frozen=True)
class Option:
    """Description of one config field.

    Attributes:
        help: one sentence for ``--help``.
        panel: heading under which ``--help`` lists it; None for the general one.
        metavar: placeholder of the value in ``--help``; by default the choices, or the field's type.
        flags: spellings on the command line; by default ``--`` and the field's name.
        choices: the valid texts; empty where any text may do.
        low: least valid number.
        high: greatest valid number.
        parse: makes the value from the text on the command line; None takes it as it is.
        repeat: the option may be given several times.
    """

    help: str
    panel: str | None = None
    metavar: str | None = None
    flags: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    parse: Callable[[Any], Any] | None = None
    repeat: bool = False


def option(default: Any, help: str, **details: Any) -> Any:  # noqa: A002  # the field's name
    """Declare a field of a config dataclass.

    Args:
        default: the value where none is given.
        help: one sentence for ``--help``.
        **details: the other attributes of `Option`.
    """
    metadata = {"option": Option(help, **details)}
    if type(default).__hash__ is None:  # a slice: dataclasses take no unhashable default
        return dataclasses.field(default_factory=lambda: default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def options_of(config: Any) -> dict[str, Option]:
    """Return the options of a config dataclass by the names of their fields."""
    fields = dataclasses.fields(config)
    return {field.name: field.metadata["option"] for field in fields if "option" in field.metadata}


def check_options(config: Any) -> None:
    """Check every value against the limits and choices of its option.

    Raises:
        UsageError: a value is not valid; the message names the option.
    """
    for name, declared in options_of(config).items():
        value = getattr(config, name)
        if value is not None:
            _check(flag_of(name, declared), declared, value)


def flag_of(name: str, declared: Option) -> str:
    """Return the long spelling of an option on the command line."""
    return declared.flags[-1] if declared.flags else f"--{name.replace('_', '-')}"


def _check(flag: str, declared: Option, value: Any) -> None:
    low, high = declared.low, declared.high
    if declared.choices and value not in declared.choices:
        *others, last = declared.choices
        near = did_you_mean(value, declared.choices) if isinstance(value, str) else ""
        raise UsageError(f"{flag} must be {', '.join(others)} or {last}, not {value!r}{near}")
    if low is not None and high is not None and not low <= value <= high:
        raise UsageError(f"{flag} must be from {low:,} to {high:,}, not {value:,}")
    if low is not None and not low <= value:
        raise UsageError(f"{flag} must be at least {low:,}, not {value:,}")
    if high is not None and not value <= high:
        raise UsageError(f"{flag} must be at most {high:,}, not {value:,}")
