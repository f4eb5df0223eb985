"""Messages in Python's spelling.

Messages are written once, with the command line's spellings (``--env ENV``). `in_python` turns them into Python's
(``env=ENV``) for a function that a user called from Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

# Commands are left as they are.
_COMMANDS = re.compile(r"(vinci-offline \w[^`;,]*)")
_NAMES = {"set": "settings", "map": "columns", "o": "output", "to": "kind", "from": "kind"}
_OTHERS = {"env": ("environment", "spec"), "output": ("path",)}
_ENTRY = re.compile(r"--(set|map) (?!(?:says|out|or|if|as)\b)(\w[\w.]*)(?:=(\S+?)(?=[,;:.)]*(?:\s|$)))?")
# An option, and its value: quoted, a number, a placeholder, a path or ROLE:VALUE, or a word that messages recommend.
_OPTION = re.compile(
    r"(?<![\w-])-(o|-[a-z][a-z-]*[a-z])\b(?!-)"
    r"(?: ('[^']*'|-?\d[\w.]*|[A-Z]\w*(?:\.\w+)?(?:-v\d+)?|[^\s:,;]+[:/.][^\s;]*[^\s:,;.)]|[^\s:,;]+(?=: )"
    r"|(?:critic|actor|behaviour|terminal|timeout|limit|ray|random|fit)(?![\w-])))?"
)
_PLACEHOLDER = re.compile(r"[A-Z_]+(\.\w+)?|-?\d[\w.]*|'.*'")


def in_python(message: str, known: Mapping[str, Any]) -> str:
    """Return a message with Python's spelling of arguments in place of the command line's.

    Args:
        message: it may hold ``--env ENV``, ``--resume``, ``--set KEY=VALUE``, ``--map KEY=VALUE``.
        known: the types of the function's parameters by name; other options stay as they are.
    """

    def entry(match: re.Match[str]) -> str:
        option, key, value = match.groups()
        if (name := _parameter(option, known)) is None:
            return match[0]
        return f"{name}={{{key!r}: {'…' if value is None else _shown(value)}}}"

    def flag(match: re.Match[str]) -> str:
        option, value = match.groups()
        if (name := _parameter(option.removeprefix("-"), known)) is None:
            return match[0]
        if value is not None:
            return f"{name}={_shown(value)}"
        if message.startswith((":", " must"), match.end()):
            return name
        return f"{name}=True" if known[name] is bool else f"{name}="

    parts = _COMMANDS.split(message)
    for number in range(0, len(parts), 2):
        message = _ENTRY.sub(entry, parts[number])
        parts[number] = _OPTION.sub(flag, message)
    return "".join(parts)


def _parameter(option: str, known: Iterable[str]) -> str | None:
    """Return the parameter that an option stands for; None if the function has no such parameter."""
    name = _NAMES.get(option, option.replace("-", "_"))
    names = (name, *_OTHERS.get(name, ()))
    return next((each for each in names if each in known), None)


def _shown(value: str) -> str:
    """Return a value as Python writes it; a placeholder stays as it is."""
    if value.startswith("'{"):  # a dictionary, in JSON
        return value[1:-1]
    return value if _PLACEHOLDER.fullmatch(value) else repr(value)
