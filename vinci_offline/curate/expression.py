"""Conditions as text over named arrays: a small part of Python's expressions, parsed and never executed."""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from vinci_offline.curate.comparison import among, calculated, compared
from vinci_offline.errors import UsageError
from vinci_offline.types import Array

_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_COMPARE: Mapping[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: Mapping[str, Callable[[Any], Any]] = {"abs": abs, "isfinite": np.isfinite}
_LONGEST = 10_000
_DEEPEST = 100
"""A sum of 100 terms, or brackets in brackets: Python's own limit is at about 300."""
_SHOWN = 200
_KINDS = (ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Constant, ast.Call)
_RETURN = "return_"
"""The name that replaces ``return``, which is a keyword of Python."""


class Expression:
    """A condition such as ``reward > 0 and abs(action_0) < 0.5`` or ``return >= 100 or policy in (1, 2)``.

    It may hold names, numbers, ``True`` and ``False``; ``+ - * / // %``, comparisons and their chains, ``in (…)``,
    ``and``, ``or``, ``not``, ``abs(…)`` and ``isfinite(…)``. ``episode.NAME`` is a name as well. A list of values
    stands after ``in`` and nowhere else. Numbers are calculated as in Python, and compared in the precision of the
    column: see `vinci_offline.curate.comparison`.

    Attributes:
        text: the condition as given.
        names: the names in the condition.

    Args:
        text: the condition.

    Raises:
        UsageError: the text is no condition; the message says where.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._shown = repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
        if len(text) > _LONGEST:
            raise UsageError(f"the condition has {len(text):,} characters, more than {_LONGEST:,}")
        try:
            with warnings.catch_warnings(action="ignore"):  # of the parser, as on 1if
                self._tree = ast.parse(re.sub(r"\breturn\b", _RETURN, text).strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            place = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
            raise UsageError(
                f"the condition {self._shown} cannot be read{place}: write it as 'reward > 0 and step < 50'"
            ) from None
        self.names: set[str] = set()
        self._check(self._tree)

    def evaluate(self, lookup: Callable[[str], Array]) -> Array:
        """Compute the condition over arrays.

        Args:
            lookup: gives the array of a name.

        Returns:
            A boolean array.

        Raises:
            UsageError: the result is not a truth value for each entry.
        """
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            try:
                found = np.asarray(self._value(self._tree, lookup))
            except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
                reason = " ".join(str(error).split())[:_SHOWN]
                raise UsageError(f"the condition {self._shown} cannot be computed: {reason}") from error
        if found.dtype.kind != "b":
            raise UsageError(
                f"the condition {self._shown} is a number: compare it with something, as in reward > 0"
            )
        return found

    def _check(self, node: ast.expr, depth: int = 1) -> None:
        """Gather names, and refuse anything that is not part of the language."""
        if depth > _DEEPEST:
            raise UsageError(f"the condition {self._shown} is nested more than {_DEEPEST} deep: shorten it")
        if (name := _name(node)) is not None:
            self.names.add(name)
            return
        sound = isinstance(node, _KINDS)
        if isinstance(node, ast.Constant):
            sound = isinstance(node.value, bool | int | float)
        elif isinstance(node, ast.BinOp):
            sound = type(node.op) in _BINARY
        elif isinstance(node, ast.UnaryOp):
            sound = isinstance(node.op, ast.Not | ast.USub | ast.UAdd)
        elif isinstance(node, ast.Compare):
            sound = all(type(each) in _COMPARE or isinstance(each, ast.In | ast.NotIn) for each in node.ops)
        elif isinstance(node, ast.Call):
            sound = getattr(node.func, "id", "") in _FUNCTIONS and len(node.args) == 1 and not node.keywords
        if not sound:
            what = "has a list" if isinstance(node, ast.Tuple | ast.List) else "is not understood"
            raise UsageError(
                f"the condition {self._shown} {what} at character {node.col_offset + 1}: "
                "use names, numbers, + - * / // %, comparisons, in (...), and, or, not, abs() and isfinite()"
            )
        for child in _parts(node):
            self._check(child, depth + 1)

    def _value(self, node: ast.expr, lookup: Callable[[str], Array]) -> Any:
        if (name := _name(node)) is not None:
            return lookup(name)
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Tuple | ast.List):
            return [self._value(each, lookup) for each in node.elts]
        if isinstance(node, ast.Call):
            return _FUNCTIONS[node.func.id](self._value(node.args[0], lookup))  # type: ignore[attr-defined]
        if isinstance(node, ast.BinOp):
            left, right = self._value(node.left, lookup), self._value(node.right, lookup)
            return calculated(_BINARY[type(node.op)], left, right)
        if isinstance(node, ast.UnaryOp):
            value = self._value(node.operand, lookup)
            if isinstance(node.op, ast.Not):
                return ~_truth(value)
            return calculated(operator.sub, 0, value) if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.BoolOp):
            combine = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return combine.reduce(
                np.broadcast_arrays(*(_truth(self._value(each, lookup)) for each in node.values))
            )
        assert isinstance(node, ast.Compare)
        return self._comparison(node, lookup)

    def _comparison(self, node: ast.Compare, lookup: Callable[[str], Array]) -> Array:
        values = [self._value(each, lookup) for each in (node.left, *node.comparators)]
        found: Any = True
        for kind, left, right in zip(node.ops, values, values[1:], strict=False):
            if isinstance(kind, ast.In | ast.NotIn):
                held = _held(left, right)
                found = found & (held if isinstance(kind, ast.In) else ~held)
            else:
                found = found & np.asarray(compared(_COMPARE[type(kind)], left, right))
        return np.asarray(found)


def _held(left: Any, right: Any) -> Array:
    """Return whether the left side is among the values on the right, a list or one value."""
    every = right if isinstance(right, list) else [right]
    numbers = [each for each in every if not isinstance(each, np.ndarray)]
    parts = [np.asarray(compared(operator.eq, left, each)) for each in every if isinstance(each, np.ndarray)]
    if isinstance(left, np.ndarray):
        parts.append(among(left, numbers))
    else:
        parts.append(np.asarray(left in numbers))
    return np.asarray(np.logical_or.reduce(np.broadcast_arrays(*parts)))


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    """Yield the expressions that a node is made of; of a list after ``in``, its values."""
    if isinstance(node, ast.Call):
        yield from node.args
    elif isinstance(node, ast.Compare):
        yield node.left
        *inner, last = node.comparators
        yield from inner  # each is compared with the next one too, which a list cannot be
        if isinstance(node.ops[-1], ast.In | ast.NotIn) and isinstance(last, ast.Tuple | ast.List):
            yield from last.elts
        else:
            yield last
    else:
        yield from (child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))


def _name(node: ast.expr) -> str | None:
    """Return the name that a node stands for, ``episode.NAME`` included; None for any other node."""
    if isinstance(node, ast.Name):
        return "return" if node.id == _RETURN else node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "episode":
        return f"episode.{'return' if node.attr == _RETURN else node.attr}"
    return None


def _truth(value: Any) -> Array:
    values = np.asarray(value)
    if values.dtype.kind != "b":
        raise TypeError("a number stands where a truth value is needed")
    return values
