"""Calls from Python: their arguments are checked, and their messages spell arguments as Python does."""

from __future__ import annotations

import builtins
import inspect
import os
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from numbers import Integral, Real
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, ParamSpec, TypeGuard, TypeVar

from vinci_offline.errors import UsageError, VinciError
from vinci_offline.spelling import in_python
from vinci_offline.text import did_you_mean, one_line

P = ParamSpec("P")
R = TypeVar("R")

_COMMAND_LINE = ContextVar("command line", default=False)
_LONGEST = 60
_LOOKED_AT = 100
_KINDS: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
    os.PathLike: "a path",
    Mapping: "a dictionary",
    Sequence: "a list",
    Iterable: "a list",
    Callable: "a function",
    NoneType: "None",
}


@contextmanager
def command_line() -> Iterator[None]:
    """Keep the command line's spellings in messages."""
    token = _COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _COMMAND_LINE.reset(token)


def in_command_line() -> bool:
    """Return True inside `command_line`."""
    return _COMMAND_LINE.get()


def from_python(function: Callable[P, R]) -> Callable[P, R]:
    """Make a public function check the names and types of its arguments, and speak Python in its errors."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        with speaking_python(function):
            check_call(function, args, kwargs)
            return function(*args, **kwargs)

    return call


@contextmanager
def speaking_python(called: Callable[..., Any]) -> Iterator[None]:
    """Turn messages and notes of errors into Python's spelling, for the parameters of a function or a class."""
    try:
        yield
    except BaseException as error:
        if not _COMMAND_LINE.get():
            if isinstance(error, VinciError):
                error.args = (in_python(str(error), parameters(called)),)
            if notes := getattr(error, "__notes__", None):
                error.__notes__ = [in_python(note, parameters(called)) for note in notes]
        raise


def told(notes: Iterable[str], called: Callable[..., Any]) -> list[str]:
    """Return what a result says of itself in the caller's spelling: the command line's, or Python's.

    Args:
        notes: lines that may hold the command line's spellings.
        called: the function or class whose parameters are meant.
    """
    return [note if _COMMAND_LINE.get() else in_python(note, parameters(called)) for note in notes]


@cache
def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the types of a function's parameters; Any where a type checker alone knows it."""
    found = dict(function.__annotations__)
    module = vars(inspect.getmodule(function))
    found.pop("return", None)
    types = {name: _type(annotation, module) for name, annotation in found.items()}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:  # **options: Unpack[Options]
            (options,) = typing.get_args(types.pop(name))
            types |= typing.get_type_hints(options)
    return types


def _type(annotation: str, module: dict[str, Any]) -> Any:
    try:
        alone = SimpleNamespace(__annotations__={"it": annotation})
        return typing.get_type_hints(alone, module, _Names(module))["it"]
    except (AttributeError, TypeError):
        return Any


class _Names(dict[str, Any]):
    """Names of a module. Those that it imports for type checkers alone stand for any type."""

    def __missing__(self, name: str) -> Any:
        return getattr(builtins, name, Any)


def check_call(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Check the arguments of a call against the function's signature.

    Raises:
        UsageError: one is unknown, missing, or of another type.
    """
    types, signature = parameters(function), inspect.signature(function)
    for key in kwargs:
        if key not in types:
            raise UsageError(f"{function.__name__} has no argument {key!r}{_advice(key, types)}")
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError as error:
        ordered = [
            key
            for key, each in signature.parameters.items()
            if key in types and each.kind is each.POSITIONAL_OR_KEYWORD
        ]
        told = f"{function.__name__}: {error}: it takes {', '.join(ordered)} in this order"
        raise UsageError(f"{told}, all others by their names") from None
    for key, value in {**given, **kwargs}.items():
        default = (
            signature.parameters[key].default if key in signature.parameters else inspect.Parameter.empty
        )
        if key in types and value is not default:
            _check_type(key, types[key], value)


def _advice(name: str, known: Iterable[str]) -> str:
    if near := did_you_mean(name, known):
        return near
    shown = ", ".join(each for each in known if each != "cls")
    settings = f"; an agent's settings are settings={{{name!r}: …}}" if "agent" in known else ""
    return f": it takes {shown}{settings}"


def _check_type(name: str, kind: Any, value: Any) -> None:
    """Refuse a value of another type; the message says how to write it where that is known.

    Raises:
        UsageError: it is of another type.
    """
    if _is(value, kind):
        return
    shown = one_line(repr(value))
    if len(shown) > _LONGEST or "<" in shown:
        shown = f"the class {value.__name__}" if isinstance(value, type) else _a(type(value).__name__)
        if isinstance(value, list | tuple):
            shown += f" of {', '.join(dict.fromkeys(type(each).__name__ for each in value))}"
    raise UsageError(f"{name} must be {_described(kind)}, not {shown}{_correction(value, kind)}")


def _correction(value: Any, kind: Any) -> str:
    """Return how a value of another type is likely to be meant, for the end of a message."""
    name = type(value).__name__
    if isinstance(value, type):
        return f": make one, {value.__name__}(…)" if _is_class(value, kind) else ""
    if name == "DataFrame":
        return ": make a dataset of it, Dataset.from_pandas(frame)"
    if hasattr(value, "run") and _is(value.run, kind):
        return f": give the run directory of this {name}, .run"
    if isinstance(value, float) and value.is_integer() and _is(int(value), kind):
        return f": write {int(value)}"
    if isinstance(value, str) and _is_number(value) and _is(float(value), kind | float):
        return ": write it without quotes"
    choices = [each for part in typing.get_args(kind) for each in typing.get_args(part) or (part,)]
    if isinstance(value, str) and (near := did_you_mean(value, filter(_is_text, choices))):
        return near
    return ": write it in a list" if _is([value], kind) else ""


def _is(value: Any, kind: Any) -> bool:
    """Return whether a value is of a type; True where this cannot be told."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, UnionType):
        return any(_is(value, each) for each in inner)
    if origin is typing.Literal:
        return value in inner
    kind = origin or kind
    if kind is Callable:
        return callable(value) and not isinstance(value, type)
    if kind is Any or not isinstance(kind, type):
        return True
    if kind is bool:
        return type(value).__name__ in ("bool", "bool_")  # NumPy's too
    if kind in (int, float):
        return isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
    if kind in (Sequence, Iterable):
        if isinstance(value, str | bytes | Mapping) or hasattr(value, "columns"):
            return False
        if not isinstance(value, list | tuple):
            return hasattr(value, "__iter__")
        return all(_is(each, inner[0]) for each in value[:_LOOKED_AT]) if inner else True
    return isinstance(value, kind)


def _is_class(value: type, kind: Any) -> bool:
    """Return whether instances of a class are of a type."""
    inner = typing.get_args(kind) or (kind,)
    return any(isinstance(each, type) and issubclass(value, each) for each in inner)


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"-?\d+(\.\d*)?(e-?\d+)?", text) is not None


def _described(kind: Any) -> str:
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, UnionType):
        *others, last = dict.fromkeys(map(_described, inner))
        return f"{', '.join(others)} or {last}" if others else last
    if origin is typing.Literal:
        return f"{', '.join(map(repr, inner[:-1]))} or {inner[-1]!r}"
    kind = origin or kind
    name = getattr(kind, "__name__", str(kind))
    if kind in (Sequence, Iterable) and isinstance(inner[0], type) and inner[0] is not Any:
        return f"a list of {'texts' if inner[0] is str else inner[0].__name__}"
    return _KINDS.get(kind) or _a(name)


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"
