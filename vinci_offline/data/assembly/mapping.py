"""The columns of a table that become columns of a dataset, by name or by the user's mapping."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from vinci_offline.data.assembly.aliases import DONE, recognised, role_of, root_of
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import did_you_mean, printable

PROPENSITY = "propensity"
"""The target for the probability of the action under the behaviour policy; never a column's own name."""

_SINGLE = {"reward", "terminal", "timeout", DONE, "episode", "step", PROPENSITY}
_OWN = re.compile(r"(observation|action|next_observation)(_\d+|/.*)?|reward|terminal|timeout|episode|step")
_VECTORS = {"observation", "action", "next_observation"}
_LISTED = 30


@dataclass(frozen=True)
class Choice:
    """The chosen columns of a table.

    Attributes:
        sources: the table's columns by the names that `Dataset.to_pandas` would give them.
        left_out: the table's other columns.
        known: the columns that were chosen by the names that others use, as ``{"observation": "obs"}``.
        unclear: the columns that could all be meant, by the name in a frame; none of them was chosen.
    """

    sources: Mapping[str, str]
    left_out: tuple[str, ...] = ()
    known: Mapping[str, str] = field(default_factory=dict)
    unclear: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def notes(self) -> Iterator[str]:
        """Yield what the user should know of the choice, a line each."""
        if self.known:
            shown = {(root_of(target), root_of(name)): None for target, name in self.known.items()}
            told = ", ".join(f"{printable(name)} is the {target}" for target, name in shown)
            yield f"by their names: {told} (--map says otherwise)"
        for target, names in self.unclear.items():
            shown_names = " and ".join(map(printable, names))
            yield f"{shown_names} could both be the {target}: say which with --map {target}={printable(names[0])}"
        if self.left_out:
            yield f"left out, since nothing is mapped to them: {listed(self.left_out)}"


def choose(names: Sequence[str], columns: Mapping[str, str], where: str) -> Choice:
    """Choose the columns of a table by their names in a frame.

    What the mapping names is taken. So is a column that is called as in a frame, or as others call it (`aliases`), if
    the mapping has none for its place. Without a mapping all others are infos; with one they are left out.

    Args:
        names: the table's columns.
        columns: a column, or several by commas and one ``*`` each, by frame name: ``{"reward": "click"}``,
            ``{"observation": "age,user_*"}``. Where there is no column of a name, it stands for ``NAME_0 …``, or for
            the keys of a Dict, ``NAME/KEY``.
        where: the table, for messages.

    Raises:
        DatasetError: a column is not there, or comes twice.
        UsageError: the mapping gives a single number several columns.
    """
    if len(set(names)) < len(names):
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        raise DatasetError(f"{where} has several columns named {', '.join(map(printable, twice))}")
    sources: dict[str, str] = {}
    for target, pattern in columns.items():
        sources |= _mapped(target, pattern, names, where)
    mapped, used = {root_of(target) for target in sources}, set(sources.values())
    own = [
        name for name in names if _OWN.fullmatch(name) and name not in used and root_of(name) not in mapped
    ]
    sources |= {name: name for name in own}
    rest = [name for name in names if name and name not in sources.values()]
    known, unclear = recognised(rest, {root_of(target) for target in sources})
    sources |= known
    others = [name for name in names if name not in sources.values()]
    if not columns:
        sources |= {f"infos/{name}" if name in {PROPENSITY, DONE} else name: name for name in others if name}
        others = [name for name in others if not name]
    return Choice(sources, tuple(others), known, unclear)


def _mapped(target: str, pattern: str, names: Sequence[str], where: str) -> dict[str, str]:
    """Return the columns that a mapping chooses for one target, by their names in a frame."""
    if pattern not in names and target in _VECTORS and "," not in pattern and "*" not in pattern:
        keys = [name for name in names if name.startswith(f"{pattern}/")]
        if keys and not any(_entries(pattern).fullmatch(name) for name in names):
            return {target + name[len(pattern) :]: name for name in keys}
    found = _matching(pattern, names, where)
    if len(found) > 1 and (target in _SINGLE or re.fullmatch(r".*_\d+", target)):
        raise UsageError(f"{target} is one number a row, and {pattern} names {len(found)} columns")
    several = len(found) > 1 or target in {"observation", "next_observation"}
    return {f"{target}_{i}": name for i, name in enumerate(found)} if several else {target: found[0]}


def wanted(columns: Mapping[str, str]) -> Callable[[str], bool]:
    """Return a test of names: whether `choose` may take such a column, or another entry of its vector."""
    parts = [part.strip() for text in columns.values() for part in (text, *text.split(","))]
    parts += [part[: match.start()] for part in parts if (match := re.search(r"_\d+$", part))]
    patterns = [make(part) for part in parts for make in (_pattern, _entries)]

    def is_wanted(name: str) -> bool:
        return (
            not columns
            or _OWN.fullmatch(name) is not None
            or role_of(name) is not None
            or any(pattern.fullmatch(name) for pattern in patterns)
        )

    return is_wanted


def listed(names: Collection[str]) -> str:
    """Return the names of a table, as many as a message can hold."""
    shown = ", ".join(printable(name) or "one without a name" for name in list(names)[:_LISTED])
    return shown if len(names) <= _LISTED else f"{shown} and {len(names) - _LISTED} more"


def _matching(text: str, names: Sequence[str], where: str) -> list[str]:
    if text in names:
        return [text]
    found = []
    for part in text.split(","):
        pattern = _pattern(part.strip())
        matches = {name: match for name in names if (match := pattern.fullmatch(name))}
        if not matches:
            entry = _entries(part.strip())
            matches = {name: match for name in names if (match := entry.fullmatch(name))}
        if not matches:
            raise DatasetError(
                f"{where} has no column {printable(part.strip())}; it has {listed(names)}"
                f"{did_you_mean(part.strip(), names)}"
            )
        if all(match.groups() and match[1].isdecimal() for match in matches.values()):
            matches = dict(sorted(matches.items(), key=lambda item: int(item[1][1])))
        found += [name for name in matches if name not in found]
    return found


def _pattern(text: str) -> re.Pattern[str]:
    """Return a pattern for a name in which the first ``*`` stands for anything."""
    head, star, tail = text.partition("*")
    return re.compile(re.escape(head) + ("(.*)" if star else "") + re.escape(tail), re.DOTALL)


def _entries(text: str) -> re.Pattern[str]:
    """Return a pattern for the entries of the vector of that name."""
    return re.compile(re.escape(text) + r"_(\d+)")
