"""Episodes that lie in groups or arrays of their own: ``demo_0/obs``, ``episode_12/obs``, ``actions_0``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vinci_offline.data.assembly.aliases import role_of, root_of
from vinci_offline.data.assembly.mapping import choose
from vinci_offline.data.columns import Column
from vinci_offline.errors import DatasetError, UsageError
from vinci_offline.text import printable

EPISODE = "{episode}"
"""Stands in a mapping for what tells episodes apart: ``demo_{episode}/obs``."""

_NUMBERED_GROUP = re.compile(r"(.*?)\d+")
_NUMBERED_ARRAY = re.compile(r"(.+?)[_\-.]?(\d+)")


@dataclass
class Groups:
    """The arrays of separate episodes.

    Attributes:
        title: how the episodes are named, for messages: ``demo_{episode}/``.
        episodes: the path of each array by its name within the episode, by episode.
    """

    title: str
    episodes: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of all arrays within an episode."""
        return list(dict.fromkeys(name for each in self.episodes.values() for name in each))

    def ordered(self) -> list[str]:
        """Return the episodes in the order of their numbers; those without a number come last."""
        return sorted(
            self.episodes,
            key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label),
        )


def said_groups(
    paths: Sequence[str], mapping: Mapping[str, str], where: str
) -> tuple[Groups, dict[str, str]]:
    """Return the episodes that ``{episode}`` in a mapping tells, and the mapping of the names within an episode.

    Raises:
        DatasetError: there is no such array.
        UsageError: the mapping tells of several kinds of groups.
    """
    parts = [part.strip() for text in mapping.values() for part in text.split(",")]
    splits = {_split(part) for part in parts if EPISODE in part}
    if len({(head, separator) for head, separator, _ in splits}) > 1:
        shown = " and ".join(sorted(part for part in parts if EPISODE in part)[:2])
        raise UsageError(f"{shown}: write {EPISODE} in one place, in groups or arrays of one kind")
    head, separator, _ = next(iter(splits))
    if separator is None:
        groups = _by_array(paths)
    else:
        label = "[^/]+" if separator == "/" else r"\d+"
        groups = _by_pattern(paths, f"({re.escape(head)})({label}){re.escape(separator)}(.+)", head + EPISODE)
    if not groups.episodes:
        raise DatasetError(f"{where} has no arrays like {printable(parts[0])}")
    local = {
        target: ",".join(_split(part)[2] if EPISODE in part else part for part in text.split(","))
        for target, text in mapping.items()
    }
    return groups, local


def found_groups(columns: Mapping[str, Column], mapping: Mapping[str, str], where: str) -> Groups | None:
    """Return the episodes that lie in groups whose names end in numbers; None if there are none.

    Raises:
        UsageError: there are several kinds of such groups.
    """
    heads = dict.fromkeys(head for path in columns if (head := _numbered_head(path)) is not None)
    found = []
    for head in heads:
        groups = _by_pattern(columns, rf"({re.escape(head)})(\d+)/(.+)", f"{head}{EPISODE}/")
        if _is_complete(groups.names, mapping, where):
            found.append(groups)
    if len(found) > 1:
        shown = ", ".join(printable(each.title) for each in found)
        raise UsageError(
            f"{where} has episodes in {shown}: say which, as with --map action={found[0].title}{_action(found[0])}"
        )
    return found[0] if found else None


def found_arrays(columns: Mapping[str, Column], mapping: Mapping[str, str], where: str) -> Groups | None:
    """Return the episodes that lie in arrays whose names end in numbers, ``actions_0``; None if there are none.

    A reward has no entries, so numbered rewards are episodes. Without rewards, numbered actions of several axes are.
    """
    groups = _by_array(columns)
    numbered = {role_of(name) for name in groups.names}
    if {role_of(name) for name in columns} & {"reward"}:
        return None
    actions = [
        path for each in groups.episodes.values() for name, path in each.items() if role_of(name) == "action"
    ]
    certain = "reward" in numbered or any(len(columns[path].shape) > 1 for path in actions)
    return groups if certain and _is_complete(groups.names, mapping, where) else None


def _split(part: str) -> tuple[str, str | None, str]:
    """Return what stands before ``{episode}``, what follows it at once, and the name within an episode."""
    head, _, tail = part.partition(EPISODE)
    if not tail:
        return "", None, head.rstrip("_-.")
    match = re.fullmatch(r"([/_\-.]*)(.+)", tail, re.DOTALL)
    assert match is not None
    return head, match[1], match[2]


def _numbered_head(path: str) -> str | None:
    """Return what stands before the number of the first group that ends in one."""
    parts = path.split("/")
    for index, part in enumerate(parts[:-1]):
        if match := _NUMBERED_GROUP.fullmatch(part):
            return "/".join([*parts[:index], match[1]])
    return None


def _by_pattern(paths: Iterable[str], pattern: str, title: str) -> Groups:
    groups, compiled = Groups(title), re.compile(pattern, re.DOTALL)
    for path in paths:
        if match := compiled.fullmatch(path):
            groups.episodes.setdefault(match[2], {})[match[3]] = path
    return groups


def _by_array(paths: Iterable[str]) -> Groups:
    groups = Groups(EPISODE)
    for path in paths:
        if match := _NUMBERED_ARRAY.fullmatch(path):
            groups.episodes.setdefault(match[2], {})[match[1]] = path
    return groups


def _is_complete(names: list[str], mapping: Mapping[str, str], where: str) -> bool:
    """Tell whether there are observations and actions among some names."""
    try:
        sources = choose(names, mapping, where).sources
    except (DatasetError, UsageError):
        return False
    return {"observation", "action"} <= set(map(root_of, sources))


def _action(groups: Groups) -> str:
    return next((name for name in groups.names if role_of(name) == "action"), "NAME")
